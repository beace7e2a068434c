//! Requests on their way through: each goes to the destination, its answer comes back.
//!
//! A session of the destination is had for one request and given back when its answer has come whole: for
//! the next one, of whichever peer. Fields that are about one connection only are taken out on the way; who
//! asked, by which name and over what is put in (`x-forwarded-for`, `x-forwarded-host`,
//! `x-forwarded-proto`).

use super::access::RequestLine;
use super::fields::{ends, is_repeatable, stripped};
use super::lent::lent;
use super::{Far, Route, sse};
use crate::connection::{Entered, Purpose};
use crate::relay::{self, End, Side, Totals};
use crate::shutdown::Stopping;
use futures_util::StreamExt;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Answer, Body, BodyPart, Envelope, Error, ErrorKind, Facets, HeaderBlock, Incoming, Origin,
    Result, Retry, Serving, Session,
};
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Requests of one peer that are under way at once; more wait.
const MOST: usize = 128;

/// How long a session may have been unused for a request that must not be asked twice: a peer whose close
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
}

impl<'a> Forward<'a> {
    pub(super) fn new(route: &'a Route, session: &'a Session, connection: &'a Entered) -> Self {
        let peer = connection.peer().map(|peer| match peer.socket() {
            Some(address) => address.ip().to_string(),
            None => peer.to_string(),
        });
        Forward { route, session, connection, peer: peer.unwrap_or_default() }
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
        let mut line =
            RequestLine::new(self.connection.live(), &self.route.name, &incoming.request.head);
        let is_connect = incoming.request.head.get(":method") == Some(b"CONNECT");
        if is_connect || telling.is_some() {
            let Incoming { request, answer, .. } = line.observe(incoming);
            return match telling.filter(|_| !is_connect) {
                Some(stopping) => self.tell(&request.head, answer, stopping).await,
                None => refuse(answer, "501", "CONNECT is not supported").await,
            };
        }
        let Incoming { request, answer, .. } = incoming;
        let turn = request.upgrade;
        let asked = match self.onward(&request.head, turn.is_some()) {
            Ok(head) => {
                let body = line.counted(request.body, Side::B);
                self.ask(head, self.counted(body, Side::B)).await
            }
            Err(error) => Err(error),
        };
        let (far, mut response) = match asked {
            Ok(answered) => answered,
            Err(error) => return self.failed(answer, &error, &mut line).await,
        };
        line.target(far.target().or_else(|| self.route.target()).unwrap_or_default());
        line.answered(&response.head);
        if let (Some(near), Some(onto)) = (turn, response.upgrade.take()) {
            line.upgraded();
            drop(line);
            return self.turned(answer, response, near, onto).await;
        }
        let ends = ends(&response.head);
        match stripped(&response.head, false, &[]) {
            Ok(head) => response.head = head,
            Err(_) => return refuse(answer, "502", "invalid response from upstream").await,
        }
        response.body = self.counted(line.counted(response.body, Side::A), Side::A);
        let sent = answer.send(response).await;
        line.sent(&sent);
        if sent.is_ok() && !ends {
            far.answered();
        }
    }

    /// Answers with what a session of the destination sends.
    async fn tell(&self, head: &HeaderBlock, answer: Answer, stopping: Stopping) {
        let longest = self.route.relay.buffer;
        let opened = match sse::Asked::of(head) {
            sse::Asked::Events => {
                self.route.reach(self.session, self.connection, Purpose::Data).await
            }
            sse::Asked::Head => return sent(answer, sse::answer(Body::empty())).await,
            sse::Asked::Other => return sent(answer, sse::refusal()).await,
        };
        match opened.and_then(|far| sse::events(far, longest, stopping)) {
            Ok(body) => sent(answer, sse::answer(self.counted(body, Side::A))).await,
            Err(error) => {
                tracing::info!(id = self.connection.id, route = &*self.route.name, %error, "no events");
                self.failed(answer, &error, &mut RequestLine::default()).await;
            }
        }
    }

    async fn failed(&self, answer: Answer, error: &Error, line: &mut RequestLine) {
        let (status, text) = match error.kind() {
            ErrorKind::TimedOut => ("504", "the destination does not answer in time"),
            ErrorKind::Limit => ("503", "there is no room at the destination"),
            ErrorKind::Unsupported => ("502", "the destination cannot do what was asked"),
            _ => ("502", "the destination cannot be reached"),
        };
        line.failed(status, error);
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

    /// Asks over a session that has answered before, or over a new one; over a new one again where the
    /// first turns out to have gone and nothing can have come of it.
    async fn ask(&self, head: HeaderBlock, body: Body) -> Result<(Far, Envelope)> {
        let safe = is_repeatable(&head);
        let far = self.reach(if safe { Duration::MAX } else { FRESH }).await?;
        if !far.is_reused() {
            return Self::ask_anew(far, head, body).await;
        }
        let (body, back) = lent(if safe { Body::empty() } else { body });
        let error = match far.send(Envelope::new(head.clone(), body))?.await {
            Ok(response) => return Ok((far, response)),
            Err(error) => error,
        };
        let again = error.is_unsent() || safe && error.retry() == Retry::IfReused;
        match back.body().filter(|_| again) {
            Some(body) => {
                drop(far);
                Self::ask_anew(self.reach(Duration::ZERO).await?, head, body).await
            }
            None => {
                // What has closed at the moment of asking may have been unused for too long.
                if error.retry() != Retry::IfReused {
                    far.failed(&error);
                }
                Err(error)
            }
        }
    }

    async fn ask_anew(far: Far, head: HeaderBlock, body: Body) -> Result<(Far, Envelope)> {
        match far.send(Envelope::new(head, body))?.await {
            Ok(response) => Ok((far, response)),
            Err(error) => {
                // It could be opened, but does not serve.
                far.failed(&error);
                Err(error)
            }
        }
    }

    /// A session of the destination: one that was unused for less than `rested`, or a new one.
    async fn reach(&self, rested: Duration) -> Result<Far> {
        self.route.reach(self.session, self.connection, Purpose::Request { rested }).await
    }

    /// Content that counts as carried to `side` as it comes. What ends it early is the fault of the other
    /// side.
    fn counted(&self, body: Body, side: Side) -> Body {
        if body.is_empty() {
            return body;
        }
        let totals: Arc<Totals> = Arc::clone(self.connection.totals());
        let origin = if side == Side::B { Origin::Downstream } else { Origin::Upstream };
        Body::new(body.map(move |part| {
            if let Ok(BodyPart::Data(bytes)) = &part {
                totals.add(side, bytes.len(), 0);
            }
            part.map_err(|error| error.with_origin(origin))
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
            return refuse(answer, "502", "invalid response from upstream").await;
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
                tracing::info!(id = self.connection.id, %error, "upgrade failed");
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
