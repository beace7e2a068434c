//! Accepting: a connection whose requests wait to be taken and answered.

use crate::body::{Arrival, Bounds, Outgoing, received};
use crate::carrier::{Carrier, Old};
use crate::endpoint::HttpEndpoint;
use crate::failure::of_content;
use crate::head;
use crate::interim::Interim;
use crate::linger::{Linger, Unread};
use crate::options::Version;
use crate::pace::Paces;
use crate::resets::Resets;
use crate::rt::{Clock, Spawner, Task, tasks};
use crate::serving::{Busy, Graceful, Held, Life, ServerControl};
use crate::upgrade::upgraded;
use crate::users::CHALLENGE;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming as Content};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version as HttpVersion};
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::{
    Address, Answer, Body, Envelope, Error, ErrorKind, Exchange, Exchanger, Facets, Host, Incoming,
    Info, Origin, Result, Session, Stream,
};
use std::any::Any;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, mpsc, oneshot};

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests that wait to be taken.
const QUEUE: usize = 16;

/// Hears which HTTP the client at the other end of `carrier` speaks, and serves it, below the path of the
/// listener's `address`.
pub(crate) async fn accept(
    endpoint: Arc<HttpEndpoint>,
    address: &Address,
    mut carrier: Stream,
    below: &Info,
    host: Host,
) -> Result<Session> {
    let agreed = below.facts.get("alpn").and_then(serde_json::Value::as_str);
    let (http2, first) = match (endpoint.version, agreed) {
        (Version::Http2, _) | (Version::Auto, Some("h2")) => (true, Bytes::new()),
        (Version::Http1, _) | (Version::Auto, Some(_)) => (false, Bytes::new()),
        (Version::Auto, None) => {
            let limit = endpoint.limits.header;
            let listened = host.timeout(limit, "the first request", listen(&mut carrier)).await;
            listened.map_err(|error| error.with_origin(Origin::Downstream))?
        }
    };
    let info = Info::default()
        .with("role", "server")
        .with("http_version", if http2 { "2" } else { "1.1" })
        .over(below);
    let unread = Unread::default();
    let interim = Interim::default();
    let linger = Linger::new(unread.clone(), endpoint.limits.linger, host);
    let life = Arc::new(Life::new(host));
    let old = (!http2)
        .then(|| Old::new(linger, interim.clone(), Arc::clone(&life), endpoint.limits.half_close));
    let most = usize::try_from(endpoint.limits.requests).unwrap_or(usize::MAX);
    let resets = http2.then(|| Resets::after(PREFACE.len(), most));
    let carrier = Carrier::accepted(carrier, first, old, resets, host, endpoint.limits.write);
    let (queue, taken) = mpsc::channel(QUEUE);
    let held = Arc::new(Held::default());
    let serving = Arc::new(Serving {
        held: Arc::downgrade(&held),
        http2,
        unread,
        interim,
        base: base(address),
        scheme: if below.encrypted { "https" } else { "http" },
        endpoint: Arc::clone(&endpoint),
        queue,
        life: Arc::clone(&life),
        info: info.clone(),
        host,
    });
    let paces = Paces::new(host, endpoint.limits.write);
    let (spawner, tasks) = tasks(endpoint.limits.requests, paces.clone());
    let connection = connection(serving, TokioIo::new(carrier), spawner, paces);
    held.hold(host.spawn(tasks.run(connection)));
    let exchange = Exchange::new(ServerExchange {
        taken: Mutex::new(taken),
        life: Arc::clone(&life),
        _held: Arc::clone(&held),
    });
    Ok(Session::builder(ServerControl { info, life, _held: held })
        .facets(Facets::DRAIN)
        .exchange(exchange)
        .build())
}

/// The path below which a listener serves, if it is not all of them. Without a port it is that of a socket.
fn base(address: &Address) -> Option<String> {
    let path = address.path.trim_end_matches('/');
    (address.port.is_some() && !path.is_empty()).then(|| path.to_owned())
}

/// Whether the first bytes are those of HTTP/2, and which they are.
async fn listen(carrier: &mut Stream) -> Result<(bool, Bytes)> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let mut rest = [0; PREFACE.len()];
        let room = PREFACE.len() - first.len();
        let count = carrier.read(&mut rest[..room]).await?;
        if count == 0 {
            let text = "the client left before its first request";
            return Err(Error::new(ErrorKind::Closed, text));
        }
        first.extend_from_slice(&rest[..count]);
    }
    Ok((first == PREFACE, first.freeze()))
}

fn connection(serving: Arc<Serving>, io: TokioIo<Carrier>, spawner: Spawner, paces: Paces) -> Task {
    let limits = serving.endpoint.limits;
    let host = serving.host;
    let life = Arc::clone(&serving.life);
    let (http2, title_case) = (serving.http2, serving.endpoint.title_case);
    let paces = http2.then_some(paces);
    let of_each = paces.clone();
    let service = service_fn(move |request| {
        let (serving, paces) = (Arc::clone(&serving), of_each.clone());
        // Before anything is polled: hyper may read on first, and find the end of the client's direction.
        let busy = Arc::new(serving.life.enter());
        async move {
            let answer = serving.answer(request, Arc::clone(&busy)).await;
            Ok::<_, Infallible>(answer.map(|body| body.paced(paces.as_ref()).of(busy)))
        }
    });
    if http2 {
        let mut builder = http2::Builder::new(spawner);
        builder
            .timer(Clock::new(host))
            .max_concurrent_streams(limits.requests)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.pong);
        let connection = builder.serve_connection(io, service);
        Box::pin(life.run(connection, limits, paces))
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(Clock::new(host))
            .title_case_headers(title_case)
            .header_read_timeout(limits.header)
            .max_headers(limits.headers)
            .max_header_size(limits.header_bytes_size())
            .max_buf_size(limits.header_bytes_size());
        let connection = builder.serve_connection(io, service).with_upgrades();
        Box::pin(life.run(connection, limits, paces))
    }
}

impl<S> Graceful for http1::UpgradeableConnection<TokioIo<Carrier>, S>
where
    S: hyper::service::HttpService<Content, ResBody = Outgoing>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn stop(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Graceful for http2::Connection<TokioIo<Carrier>, S, Spawner>
where
    S: hyper::service::HttpService<Content, ResBody = Outgoing>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    fn stop(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What the requests of one connection share.
struct Serving {
    http2: bool,
    unread: Unread,
    interim: Interim,
    /// All requests are below it.
    base: Option<String>,
    scheme: &'static str,
    endpoint: Arc<HttpEndpoint>,
    queue: mpsc::Sender<Incoming>,
    life: Arc<Life>,
    held: Weak<Held>,
    info: Info,
    host: Host,
}

impl Serving {
    /// Passes a request to its taker, and waits for the answer.
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Content>,
        busy: Arc<Busy>,
    ) -> Response<Outgoing> {
        if request.body().is_end_stream() {
            self.unread.none();
        }
        if let Err((status, text)) = self.admit(&mut request) {
            return refusal(status, text);
        }
        let connects = *request.method() == Method::CONNECT;
        let upgrades = connects || request.headers().contains_key(header::UPGRADE);
        let upgrade = upgrades.then(|| hyper::upgrade::on(&mut request));
        let (parts, content) = request.into_parts();
        // HTTP/1.0 has none, and for HTTP/2 hyper has no way to send one.
        let interim = (parts.version == HttpVersion::HTTP_11).then(|| self.interim.clone());
        if let Some(interim) = &interim {
            interim.begin();
        }
        let unread = parts.method == Method::HEAD;
        let head = match head::of_request(parts, self.scheme) {
            Ok(head) => head,
            Err(rule) => return refusal(StatusCode::BAD_REQUEST, rule),
        };
        let limits = self.endpoint.limits;
        // The connection runs as long as somebody has the content, or what it turns into.
        let alive =
            || -> Arc<dyn Any + Send + Sync> { Arc::new((Arc::clone(&busy), self.held.upgrade())) };
        let given = Given {
            http2: self.http2,
            unread,
            connects,
            interim: interim.clone(),
            upgrades: upgrade.is_some().then(|| self.unread.clone()),
        };
        let upgrade = upgrade.map(|on| upgraded(on, self.info.clone(), alive()));
        let bounds = Bounds { host: self.host, pause: limits.body, most: limits.request_body };
        let comes = !connects && !content.is_end_stream();
        let arrival = comes.then(|| Arc::new(Arrival::new(self.unread.clone())));
        let body = match &arrival {
            Some(arrival) => received(content, bounds, Some(Arc::clone(arrival)), alive()),
            None => Body::empty(),
        };
        let (tell, told) = oneshot::channel();
        let give = move |envelope| given.give(envelope, tell);
        let answer = match interim {
            Some(interim) => Answer::telling(give, move |head| interim.tell(&head)),
            None => Answer::new(give),
        };
        let mut request = Envelope::new(head, body);
        request.upgrade = upgrade;
        if self.queue.send(Incoming::new(request, answer)).await.is_err() {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "the listener has stopped");
        }
        told.await.unwrap_or_else(|_| {
            let unanswered = || (StatusCode::INTERNAL_SERVER_ERROR, "the request was not answered");
            let failure = arrival.as_deref().and_then(Arrival::failure);
            let (status, text) = failure.map_or_else(unanswered, of_content);
            refusal(status, text)
        })
    }

    /// Takes from a request what is for this listener alone.
    ///
    /// # Errors
    /// The answer to one that goes no further, and why.
    fn admit(
        &self,
        request: &mut Request<Content>,
    ) -> std::result::Result<(), (StatusCode, &'static str)> {
        let (method, version) = (request.method().clone(), request.version());
        let length = request.body().size_hint().lower();
        let is_served =
            self.base.as_ref().is_none_or(|base| head::is_below(request.uri().path(), base));
        head::plain(request.headers())?;
        let headers = request.headers_mut();
        if !self.endpoint.users.admit(headers) {
            return Err((StatusCode::UNAUTHORIZED, "authentication required"));
        }
        self.endpoint.upgrades.admit(version, &method, headers);
        if !is_served {
            return Err((StatusCode::NOT_FOUND, "nothing is served at this path"));
        }
        if length > self.endpoint.limits.request_body {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the content is longer than allowed"));
        }
        Ok(())
    }
}

/// How an answer is given.
struct Given {
    http2: bool,
    /// Nobody asks for its content.
    unread: bool,
    /// It is of CONNECT.
    connects: bool,
    /// Where there may be interim responses.
    interim: Option<Interim>,
    /// Of a request that may turn into something else: what has come after it.
    upgrades: Option<Unread>,
}

impl Given {
    /// Gives an answer to its request and waits until it has been sent.
    async fn give(
        self,
        envelope: Envelope,
        tell: oneshot::Sender<Response<Outgoing>>,
    ) -> Result<()> {
        if let Some(interim) = &self.interim {
            interim.answered();
        }
        let mut response = match self.response(&envelope) {
            Ok(response) => response,
            Err(error) => {
                let text = "the answer is not well formed";
                let _ = tell.send(refusal(StatusCode::INTERNAL_SERVER_ERROR, text));
                return Err(error);
            }
        };
        let status = response.status();
        let unread = self.unread
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut body = if status.is_informational() {
            Outgoing::empty()
        } else {
            Outgoing::new(envelope.body)
        };
        body.fit(response.headers_mut());
        let (body, told) = body.told(unread);
        let gone = || {
            Error::new(ErrorKind::Closed, "the client closed the connection before it was answered")
                .with_origin(Origin::Downstream)
        };
        tell.send(response.map(|()| body)).map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }

    fn response(&self, envelope: &Envelope) -> Result<Response<()>> {
        let response = head::response(&envelope.head, self.http2)?;
        let status = response.status();
        match &self.upgrades {
            Some(unread) if self.connects && status.is_success() => unread.upgraded(),
            Some(unread) if !self.connects && status == StatusCode::SWITCHING_PROTOCOLS => {
                unread.upgraded();
            }
            _ if status.is_informational() => {
                let text = format!("{status} answers no request that asks for no upgrade");
                return Err(Error::new(ErrorKind::Config, text));
            }
            _ => {}
        }
        Ok(response)
    }
}

fn refusal(status: StatusCode, text: &str) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::full(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    // What comes next may be anything.
    let closes = [
        StatusCode::BAD_REQUEST,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::NOT_IMPLEMENTED,
    ];
    if closes.contains(&status) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The exchange facet.
struct ServerExchange {
    taken: Mutex<mpsc::Receiver<Incoming>>,
    life: Arc<Life>,
    _held: Arc<Held>,
}

impl Exchanger for ServerExchange {
    async fn accept(&self) -> Result<Option<Incoming>> {
        match self.taken.lock().await.recv().await {
            Some(incoming) => Ok(Some(incoming)),
            None => match self.life.failure() {
                Some(error) => Err(error.with_origin(Origin::Downstream)),
                None => Ok(None),
            },
        }
    }
}

/// How a connection ended that was given up, if anybody should know.
pub(crate) fn notable(result: Result<()>, served: bool) -> Option<Error> {
    let error = result.err()?;
    // A client that was served may leave, or stay and say nothing, as it likes.
    let quiet = served && matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Closed);
    (!quiet).then_some(error)
}
