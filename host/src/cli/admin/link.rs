//! [`HostLink`]: requests to a running host.

use super::network::NetworkPlace;
use super::place::AdminArgs;
use crate::cli::failure::{Failure, Outcome};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, IF_MATCH, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What is written as it is in one part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The way to a running host.
#[derive(Clone, Debug)]
pub(in crate::cli) struct HostLink(LinkPlace);

#[derive(Clone, Debug)]
enum LinkPlace {
    /// A Unix socket of this machine.
    Socket(PathBuf),
    Network(Arc<NetworkPlace>),
}

/// A connection to a host.
trait LinkStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> LinkStream for S {}

impl fmt::Display for LinkPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkPlace::Socket(path) => path.display().fmt(f),
            LinkPlace::Network(place) => place.fmt(f),
        }
    }
}

/// One part of a path or a query.
pub(in crate::cli) fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

impl HostLink {
    /// By a socket of this machine.
    pub(super) fn new(place: PathBuf) -> Self {
        HostLink(LinkPlace::Socket(place))
    }

    /// Over the network.
    pub(super) fn over(place: NetworkPlace) -> Self {
        HostLink(LinkPlace::Network(Arc::new(place)))
    }

    /// A connection of one's own.
    async fn connect(&self) -> Outcome<Box<dyn LinkStream>> {
        let path = match &self.0 {
            LinkPlace::Socket(path) => path,
            LinkPlace::Network(place) => return Ok(Box::new(place.connect().await?)),
        };
        let stream = UnixStream::connect(path).await;
        let stream =
            stream.map_err(|error| Failure::no_host(format!("{}: {error}", path.display())))?;
        Ok(Box::new(stream))
    }

    /// Sends a request; the answer may go on for long.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Response<Incoming>> {
        self.send_with((method, path), body, &[]).await
    }

    /// As [`HostLink::send`], with more fields.
    async fn send_with(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        fields: &[(HeaderName, &str)],
    ) -> Outcome<Response<Incoming>> {
        let place = &self.0;
        let failed = |error: &dyn fmt::Display| Failure::run(format!("{place}: {error}"));
        let stream = self.connect().await?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| failed(&error))?;
        // It ends with its request; what goes wrong there is told by the answer.
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        let text = body.map(Value::to_string).unwrap_or_default();
        let host = match place {
            LinkPlace::Socket(_) => "localhost",
            LinkPlace::Network(place) => &place.authority,
        };
        let request = Request::builder().method(method).uri(path).header(HOST, host);
        let mut request = request.header(CONTENT_TYPE, "application/json");
        if let LinkPlace::Network(place) = place
            && let Some(authorization) = &place.authorization
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(Bytes::from(text))).map_err(|error| failed(&error))?;
        sender.send_request(request).await.map_err(|error| failed(&error))
    }

    /// Sends a request; answers its text, or fails with what the host says is wrong.
    pub(super) async fn text(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<String> {
        whole(self.send(method, path, body).await?).await
    }

    /// Makes a WebSocket of a connection of one's own (RFC 6455, section 4.1).
    pub(in crate::cli) async fn socket(&self, path: &str) -> Outcome<Upgraded> {
        let key = generate_key();
        let fields = [
            (CONNECTION, "upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, &*key),
        ];
        let response = self.send_with(("GET", path), None, &fields).await?;
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        let is_ours = accept.is_some_and(|it| *it == derive_accept_key(key.as_bytes()));
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || !is_ours {
            let text = whole(response).await?;
            return Err(Failure::run(format!("expected a WebSocket, found {text}")));
        }
        hyper::upgrade::on(response).await.map_err(Failure::run)
    }

    /// As [`HostLink::text`], with the answer read.
    pub(in crate::cli) async fn json(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        read(&self.text(method, path, body).await?)
    }

    /// All items of a list, page by page.
    pub(super) async fn all(&self, path: &str) -> Outcome<Vec<Value>> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.json("GET", &format!("{path}{mark}limit=1000{cursor}"), None).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", part(next)),
                None => return Ok(items),
            }
        }
    }
}

/// The text of an answer.
///
/// # Errors
/// What the host says is wrong.
async fn whole(response: Response<Incoming>) -> Outcome<String> {
    let status = response.status();
    let read = response.into_body().collect().await;
    let bytes = read.map_err(|error| Failure::run(format!("the answer was cut: {error}")))?;
    let text = String::from_utf8_lossy(&bytes.to_bytes()).into_owned();
    if status.is_success() {
        return Ok(text);
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or_else(|| status.as_str()).to_owned();
    let hint = problem["nearest"].as_str().filter(|near| !detail.contains(*near));
    let hint = hint.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let text = format!("{detail}{hint}");
    Err(if status.is_client_error() { Failure::config(text) } else { Failure::run(text) })
}

fn read(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|error| Failure::run(format!("expected JSON: {error}")))
}

/// Asks a host one thing.
pub(super) fn asked(
    args: &AdminArgs,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Outcome<String> {
    super::ask(async { args.host().await?.text(method, path, body).await })
}

/// As [`asked`] without a body, if what it is about has the tag `expected`.
pub(super) fn asked_if(
    args: &AdminArgs,
    method_and_path: (&str, &str),
    expected: Option<&str>,
) -> Outcome<String> {
    super::ask(async {
        let expected = expected.map(|expected| (IF_MATCH, expected));
        let host = args.host().await?;
        whole(host.send_with(method_and_path, None, expected.as_slice()).await?).await
    })
}
