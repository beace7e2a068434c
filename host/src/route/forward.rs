//! Requests on their way through: each goes to the destination, its answer comes back.
//!
//! A session of the destination answers one request at a time and is kept for the next ones of the
//! same peer. Fields that are about one connection only are taken out on the way; who asked, by which
//! name and over what is put in (`x-forwarded-for`, `x-forwarded-host`, `x-forwarded-proto`).

use super::{Far, Route};
use crate::connection::Entered;
use crate::relay::{self, End};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Answer, Body, Envelope, Error, ErrorKind, Exchange, Facets, HeaderBlock, Incoming, Result,
    Retry, Session,
};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one peer that are under way at once; more wait.
const MOST: usize = 128;

/// How long a kept session may have rested for a request that must not be asked twice: a peer that
/// has closed it meanwhile cannot be told from one that has begun to work.
const FRESH: Duration = Duration::from_secs(1);

/// Fields of one connection (RFC 9110 §7.6.1), beside those that `connection` names.
const OWN: [&str; 8] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Whether a session asks, and does nothing else that could be relayed.
pub(super) fn asks(session: &Session) -> bool {
    let facets = session.facets();
    facets.has(Facets::EXCHANGE) && !facets.has(Facets::STREAM) && !facets.has(Facets::MESSAGES)
}

/// What the requests of one peer share.
pub(super) struct Forward<'a> {
    route: &'a Route,
    session: &'a Session,
    connection: &'a Entered,
    /// At most as many as there are requests at once.
    idle: Mutex<Vec<Kept>>,
}

/// A session of the destination between two requests.
struct Kept {
    /// Lives as long as its exchange, so that it counts as in use.
    _far: Far,
    exchange: Exchange,
    since: Instant,
}

enum Step {
    Asked(Result<Option<Incoming>>),
    Answered,
    Over,
}

impl<'a> Forward<'a> {
    pub(super) fn new(route: &'a Route, session: &'a Session, connection: &'a Entered) -> Self {
        Forward { route, session, connection, idle: Mutex::default() }
    }

    /// Serves all requests of the peer, until it sends no more.
    pub(super) async fn run(&self) -> Result<()> {
        let exchange = self
            .session
            .take_exchange()
            .ok_or_else(|| Error::unsupported("a session whose requests were taken"))?;
        let mut running = FuturesUnordered::new();
        let mut next: Option<Op<Option<Incoming>>> = Some(exchange.accept());
        loop {
            let step = poll_fn(|cx| {
                if let Some(accept) = next.as_mut().filter(|_| running.len() < MOST)
                    && let Poll::Ready(incoming) = Pin::new(accept).poll(cx)
                {
                    next = None;
                    return Poll::Ready(Step::Asked(incoming));
                }
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some(())) => Poll::Ready(Step::Answered),
                    Poll::Ready(None) if next.is_none() => Poll::Ready(Step::Over),
                    _ => Poll::Pending,
                }
            })
            .await;
            match step {
                Step::Asked(Ok(Some(incoming))) => {
                    running.push(self.one(incoming));
                    next = Some(exchange.accept());
                }
                Step::Asked(Ok(None)) | Step::Answered => {}
                Step::Asked(Err(error)) => return Err(error),
                Step::Over => return Ok(()),
            }
        }
    }

    async fn one(&self, incoming: Incoming) {
        let Incoming { request, answer } = incoming;
        if request.head.get(":method") == Some(b"CONNECT") {
            return refuse(answer, "501", "this is no proxy for other addresses").await;
        }
        let turn = request.upgrade;
        let (id, route) = (self.connection.id, &*self.route.name);
        let asked = match self.onward(&request.head, turn.is_some()) {
            Ok(head) => self.ask(head, request.body).await,
            Err(error) => Err(error),
        };
        let (far, mut response) = match asked {
            Ok(answered) => answered,
            Err(error) => {
                tracing::info!(id, route, %error, "request failed");
                let (status, text) = match error.kind() {
                    ErrorKind::TimedOut => ("504", "the destination does not answer in time"),
                    ErrorKind::Limit => ("503", "there is no room at the destination"),
                    _ => ("502", "the destination cannot be reached"),
                };
                return refuse(answer, status, text).await;
            }
        };
        if let (Some(near), Some(onto)) = (turn, response.upgrade.take()) {
            return self.turned(answer, response, near, onto).await;
        }
        let ends = tokens(&response.head).any(|token| token == "close");
        match stripped(&response.head, false, &[]) {
            Ok(head) => response.head = head,
            Err(_) => return refuse(answer, "502", "the answer makes no sense").await,
        }
        match answer.send(response).await {
            Ok(()) if !ends => self.keep(far),
            Ok(()) => {}
            Err(error) => tracing::debug!(id, route, %error, "answer not sent"),
        }
    }

    /// The head as it goes to the destination, which has a scheme of its own.
    fn onward(&self, head: &HeaderBlock, turns: bool) -> Result<HeaderBlock> {
        let text =
            |name: &str| head.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let peer = self.connection.peer.as_deref().map(|peer| match peer.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_string(),
            Err(_) => peer.to_owned(),
        });
        let before = text("x-forwarded-for").into_iter();
        let chain: Vec<String> = before.chain(peer).collect();
        stripped(
            head,
            turns,
            &[
                ("x-forwarded-for", chain.join(", ")),
                ("x-forwarded-host", text(":authority").unwrap_or_default()),
                ("x-forwarded-proto", text(":scheme").unwrap_or_default()),
            ],
        )
    }

    /// Asks over a kept session, or over a new one; over a new one again where a kept one turns out
    /// to have gone and nothing can have come of it.
    async fn ask(&self, head: HeaderBlock, body: Body) -> Result<(Kept, Envelope)> {
        let safe = is_repeatable(&head);
        if let Some(kept) = self.kept(safe) {
            let body = if safe { Body::empty() } else { body };
            match kept.exchange.send(Envelope::new(head.clone(), body)).await {
                Ok(response) => return Ok((kept, response)),
                Err(error) if safe && error.retry() == Retry::IfReused => {}
                Err(error) => return Err(error),
            }
            return self.ask_anew(head, Body::empty()).await;
        }
        self.ask_anew(head, body).await
    }

    async fn ask_anew(&self, head: HeaderBlock, body: Body) -> Result<(Kept, Envelope)> {
        let far = self.route.reach(self.session, self.connection).await?;
        let exchange = far.session().take_exchange().ok_or_else(|| {
            Error::unsupported("forwarding requests to a session that takes none")
        })?;
        match exchange.send(Envelope::new(head, body)).await {
            Ok(response) => Ok((Kept { _far: far, exchange, since: Instant::now() }, response)),
            Err(error) => {
                if let Far::Opened(opened) = &far {
                    // It could be opened, but does not serve.
                    opened.failed(&error, Instant::now());
                }
                Err(error)
            }
        }
    }

    fn kept(&self, safe: bool) -> Option<Kept> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.pop()?;
        if safe || kept.since.elapsed() < FRESH {
            return Some(kept);
        }
        // Those below it have rested even longer.
        idle.push(kept);
        None
    }

    fn keep(&self, mut kept: Kept) {
        kept.since = Instant::now();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
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
                let totals = Arc::clone(&self.connection.totals);
                let end = relay::relay(a, b, self.route.relay.clone(), totals).await;
                tracing::debug!(id = self.connection.id, %end, "upgraded exchange ended");
            }
            Err(error) => {
                tracing::info!(id = self.connection.id, %error, "an upgrade came to nothing");
            }
        }
    }
}

/// A request that may be sent twice: by its method (RFC 9110 §9.2.2), and without content.
fn is_repeatable(head: &HeaderBlock) -> bool {
    let methods: [&[u8]; 3] = [b"GET", b"HEAD", b"OPTIONS"];
    let method = head.get(":method").unwrap_or_default();
    let without = head.get("content-length").is_none_or(|length| length == b"0");
    methods.contains(&method) && without && head.get("transfer-encoding").is_none()
}

/// What `connection` names, in lower case.
fn tokens(head: &HeaderBlock) -> impl Iterator<Item = String> {
    head.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"connection")).flat_map(
        |(_, value)| {
            let text = String::from_utf8_lossy(value).to_ascii_lowercase();
            text.split(',').map(|token| token.trim().to_owned()).collect::<Vec<_>>()
        },
    )
}

/// A head without the fields of its connection and without those that `added` has anew. One that
/// turns into something else keeps what says so.
fn stripped(head: &HeaderBlock, turns: bool, added: &[(&str, String)]) -> Result<HeaderBlock> {
    let named: Vec<String> = tokens(head).collect();
    let goes = |name: &[u8], value: &[u8]| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let own = OWN.contains(&name.as_str())
            || named.contains(&name)
            || name == "te" && value != b"trailers"
            || name == ":scheme";
        let says = turns && matches!(name.as_str(), "connection" | "upgrade");
        own && !says || added.iter().any(|(new, _)| *new == name)
    };
    let kept = head.iter().filter(|(name, value)| !goes(name, value));
    let added = added.iter().filter(|(_, value)| !value.is_empty());
    let added = added.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    HeaderBlock::new(kept.chain(added))
}

async fn refuse(answer: Answer, status: &str, text: &str) {
    let fields = [(":status", status), ("content-type", "text/plain; charset=utf-8")];
    if let Ok(head) = HeaderBlock::new(fields) {
        // A peer that has left needs no answer.
        let _ = answer.send(Envelope::new(head, Body::full(format!("{text}\n")))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{is_repeatable, stripped};
    use jackfield_plugin_api::HeaderBlock;

    fn names(head: &HeaderBlock) -> Vec<String> {
        head.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn fields_of_a_connection_stay_behind() {
        let head = HeaderBlock::new([
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/"),
            ("Connection", "Keep-Alive, X-Secret, upgrade"),
            ("keep-alive", "5"),
            ("x-secret", "1"),
            ("te", "gzip"),
            ("upgrade", "own"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "x"),
            ("x-forwarded-for", "forged"),
            ("accept", "*/*"),
        ])
        .unwrap();
        let added = [("x-forwarded-for", "10.0.0.1".to_owned()), ("x-empty", String::new())];
        let plain = stripped(&head, false, &added).unwrap();
        assert_eq!(names(&plain), [":method", ":path", "accept", "x-forwarded-for"]);
        assert_eq!(plain.get("x-forwarded-for"), Some(&b"10.0.0.1"[..]));
        let turned = stripped(&head, true, &[]).unwrap();
        assert!(turned.get("upgrade").is_some() && turned.get("connection").is_some());
    }

    #[test]
    fn only_what_changes_nothing_is_asked_again() {
        let repeatable = |fields: &[(&str, &str)]| {
            is_repeatable(&HeaderBlock::new(fields.iter().copied()).unwrap())
        };
        assert!(repeatable(&[(":method", "GET")]));
        assert!(repeatable(&[(":method", "GET"), ("content-length", "0")]));
        assert!(!repeatable(&[(":method", "GET"), ("content-length", "1")]));
        assert!(!repeatable(&[(":method", "GET"), ("transfer-encoding", "chunked")]));
        assert!(!repeatable(&[(":method", "POST")]));
    }
}
