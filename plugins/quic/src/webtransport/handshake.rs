//! From a connection to a session: settings both ways, then a request and its answer.

use super::codes;
use super::incoming::Incoming;
use super::session::{Begun, Wt};
use super::settings::{Theirs, ours};
use crate::link::Link;
use crate::mux::Mux;
use jackfield_plugin_api::{Address, Error, ErrorKind, Info, Origin, Result, mask_query};
use quinn::{ConnectionError, RecvStream, SendStream};
use std::io::Cursor;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use url::Url;
use web_transport_proto::http::{HeaderName, HeaderValue, StatusCode};
use web_transport_proto::{ConnectError, ConnectRequest, ConnectResponse, Frame};

/// What a client asks with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) origin: Option<String>,
    pub(crate) protocols: Vec<String>,
}

/// What a listener accepts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The only path; empty: any.
    pub(crate) path: String,
    /// Where pages may come from; empty: anywhere.
    pub(crate) origins: Vec<String>,
    /// In the order of our preference.
    pub(crate) protocols: Vec<String>,
}

/// Settings have been exchanged.
struct Ready {
    link: Arc<Link>,
    incoming: Incoming,
    settings: SendStream,
    theirs: Theirs,
}

/// Why a connection ended before it carried a session.
fn ended(link: &Link, lost: &ConnectionError) -> Error {
    match lost {
        // Nobody but who reads the peer's frames ends it from our side so early.
        ConnectionError::LocallyClosed => link.explain.nonsense("first frames"),
        lost => link.explain.handshake(lost),
    }
}

/// What came of writing or reading: the connection's end tells more than the stream's.
fn broken(link: &Link, otherwise: impl FnOnce() -> Error) -> Error {
    match link.connection.close_reason() {
        Some(lost) => ended(link, &lost),
        None => otherwise(),
    }
}

async fn exchange(link: Arc<Link>) -> Result<Ready> {
    let connection = &link.connection;
    let incoming = Incoming::start(&link);
    let mut settings = connection.open_uni().await.map_err(|lost| ended(&link, &lost))?;
    ours().write(&mut settings).await.map_err(|error| {
        let unsent = || Error::new(ErrorKind::Closed, format!("settings not sent: {error}"));
        broken(&link, unsent)
    })?;
    let Some(theirs) = incoming.settings().await else {
        return Err(ended(&link, &link.connection.closed().await));
    };
    if theirs.dialect.is_none() {
        return Err(Error::new(ErrorKind::Unsupported, "the peer does not offer WebTransport"));
    }
    Ok(Ready { link, incoming, settings, theirs })
}

impl Ready {
    fn session(self, send: SendStream, recv: RecvStream, facts: Info) -> Arc<dyn Mux> {
        Arc::new(Wt::new(Begun {
            facts: facts.with("dialect", self.theirs.dialect.unwrap_or_default()),
            link: self.link,
            incoming: self.incoming,
            settings: self.settings,
            send,
            recv,
            flow: self.theirs.flow,
            bare: self.theirs.bare,
        }))
    }
}

/// Asks a server for a session.
pub(crate) async fn connect(link: Arc<Link>, address: &Address, ask: &Ask) -> Result<Arc<dyn Mux>> {
    let request = request(address, ask)?;
    let ready = exchange(link).await?;
    let link = &ready.link;
    let opened = link.connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|lost| ended(link, &lost))?;
    let unsent = |error| broken(link, || garbled(&error));
    request.write(&mut send).await.map_err(unsent)?;
    let response = ConnectResponse::read(&mut recv).await.map_err(|error| match error {
        ConnectError::WrongStatus(Some(status)) => {
            let message = format!("the server answered {}", status.as_u16());
            Error::new(ErrorKind::Refused, message).with("path", mask_query(&address.target()))
        }
        other => broken(link, || garbled(&other)),
    })?;
    let mut facts = Info::default().with("path", address.target());
    if let Some(protocol) = response.protocol {
        if !ask.protocols.contains(&protocol) {
            let message = "the server chose a protocol that was not offered";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        facts = facts.with("protocol", protocol);
    }
    Ok(ready.session(send, recv, facts))
}

fn garbled(error: &ConnectError) -> Error {
    Error::new(ErrorKind::Protocol, format!("the request or its answer is invalid: {error}"))
}

fn request(address: &Address, ask: &Ask) -> Result<ConnectRequest> {
    let text = format!("https://{}{}", address.authority(), address.target());
    let url = Url::parse(&text).map_err(|error| {
        Error::new(ErrorKind::Config, format!("not an address for a request: {error}"))
            .with("address", text)
    })?;
    let mut request = ConnectRequest::new(url)
        .with_protocols(ask.protocols.iter().cloned())
        // Servers of the first drafts look for it.
        .with_header(
            HeaderName::from_static("sec-webtransport-http3-draft02"),
            HeaderValue::from_static("1"),
        );
    if let Some(origin) = &ask.origin {
        let value = HeaderValue::from_str(origin)
            .map_err(|_| Error::option("origin", "is not text for a header"))?;
        request = request.with_header(HeaderName::from_static("origin"), value);
    }
    Ok(request)
}

/// Waits for a request for a session and answers it.
pub(crate) async fn accept(link: Arc<Link>, rules: &Rules) -> Result<Arc<dyn Mux>> {
    let ready = exchange(link).await?;
    let (request, mut send, recv) = next_request(&ready).await?;
    let origin = request.headers.get("origin").and_then(|value| value.to_str().ok());
    if let Some((status, why)) = rules.refusal(request.url.path(), origin) {
        reject(&ready, send, status).await;
        return Err(Error::new(ErrorKind::Denied, why)
            .with_origin(Origin::Downstream)
            .with("path", request.url.path()));
    }
    let protocol = rules.protocols.iter().find(|name| request.protocols.contains(name));
    let mut response = ConnectResponse::OK;
    let mut facts =
        Info::default().with("path", request.url.path()).with("authority", request.url.authority());
    if let Some(protocol) = protocol {
        response = response.with_protocol(protocol);
        facts = facts.with("protocol", protocol.clone());
    }
    if let Some(origin) = origin {
        facts = facts.with("origin", origin);
    }
    let unsent = |error| broken(&ready.link, || garbled(&error));
    response.write(&mut send).await.map_err(unsent)?;
    Ok(ready.session(send, recv, facts))
}

/// The first request that asks for a session; others are rejected.
async fn next_request(ready: &Ready) -> Result<(ConnectRequest, SendStream, RecvStream)> {
    loop {
        let Some((mut send, mut recv)) = ready.incoming.queues().requests.next().await else {
            return Err(ended(&ready.link, &ready.link.connection.closed().await));
        };
        // What was read to know the stream belongs to its first frame.
        let mut first = Vec::new();
        Frame::HEADERS.encode(&mut first);
        match ConnectRequest::read(&mut Cursor::new(first).chain(&mut recv)).await {
            Ok(request) => return Ok((request, send, recv)),
            Err(_) => {
                let _ = send.reset(codes::REQUEST_REJECTED);
                let _ = recv.stop(codes::REQUEST_REJECTED);
            }
        }
    }
}

/// Answers no, and waits until that has arrived.
async fn reject(ready: &Ready, mut send: SendStream, status: StatusCode) {
    if ConnectResponse::new(status).write(&mut send).await.is_ok() && send.finish().is_ok() {
        let _ = send.stopped().await;
    }
    ready.link.connection.close(codes::NO_ERROR, b"");
}

impl Rules {
    fn refusal(&self, path: &str, origin: Option<&str>) -> Option<(StatusCode, &'static str)> {
        if !self.path.is_empty() && self.path != path {
            return Some((StatusCode::NOT_FOUND, "the request is for another path"));
        }
        let stranger = |origin: &str| !self.origins.iter().any(|known| known == origin);
        if !self.origins.is_empty() && origin.is_some_and(stranger) {
            return Some((StatusCode::FORBIDDEN, "the request is from a page of another origin"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;

    #[test]
    fn paths_and_origins_are_matched_whole() {
        let rules = Rules {
            path: "/wt".into(),
            origins: vec!["https://a.test".into()],
            ..Rules::default()
        };
        let status = |path, origin| rules.refusal(path, origin).map(|(status, _)| status.as_u16());
        assert_eq!(status("/wt", None), None);
        assert_eq!(status("/wt", Some("https://a.test")), None);
        assert_eq!(status("/wt", Some("https://a.test.evil")), Some(403));
        assert_eq!(status("/wt/more", None), Some(404));
        assert!(Rules::default().refusal("/any", Some("https://b.test")).is_none());
    }
}
