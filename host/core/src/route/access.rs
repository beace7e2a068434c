//! The access log: one line, and one span, for each request that a peer of a listener has made.

use super::Route;
use crate::connection::{CountedMessages, CountedStream, Live};
use crate::relay::{Side, Totals};
use crate::session::{DataParts, guarded};
use crate::traces::{Span, SpanContext};
use futures_util::StreamExt;
use jackfield_plugin_api::{
    Body, BodyPart, Error, Exchange, Exchanger, HeaderBlock, Incoming, Messages, Result, Session,
    Stream, mask_query,
};
use std::sync::Arc;
use std::time::Duration;
use tracing::Level;

/// What filters call these lines.
pub const REQUESTS: &str = "jackfield::request";

/// What they call those of requests that failed.
const FAILED: &str = "jackfield::request::failed";

/// Bytes of a path that are kept.
const PATH: usize = 1024;

/// Methods that a span names (RFC 9110 §9 and RFC 5789).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// A request, and what is known of it so far. Dropped, it is written to the log.
#[derive(Debug, Default)]
pub(crate) struct RequestLine(Option<Box<Line>>);

#[derive(Debug)]
struct Line {
    live: Arc<Live>,
    route: Arc<str>,
    method: String,
    host: String,
    path: String,
    totals: Arc<Totals>,
    target: String,
    status: String,
    error: Option<Error>,
    end: &'static str,
    /// Its place in a trace, where there are traces, and its scheme for that.
    span: Option<SpanContext>,
    scheme: String,
}

impl RequestLine {
    /// For a request; `None` if the log leaves such lines out and there are no traces.
    pub(crate) fn new(live: &Arc<Live>, route: &Arc<str>, head: &HeaderBlock) -> Self {
        let span = live.traces().and_then(|traces| traces.begin(Some(head)));
        let all = tracing::enabled!(target: REQUESTS, Level::INFO);
        if span.is_none() && !all && !tracing::enabled!(target: FAILED, Level::INFO) {
            return RequestLine(None);
        }
        RequestLine(Some(Box::new(Line {
            live: Arc::clone(live),
            route: Arc::clone(route),
            method: text(head, ":method"),
            host: text(head, ":authority"),
            path: mask_query(&text(head, ":path")),
            totals: Arc::default(),
            target: String::new(),
            status: String::new(),
            error: None,
            end: "not answered",
            scheme: if span.is_some() { text(head, ":scheme") } else { String::new() },
            span,
        })))
    }

    /// Its place in a trace, where there are traces.
    pub(super) fn span(&self) -> Option<&SpanContext> {
        self.0.as_ref()?.span.as_ref()
    }

    /// It was sent to this target of several, or to the only one of its route.
    pub(super) fn target(&mut self, route: &Route, target: Option<&str>) {
        if let Some(line) = &mut self.0 {
            let target = target.map(str::to_owned).or_else(|| route.target());
            line.target = target.unwrap_or_default();
        }
    }

    /// This is the head of its answer.
    pub(crate) fn answered(&mut self, head: &HeaderBlock) {
        if let Some(line) = &mut self.0 {
            line.status = text(head, ":status");
            line.end = "the answer was not sent whole";
        }
    }

    /// It was answered so, because of an error.
    pub(crate) fn failed(&mut self, status: &str, error: &Error) {
        if let Some(line) = &mut self.0 {
            status.clone_into(&mut line.status);
            line.error = Some(error.clone());
            line.end = "failed";
        }
    }

    /// What came of sending its answer.
    pub(crate) fn sent(&mut self, sent: &Result<()>) {
        let Some(line) = &mut self.0 else { return };
        if sent.is_ok() {
            line.end = "answered";
        } else {
            line.end = "the answer was not sent whole";
            line.error = sent.as_ref().err().cloned();
        }
    }

    /// Both sides speak something else from now on.
    pub(crate) fn upgraded(&mut self) {
        if let Some(line) = &mut self.0 {
            line.end = "upgraded";
        }
    }

    /// What the content of the request and of its answer counts in, too.
    pub(super) fn totals(&self) -> Option<Arc<Totals>> {
        self.0.as_ref().map(|line| Arc::clone(&line.totals))
    }

    /// Content that counts as that of the request, or of its answer.
    pub(crate) fn counted(&self, body: Body, to: Side) -> Body {
        let Some(line) = self.0.as_ref().filter(|_| !body.is_empty()) else { return body };
        let totals = Arc::clone(&line.totals);
        Body::new(body.inspect(move |part| {
            if let Ok(BodyPart::Data(bytes)) = part {
                totals.add(to, bytes.len(), 0);
            }
        }))
    }

    /// The request with this line around it.
    pub(crate) fn observe(mut self, incoming: Incoming) -> Incoming {
        if self.0.is_none() {
            return incoming;
        }
        let Incoming { mut request, answer, .. } = incoming;
        request.body = self.counted(request.body, Side::B);
        let answer = answer.around(move |answer, mut response| async move {
            self.answered(&response.head);
            response.body = self.counted(response.body, Side::A);
            let sent = answer.send(response).await;
            self.sent(&sent);
            sent
        });
        Incoming::new(request, answer)
    }
}

impl Line {
    /// Its span, by the semantic conventions of servers of HTTP: an answer of the class 5xx is a fault, one of 4xx is
    /// none of ours.
    fn span(&self, context: SpanContext, status: u16, duration_ms: u64) -> Span {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) => (host, port.parse::<u16>().ok()),
            None => (&*self.host, None),
        };
        let host = if port.is_some() { host } else { &*self.host };
        // What is alike has one name, whatever a client makes up.
        let (name, method) = match METHODS.iter().find(|known| **known == self.method) {
            Some(known) => (*known, *known),
            None => ("HTTP", "_OTHER"),
        };
        let span = Span::new(context, name, Duration::from_millis(duration_ms))
            .with("http.request.method", method)
            .with("url.scheme", &*self.scheme)
            .with("url.path", path)
            .with("url.query", query)
            .with("server.address", host.trim_matches(['[', ']']));
        let span = if let Some(port) = port { span.with("server.port", port) } else { span };
        let span = if status > 0 { span.with("http.response.status_code", status) } else { span };
        let mut span = span
            .with("jackfield.listener", self.live.listener().map_or("", |name| name))
            .with("jackfield.route", &*self.route)
            .with("jackfield.target", &*self.target)
            .with("jackfield.connection.id", self.live.id)
            .with_peer(self.live.peer())
            .with("jackfield.bytes_in", self.totals.bytes_to_b())
            .with("jackfield.bytes_out", self.totals.bytes_to_a())
            .with("jackfield.end", self.end)
            .with_error(self.error.as_ref());
        if status >= 500 && self.error.is_none() {
            span.error = Some(String::new());
            span = span.with("error.type", status.to_string());
        }
        span
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(context) = self.span.filter(SpanContext::is_sampled)
            && let Some(traces) = self.live.traces()
        {
            let status = self.status.parse().unwrap_or(0);
            traces.end(self.span(context, status, self.totals.age_ms()));
        }
        let Line { live, route, method, host, path, target, status, end, .. } = self;
        let listener = live.listener().map_or("", |name| name);
        let peer = live.peer().map_or_else(|| "-".to_owned(), ToString::to_string);
        let id = live.id;
        let status: u16 = status.parse().unwrap_or(0);
        let (bytes_in, bytes_out) = (self.totals.bytes_to_b(), self.totals.bytes_to_a());
        let duration_ms = self.totals.age_ms();
        let route = &**route;
        match &self.error {
            Some(error) => tracing::info!(
                target: FAILED,
                listener, route, target, id, peer, method, host, path, status, bytes_in, bytes_out,
                duration_ms, %error, end, "request"
            ),
            None => tracing::info!(
                target: REQUESTS,
                listener, route, target, id, peer, method, host, path, status, bytes_in, bytes_out,
                duration_ms, end, "request"
            ),
        }
    }
}

/// A field of a head as text, cut where it is too long for a line.
fn text(head: &HeaderBlock, name: &str) -> String {
    let value = head.get(name).unwrap_or_default();
    String::from_utf8_lossy(&value[..value.len().min(PATH)]).into_owned()
}

/// The requests of one session, each with a line.
struct Observed {
    inner: Exchange,
    live: Arc<Live>,
    route: Arc<str>,
}

impl Exchanger for Observed {
    async fn accept(&self) -> Result<Option<Incoming>> {
        let incoming = self.inner.accept().await?;
        Ok(incoming.map(|incoming| {
            RequestLine::new(&self.live, &self.route, &incoming.request.head).observe(incoming)
        }))
    }
}

impl Route {
    /// A session for a handler, which answers it by itself: its bytes and messages are counted, and its
    /// requests have their lines.
    pub(super) fn observed(&self, session: Session, live: &Arc<Live>) -> Session {
        let totals = || Arc::clone(live.totals());
        let stream = session.take_stream().map(|it| CountedStream::new(it, totals()));
        let messages = session.take_messages().map(|it| CountedMessages::new(it, totals()));
        let exchange = session.take_exchange().map(|inner| {
            let (live, route) = (Arc::clone(live), Arc::clone(&self.name));
            Exchange::new(Observed { inner, live, route })
        });
        let parts = DataParts {
            stream: stream.map(Stream::new),
            messages: messages.map(Messages::new),
            datagrams: session.take_datagrams(),
            exchange,
        };
        guarded(Arc::new(session), parts, ())
    }
}
