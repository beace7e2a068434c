//! Requests on their way through: each goes to the destination, its answer comes back.
//!
//! A session of the destination is taken for one request and given back when its answer has come whole: for
//! the next one, of whichever peer. Fields that are about one connection only are taken out on the way; who
//! asked, by which name and over which protocol is put in.

use super::access::RequestLine;
use super::ask::{Asker, PendingRequest};
use super::fault::{ClientFault, status};
use super::fields::{ends, stripped};
use super::forwarded::Forwarded;
use super::tied::tied;
use super::{Far, Route, sse};
use crate::connection::{Entered, Purpose};
use crate::relay::{self, End, Side, Totals};
use crate::shutdown::Stopping;
use crate::traces::{AttemptSpans, SpanContext, TRACEPARENT, TRACESTATE};
use futures_util::{Stream, StreamExt};
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Answer, Body, BodyPart, Envelope, Error, ErrorKind, Facets, HeaderBlock, Incoming, Origin,
    Result, Serving, Session,
};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// Requests of one peer that are under way at once; more wait.
const MOST: usize = 128;

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
    forwarded: Forwarded,
    /// Whether there has been a request.
    has_asked: AtomicBool,
}

impl<'a> Forward<'a> {
    pub(super) fn new(route: &'a Route, session: &'a Session, connection: &'a Entered) -> Self {
        let forwarded = Forwarded::new(connection.peer(), route.options.trusted_proxies.as_deref());
        Forward { route, session, connection, forwarded, has_asked: AtomicBool::new(false) }
    }

    /// Serves all requests of the peer, until it sends no more. Told to stop, it answers those that
    /// are here and takes no more.
    pub(super) async fn run(&self, stopping: &Stopping) -> Result<()> {
        let exchange = self
            .session
            .take_exchange()
            .ok_or_else(|| Error::unsupported("taking the requests of a session twice"))?;
        let mut serving = Serving::new(exchange, MOST);
        let telling = self.route.options.sse.then(|| stopping.clone());
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
        let spans = AttemptSpans::of(self.connection.traces(), line.span().copied());
        let is_connect = incoming.request.head.get(":method") == Some(b"CONNECT");
        if is_connect || telling.is_some() {
            let Incoming { request, answer, .. } = line.observe(incoming);
            return match telling.filter(|_| !is_connect) {
                Some(stopping) => {
                    let asked = (&request.head, answer);
                    Box::pin(self.tell(asked, stopping, spans.as_deref())).await;
                }
                None => refuse(answer, "501", "CONNECT is not supported").await,
            };
        }
        let Incoming { request, mut answer, .. } = incoming;
        let turn = request.upgrade;
        let asked = match self.onward(&request.head, turn.is_some(), line.span()) {
            Ok(head) => {
                let asked = (head, request.body);
                self.ask(asked, &line, &mut answer, spans.as_deref()).await
            }
            Err(error) => Err(error),
        };
        let (far, mut response) = match asked {
            Ok(answered) => answered,
            Err(error) => return self.failed(answer, &error, &mut line).await,
        };
        line.target(self.route, far.target());
        match (turn, response.upgrade.take()) {
            (Some(near), Some(onto)) => {
                line.answered(&response.head);
                line.upgraded();
                drop(line);
                // Boxed, so that no other request keeps room for it.
                return Box::pin(self.turned(answer, response, near, onto)).await;
            }
            _ if response.status() == 101 => {
                let text = "the destination answered 101, and the request asked for no upgrade";
                let error = Error::new(ErrorKind::Protocol, text);
                far.failed(&error);
                return self.failed(answer, &error, &mut line).await;
            }
            _ => line.answered(&response.head),
        }
        let ends = ends(&response.head);
        match stripped(&response.head, false, |_| false, []) {
            Ok(head) => response.head = head,
            Err(_) => return refuse(answer, "502", "invalid response from upstream").await,
        }
        let (body, _tie) = tied(response.body);
        let counted = |body| Body::new(self.counted(body, Side::A, None, line.totals()));
        response.body = body.map_or_else(Body::empty, counted);
        let sent = answer.send(response).await;
        line.sent(&sent);
        if sent.is_ok() && !ends {
            far.answered();
        }
    }

    /// Answers with what a session of the destination sends.
    async fn tell(
        &self,
        (head, answer): (&HeaderBlock, Answer),
        stopping: Stopping,
        spans: Option<&AttemptSpans<'_>>,
    ) {
        let longest = self.route.relay.sizes.buffer;
        let opened = match sse::Asked::of(head) {
            sse::Asked::Events => {
                self.route.reach(self.session, self.connection, Purpose::Data, spans).await
            }
            sse::Asked::Head => return sent(answer, sse::answer(Body::empty())).await,
            sse::Asked::Other => return sent(answer, sse::refusal()).await,
        };
        match opened.and_then(|far| sse::events(far, longest, stopping)) {
            Ok(body) => {
                let body = Body::new(self.counted(body, Side::A, None, None));
                sent(answer, sse::answer(body)).await;
            }
            Err(error) => {
                tracing::info!(id = self.connection.id, route = &*self.route.name, %error, "no events");
                self.failed(answer, &error, &mut RequestLine::default()).await;
            }
        }
    }

    async fn failed(&self, answer: Answer, error: &Error, line: &mut RequestLine) {
        let (status, text) = status(error);
        line.failed(status, error);
        refuse(answer, status, text).await;
    }

    /// The head as it goes to the destination, which has a scheme of its own. Where there are traces, it names this
    /// request as the one that it comes from, and what vendors had added goes with a trace that is not theirs.
    fn onward(
        &self,
        head: &HeaderBlock,
        upgrades: bool,
        span: Option<&SpanContext>,
    ) -> Result<HeaderBlock> {
        let provenance = self.forwarded.of(head);
        let traced = span.and_then(SpanContext::propagated);
        let is_new = span.is_some_and(|span| span.parent().is_none());
        let drops = |name: &[u8]| {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            provenance.drops(name)
                || traced.is_some() && (is(TRACEPARENT) || is_new && is(TRACESTATE))
        };
        let traced = traced.as_ref().map(|value| (TRACEPARENT, value.as_bytes()));
        stripped(head, upgrades, drops, provenance.added().chain(traced))
    }

    async fn ask(
        &self,
        (head, body): (HeaderBlock, Body),
        line: &RequestLine,
        answer: &mut Answer,
        spans: Option<&AttemptSpans<'_>>,
    ) -> Result<(Far, Envelope)> {
        let &Forward { route, session, connection, .. } = self;
        let fault = ClientFault::default();
        let body = match body.is_empty() {
            true => body,
            false => Body::new(self.counted(body, Side::B, Some(fault.clone()), line.totals())),
        };
        let is_first = !self.has_asked.swap(true, Ordering::Relaxed);
        let asked = PendingRequest { head, body, fault, is_first };
        Asker { route, session, connection, spans }.ask(asked, answer).await
    }

    /// Content that counts as carried to `side` as it comes, and in the totals of its request. What ends it early
    /// is the fault of the other side, and noted where that is a client's.
    fn counted<S>(
        &self,
        body: S,
        side: Side,
        fault: Option<ClientFault>,
        of_request: Option<Arc<Totals>>,
    ) -> impl Stream<Item = Result<BodyPart>> + Send + Unpin + 'static + use<S>
    where
        S: Stream<Item = Result<BodyPart>> + Send + Unpin + 'static,
    {
        let totals: Arc<Totals> = Arc::clone(self.connection.totals());
        let origin = if side == Side::B { Origin::Downstream } else { Origin::Upstream };
        body.map(move |part| {
            if let Ok(BodyPart::Data(bytes)) = &part {
                for totals in of_request.iter().chain([&totals]) {
                    totals.add(side, bytes.len(), 0);
                }
            }
            part.map_err(|error| {
                let error = error.with_origin(origin);
                if let Some(fault) = &fault {
                    fault.note(&error);
                }
                error
            })
        })
    }

    /// Both sides have agreed to speak something else: from here on it is bytes.
    async fn turned(
        &self,
        answer: Answer,
        mut response: Envelope,
        near: Op<Session>,
        far: Op<Session>,
    ) {
        let Ok(head) = stripped(&response.head, true, |_| false, []) else {
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
                let end = relay::relay(a, b, Arc::clone(&self.route.relay), totals).await;
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
