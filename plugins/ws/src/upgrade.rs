//! The server's half over a request that something else has read, such as one of `http`: pages and WebSockets at one port.

use crate::endpoint::WsEndpoint;
use crate::server::{Promise, Refusal, Shaken, consider};
use crate::wire::Wire;
use futures_util::future::join;
use jackfield_plugin_api::{
    Address, Body, Envelope, Error, ErrorKind, Exchange, HeaderBlock, Host, Incoming, Info, Origin,
    Result,
};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::http::{Request as HttpRequest, Version};
use tokio_tungstenite::tungstenite::protocol::Role;

/// Answers the next request of `exchange`, and gives the WebSocket that it turns into.
pub(crate) async fn accept(
    endpoint: &WsEndpoint,
    address: &Address,
    (exchange, below): (Exchange, Info),
    host: Host,
) -> Result<Shaken> {
    let none = || Error::new(ErrorKind::Closed, "there is no request to upgrade");
    let Incoming { mut request, answer, .. } = exchange.accept().await?.ok_or_else(none)?;
    let (head, upgrade) = (request.head, request.upgrade.take());
    let mut info = Info::default().with("role", "server");
    let considered = match request_of(&head, upgrade.is_some()) {
        Ok(request) => consider(endpoint, address, &request, &mut info),
        Err(error) => Err(Refusal::bad(error)),
    };
    let ((promise, chosen), upgrade) = match (considered, upgrade) {
        (Ok(considered), Some(upgrade)) => (considered, upgrade),
        (Ok(_), None) => return Err(none()),
        (Err((refusal, error)), _) => {
            // A client that has left needs no answer.
            let _ = answer.send(envelope(&refusal)?).await;
            return Err(error.with_origin(Origin::Downstream));
        }
    };
    let (sent, session) = join(answer.send(switching(&promise, chosen.as_deref())?), upgrade).await;
    sent?;
    let session = session?;
    let stream =
        session.take_stream().ok_or_else(|| Error::unsupported("bytes after a request"))?;
    let wire = Wire::new(stream, host, Some(&endpoint.budget), &[])?;
    let ws = WebSocketStream::from_raw_socket(wire, Role::Server, Some(endpoint.config)).await;
    Ok(Shaken { ws, info: info.over(&below), held: None })
}

/// A head as the request that it stands for. Whether its fields ask for an upgrade, the layer below has judged.
fn request_of(head: &HeaderBlock, upgrades: bool) -> Result<Request> {
    let bad = || Error::new(ErrorKind::Protocol, "the request has a head that is no HTTP");
    let mut request = HttpRequest::builder().version(Version::HTTP_11);
    for (name, value) in head.iter() {
        request = match name {
            b":method" => request.method(value),
            b":path" => request.uri(value),
            b":authority" => request.header(header::HOST, value),
            b":scheme" | b"connection" => request,
            name => request.header(name, value),
        };
    }
    if upgrades {
        request = request.header(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    request.body(()).map_err(|_| bad())
}

/// The answer that turns a request into a WebSocket.
fn switching(promise: &Promise, chosen: Option<&str>) -> Result<Envelope> {
    let fields = promise.fields(chosen);
    let status: [(&[u8], &[u8]); 1] = [(b":status", b"101")];
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    let fields = fields.iter().map(|(name, value)| (&name[..], &value[..]));
    Ok(Envelope::new(HeaderBlock::new(status.into_iter().chain(fields))?, Body::empty()))
}

/// The answer that gives none.
fn envelope(refusal: &Refusal) -> Result<Envelope> {
    let field = refusal.field.split_once(": ").map(|(name, value)| (name.to_lowercase(), value));
    let status = refusal.status.as_str();
    let fields =
        [(":status".to_owned(), status), ("content-type".to_owned(), "text/plain; charset=utf-8")];
    let text = refusal.text.as_ref().map_or_else(String::new, |text| format!("{text}\n"));
    Ok(Envelope::new(HeaderBlock::new(fields.into_iter().chain(field))?, Body::full(text)))
}
