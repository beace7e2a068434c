//! Requests on their way through: each goes to the destination, its answer comes back.
//!
//! A session of the destination answers one request at a time and is kept for the next one: of
//! whichever peer, or, where each session needs leave or a place in a pool, of the same one. Fields that are about one connection only are taken out on the way; who asked, by which
//! name and over what is put in (`x-forwarded-for`, `x-forwarded-host`, `x-forwarded-proto`).

use super::fields::{ends, is_repeatable, stripped};
use super::lent::lent;
use super::{Destination, Far, Route, sse};
use crate::connection::{Asker, Entered, Rested};
use crate::relay::{self, End, Side, Totals};
use crate::shutdown::Stopping;
use futures_util::StreamExt;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Answer, Body, BodyPart, Envelope, Error, ErrorKind, Facets, HeaderBlock, Incoming, Result,
    Retry, Serving, Session,
};
use std::borrow::Cow;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one peer that are under way at once; more wait.
const MOST: usize = 128;

/// How long a kept session may have rested for a request that must not be asked twice: a peer whose close
/// is still on its way cannot be told from one that has begun to work.
const FRESH: Duration = Duration::from_secs(1);

/// Whether a session asks, and does nothing else that could be relayed.
pub(super) fn asks(session: &Session) -> bool {
    let facets = session.facets();
    facets.contains(Facets::EXCHANGE)
        && !facets.contains(Facets::STREAM)
        && !facets.contains(Facets::MESSAGES)
}

/// What the requests of one peer share.
pub(super) struct Forward<'a> {
    route: &'a Route,
    session: &'a Session,
    connection: &'a Entered,
    /// The address that the peer is forwarded under; empty: it has none.
    peer: String,
    /// Those that no other peer may have; at most as many as there are requests at once.
    idle: Mutex<Vec<Kept>>,
}

/// A session of the destination between two requests.
struct Kept {
    // Dropped in this order.
    asker: Asker,
    /// Lives as long as its exchange, so that it counts as in use.
    far: Far,
    since: Instant,
    /// It has answered a request before.
    is_used: bool,
}

impl<'a> Forward<'a> {
    pub(super) fn new(route: &'a Route, session: &'a Session, connection: &'a Entered) -> Self {
        let peer = connection.peer().map(|peer| match peer.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_string(),
            Err(_) => peer.to_owned(),
        });
        Forward {
            route,
            session,
            connection,
            peer: peer.unwrap_or_default(),
            idle: Mutex::default(),
        }
    }

    /// Serves all requests of the peer, until it sends no more. Told to stop, it answers those that
    /// are here and takes no more.
    pub(super) async fn run(&self, stopping: &mut Stopping) -> Result<()> {
        let exchange = self
            .session
            .take_exchange()
            .ok_or_else(|| Error::unsupported("a session whose requests were taken"))?;
        let mut serving = Serving::new(exchange, MOST);
        let telling = self.route.sse.then(|| stopping.clone());
        let mut told = Some(Box::pin(stopping.told()));
        let mut draining: Option<Op<()>> = None;
        poll_fn(|cx| {
            if told.as_mut().is_some_and(|told| told.as_mut().poll(cx).is_ready()) {
                told = None;
                draining = Some(self.session.drain());
            }
            if draining.as_mut().is_some_and(|drain| Pin::new(drain).poll(cx).is_ready()) {
                return Poll::Ready(Ok(()));
            }
            serving.poll(cx, |incoming| self.one(incoming, telling.clone()))
        })
        .await
    }

    /// Answers a request: with events until the host stops, where that is `telling`.
    async fn one(&self, incoming: Incoming, telling: Option<Stopping>) {
        let Incoming { request, answer, .. } = incoming;
        if request.head.get(":method") == Some(b"CONNECT") {
            return refuse(answer, "501", "this is no proxy for other addresses").await;
        }
        if let Some(stopping) = telling {
            return self.tell(&request.head, answer, stopping).await;
        }
        let turn = request.upgrade;
        let (id, route) = (self.connection.id, &*self.route.name);
        let asked = match self.onward(&request.head, turn.is_some()) {
            Ok(head) => self.ask(head, self.counted(request.body, Side::B)).await,
            Err(error) => Err(error),
        };
        let (kept, mut response) = match asked {
            Ok(answered) => answered,
            Err(error) => return self.failed(answer, &error).await,
        };
        if let (Some(near), Some(onto)) = (turn, response.upgrade.take()) {
            return self.turned(answer, response, near, onto).await;
        }
        let ends = ends(&response.head);
        match stripped(&response.head, false, &[]) {
            Ok(head) => response.head = head,
            Err(_) => return refuse(answer, "502", "the answer makes no sense").await,
        }
        response.body = self.counted(response.body, Side::A);
        match answer.send(response).await {
            Ok(()) if !ends => self.keep(kept),
            Ok(()) => {}
            Err(error) => tracing::debug!(id, route, %error, "answer not sent"),
        }
    }

    /// Answers with what a session of the destination sends.
    async fn tell(&self, head: &HeaderBlock, answer: Answer, stopping: Stopping) {
        let longest = self.route.relay.buffer;
        let opened = match sse::Asked::of(head) {
            sse::Asked::Events => self.route.reach(self.session, self.connection, None).await,
            sse::Asked::Head => return sent(answer, sse::answer(Body::empty())).await,
            sse::Asked::Other => return sent(answer, sse::refusal()).await,
        };
        match opened.and_then(|(far, _)| sse::events(far, longest, stopping)) {
            Ok(body) => sent(answer, sse::answer(self.counted(body, Side::A))).await,
            Err(error) => self.failed(answer, &error).await,
        }
    }

    async fn failed(&self, answer: Answer, error: &Error) {
        tracing::info!(id = self.connection.id, route = &*self.route.name, %error, "request failed");
        let (status, text) = match error.kind() {
            ErrorKind::TimedOut => ("504", "the destination does not answer in time"),
            ErrorKind::Limit => ("503", "there is no room at the destination"),
            ErrorKind::Unsupported => ("502", "the destination cannot do what was asked"),
            _ => ("502", "the destination cannot be reached"),
        };
        refuse(answer, status, text).await;
    }

    /// The head as it goes to the destination, which has a scheme of its own.
    fn onward(&self, head: &HeaderBlock, turns: bool) -> Result<HeaderBlock> {
        let value = |name: &str| head.get(name).unwrap_or_default();
        let peer = self.peer.as_bytes();
        let chain = match value("x-forwarded-for") {
            b"" => Cow::Borrowed(peer),
            before if peer.is_empty() => Cow::Borrowed(before),
            before => Cow::Owned([before, b", ", peer].concat()),
        };
        stripped(
            head,
            turns,
            &[
                ("x-forwarded-for", &chain),
                ("x-forwarded-host", value(":authority")),
                ("x-forwarded-proto", value(":scheme")),
            ],
        )
    }

    /// Asks over a kept session, or over a new one; over a new one again where a kept one turns out
    /// to have gone and nothing can have come of it.
    async fn ask(&self, head: HeaderBlock, body: Body) -> Result<(Kept, Envelope)> {
        let safe = is_repeatable(&head);
        let within = if safe { Duration::MAX } else { FRESH };
        let kept = match self.kept(within) {
            Some(kept) => kept,
            None => self.reach(Some(within)).await?,
        };
        if !kept.is_used {
            return Self::ask_anew(kept, head, body).await;
        }
        let (body, back) = lent(if safe { Body::empty() } else { body });
        let error = match kept.asker.send(Envelope::new(head.clone(), body)).await {
            Ok(response) => return Ok((kept, response)),
            Err(error) => error,
        };
        drop(kept);
        let again = error.is_unsent() || safe && error.retry() == Retry::IfReused;
        match back.body().filter(|_| again) {
            Some(body) => Self::ask_anew(self.reach(None).await?, head, body).await,
            None => Err(error),
        }
    }

    async fn ask_anew(kept: Kept, head: HeaderBlock, body: Body) -> Result<(Kept, Envelope)> {
        match kept.asker.send(Envelope::new(head, body)).await {
            Ok(response) => Ok((kept, response)),
            Err(error) => {
                if let Far::Opened(opened) = &kept.far
                    && error.kind() != ErrorKind::Unsupported
                {
                    // It could be opened, but does not serve.
                    opened.failed(&error, Instant::now());
                }
                Err(error)
            }
        }
    }

    /// A session of the destination: one that has rested for at most `within`, or a new one.
    async fn reach(&self, within: Option<Duration>) -> Result<Kept> {
        let (far, rested) = self.route.reach(self.session, self.connection, within).await?;
        let is_used = rested.is_some();
        let anew = || far.session().take_exchange().map(Asker::new);
        let asker = rested.or_else(anew).ok_or_else(|| {
            Error::unsupported("forwarding requests to a session that takes none")
        })?;
        Ok(Kept { asker, far, since: Instant::now(), is_used })
    }

    fn kept(&self, within: Duration) -> Option<Kept> {
        let last = || {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Those below it have rested even longer.
            idle.pop_if(|kept| kept.since.elapsed() < within)
        };
        std::iter::from_fn(last).find_map(|mut kept| (!kept.asker.has_ended()).then_some(kept))
    }

    fn keep(&self, kept: Kept) {
        let Kept { asker, far, .. } = kept;
        let (far, asker) = match (far, &self.route.destination) {
            (Far::Opened(opened), _) if opened.can_rest() => return opened.rest(asker),
            (Far::Own(session), Destination::Connection(managed))
                if managed.target().is_open_to_all() =>
            {
                return managed.target().rest(Rested { asker, session });
            }
            (far, _) => (far, asker),
        };
        let kept = Kept { asker, far, since: Instant::now(), is_used: true };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }

    /// Content that counts as carried to `side` as it comes.
    fn counted(&self, body: Body, side: Side) -> Body {
        if body.is_empty() {
            return body;
        }
        let totals: Arc<Totals> = Arc::clone(self.connection.totals());
        Body::new(body.inspect(move |part| {
            if let Ok(BodyPart::Data(bytes)) = part {
                totals.add(side, bytes.len(), 0);
            }
        }))
    }

    /// Both sides have agreed to speak something else: from here on it is bytes.
    async fn turned(
        &self,
        answer: Answer,
        mut response: Envelope,
        near: Op<Session>,
        far: Op<Session>,
    ) {
        let Ok(head) = stripped(&response.head, true, &[]) else {
            return refuse(answer, "502", "the answer makes no sense").await;
        };
        response.head = head;
        let (_, near, far) = tokio::join!(answer.send(response), near, far);
        let joined = near.and_then(|near| far.map(|far| (near, far))).and_then(|(near, far)| {
            let ends = End::pair(&near, &far)?;
            Ok((near, far, ends))
        });
        match joined {
            Ok((_near, _far, (a, b))) => {
                let totals = Arc::clone(self.connection.totals());
                self.connection.upgraded();
                let end = relay::relay(a, b, self.route.relay.clone(), totals).await;
                tracing::debug!(id = self.connection.id, %end, "upgraded exchange ended");
            }
            Err(error) => {
                tracing::info!(id = self.connection.id, %error, "an upgrade came to nothing");
            }
        }
    }
}

async fn refuse(answer: Answer, status: &str, text: &str) {
    let fields = [(":status", status), ("content-type", "text/plain; charset=utf-8")];
    let head = HeaderBlock::new(fields);
    sent(answer, head.map(|head| Envelope::new(head, Body::full(format!("{text}\n"))))).await;
}

async fn sent(answer: Answer, envelope: Result<Envelope>) {
    if let Ok(envelope) = envelope {
        // A peer that has left needs no answer.
        let _ = answer.send(envelope).await;
    }
}
