//! The client's half of the opening handshake (RFC 6455 §4.1).

use crate::endpoint::WsEndpoint;
use crate::failure::answered;
use crate::head;
use crate::wire::Wire;
use bytes::BytesMut;
use data_encoding::BASE64;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Info, Result, Stream, mask_query};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::{Request, generate_key};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::http::{Response, StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::Role;

/// The most answers that may come before the answer (RFC 9110 §15.2).
const INTERIM: usize = 32;

/// What a client asks for.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a WsEndpoint,
    pub(crate) address: &'a Address,
    /// Subprotocols that are offered where the options name none; a server may pass all of them over.
    pub(crate) offered: Vec<String>,
}

/// Asks the server at the other end of `carrier` for a WebSocket.
pub(crate) async fn connect(
    asked: &Asked<'_>,
    carrier: Stream,
    below: &Info,
    host: Host,
) -> Result<(WebSocketStream<Wire>, Info)> {
    let target = asked.address.target();
    let shaken = shake(asked, carrier, below, host).await;
    shaken.map_err(|error| error.with("path", mask_query(&target)))
}

async fn shake(
    asked: &Asked<'_>,
    mut carrier: Stream,
    below: &Info,
    host: Host,
) -> Result<(WebSocketStream<Wire>, Info)> {
    let request = request(asked, below.encrypted)?;
    let target = asked.address.target();
    carrier.write_all(&head::write(&format!("GET {target} HTTP/1.1"), request.headers())).await?;
    carrier.flush().await?;
    let mut came = BytesMut::new();
    let response = answer(&mut carrier, &mut came).await?;
    agrees(asked, &request, &response)?;
    let facts = info(response.headers(), target);
    let wire = Wire::new(carrier, host, None, &came)?;
    let config = Some(asked.endpoint.config);
    let ws = WebSocketStream::from_partially_read(wire, came.to_vec(), Role::Client, config).await;
    Ok((ws, facts.over(below)))
}

/// The answer that counts.
async fn answer(carrier: &mut Stream, came: &mut BytesMut) -> Result<Response<()>> {
    for _ in 0..INTERIM {
        let response = head::response(&head::read(carrier, came).await?)?;
        let status = response.status();
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
    }
    let text = format!("the server sent {INTERIM} interim answers and no answer");
    Err(Error::new(ErrorKind::Limit, text))
}

/// Whether the server has agreed, and to what was asked for.
fn agrees(asked: &Asked<'_>, request: &Request, response: &Response<()>) -> Result<()> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(answered(response));
    }
    let headers = response.headers();
    let bad = |what: &str| Err(Error::new(ErrorKind::Protocol, what));
    if !head::has_token(headers, &header::UPGRADE, "websocket") {
        return bad("the server's 101 has no `Upgrade: websocket`");
    }
    if !head::has_token(headers, &header::CONNECTION, "upgrade") {
        return bad("the server's 101 has no `Connection: Upgrade`");
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(key.unwrap_or_default()).as_bytes()) {
        return bad("the server's Sec-WebSocket-Accept does not answer our key");
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return bad("the server uses an extension that was not offered");
    }
    let ours = &asked.endpoint.subprotocols;
    let offered = if ours.is_empty() { &asked.offered } else { ours };
    let mut chosen = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    match (chosen.next(), chosen.next()) {
        (None, _) if ours.is_empty() => Ok(()),
        (None, _) => bad("the server chose none of the offered subprotocols"),
        (Some(name), None) if offered.iter().any(|offer| offer.as_bytes() == name.as_bytes()) => {
            Ok(())
        }
        _ => bad("the server has chosen a subprotocol that was not offered"),
    }
}

fn request(asked: &Asked<'_>, encrypted: bool) -> Result<Request> {
    let Asked { endpoint, address, offered } = asked;
    let bad = |what: &str| {
        Error::new(ErrorKind::Config, format!("{what} cannot be used for a WebSocket"))
            .with("address", address.authority())
            .with("path", &address.path)
    };
    let host = host(address, encrypted);
    // Only the target of it is sent, which must be one.
    let uri: Uri = format!("ws://{host}{}", address.target())
        .parse()
        .map_err(|_| bad("the address or its path"))?;
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let fixed = |text: &'static str| HeaderValue::from_static(text);
    headers.insert(header::HOST, HeaderValue::from_str(&host).map_err(|_| bad("the host"))?);
    headers.insert(header::CONNECTION, fixed("Upgrade"));
    headers.insert(header::UPGRADE, fixed("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, fixed("13"));
    let key = HeaderValue::from_str(&generate_key()).map_err(|_| bad("the key"))?;
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    let offered = if endpoint.subprotocols.is_empty() { offered } else { &endpoint.subprotocols };
    if !offered.is_empty() {
        let offered = HeaderValue::from_str(&offered.join(", "));
        let offered = offered.map_err(|_| bad("a subprotocol"))?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(user) = &address.user {
        if headers.contains_key(header::AUTHORIZATION) {
            let message = "and a user in the address exclude each other";
            return Err(Error::option("bearer_token", message).with("user", user));
        }
        headers.insert(header::AUTHORIZATION, basic(user, address)?);
    }
    Ok(request)
}

/// The user and password of the address (RFC 7617).
fn basic(user: &str, address: &Address) -> Result<HeaderValue> {
    if user.contains(':') {
        return Err(Error::new(ErrorKind::Config, "a user name for HTTP must not have a colon"));
    }
    let password = address.password.as_ref().map_or("", |password| password.expose());
    let encoded = BASE64.encode(format!("{user}:{password}").as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .map_err(|_| Error::new(ErrorKind::Config, "the user cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The `Host` header: without the port where it is the default one (RFC 9110 §7.2).
fn host(address: &Address, encrypted: bool) -> String {
    let default = if encrypted { 443 } else { 80 };
    match (address.host.as_str(), address.port) {
        ("", _) => "localhost".to_owned(),
        (_, Some(port)) if port == default => address.bracketed_host(),
        _ => address.authority(),
    }
}

fn info(headers: &HeaderMap, target: String) -> Info {
    let info = Info::default().with("role", "client").with("path", target);
    let info = with_text(info, "subprotocol", headers, &header::SEC_WEBSOCKET_PROTOCOL);
    with_text(info, "server", headers, &header::SERVER)
}

/// Adds a header as a fact, if it is there and is text.
pub(crate) fn with_text(info: Info, fact: &str, headers: &HeaderMap, name: &HeaderName) -> Info {
    match headers.get(name).map(HeaderValue::to_str) {
        Some(Ok(text)) => info.with(fact, text),
        _ => info,
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, host};
    use crate::{WsEndpoint, WsOptions};
    use jackfield_plugin_api::Result;
    use jackfield_plugin_api::{Address, ErrorKind, Role, Secret};
    use tokio_tungstenite::tungstenite::handshake::client::Request;

    fn endpoint(options: WsOptions) -> WsEndpoint {
        WsEndpoint::new(options, Role::Client).unwrap()
    }

    fn request(endpoint: &WsEndpoint, address: &Address, encrypted: bool) -> Result<Request> {
        super::request(&Asked { endpoint, address, offered: Vec::new() }, encrypted)
    }

    #[test]
    fn the_default_port_is_not_in_the_host() {
        assert_eq!(host(&Address::new("a.test", 80), false), "a.test");
        assert_eq!(host(&Address::new("a.test", 80), true), "a.test:80");
        assert_eq!(host(&Address::new("::1", 443), true), "[::1]");
        assert_eq!(host(&Address::default(), false), "localhost");
    }

    #[test]
    fn a_user_becomes_basic_and_stays_hidden() {
        let mut address = Address::new("a.test", 8080).with_path("/a").with_user("Aladdin");
        address.password = Some(Secret::new("open sesame"));
        address.query = Some("b=c".into());
        let request = request(&endpoint(WsOptions::default()), &address, false).unwrap();
        assert_eq!(request.uri().path_and_query().unwrap(), "/a?b=c");
        assert_eq!(request.headers()["host"], "a.test:8080");
        let authorization = &request.headers()["authorization"];
        assert_eq!(authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{request:?}").contains("QWxhZGRpbj"));
    }

    #[test]
    fn two_credentials_are_one_too_many() {
        let options = WsOptions { bearer_token: Some(Secret::new("t0p")), ..WsOptions::default() };
        assert!(!format!("{options:?}").contains("t0p"));
        let endpoint = endpoint(options);
        assert!(!format!("{endpoint:?}").contains("t0p"));
        let mut address = Address::new("a.test", 80);
        let sent = request(&endpoint, &address, false).unwrap();
        assert_eq!(sent.headers()["authorization"], "Bearer t0p");
        address.user = Some("me".into());
        let error = request(&endpoint, &address, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.to_string().contains("t0p"));
    }

    #[test]
    fn a_path_that_is_no_target_is_refused() {
        let address = Address::new("a.test", 80).with_path("/a b");
        let error = request(&endpoint(WsOptions::default()), &address, false).unwrap_err();
        assert!(error.to_string().contains("path=/a b"), "{error}");
    }
}
