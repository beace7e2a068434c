//! The server's half of the opening handshake (RFC 6455 §4.2).

use crate::client::with_text;
use crate::close::dismiss;
use crate::endpoint::WsEndpoint;
use crate::head::{self, Bad};
use crate::wire::Wire;
use bytes::{Bytes, BytesMut};
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Info, Origin, Result, Stream};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::http::{Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::protocol::Role;

/// A client's request, and whether its answer waits for the destination.
pub(crate) struct Shaken {
    pub(crate) ws: WebSocketStream<Wire>,
    pub(crate) info: Info,
    /// The answer, without its end, that waits.
    pub(crate) held: Option<Promise>,
}

/// The answer that is to be given.
#[derive(Debug)]
pub(crate) struct Promise {
    accept: String,
    /// What the client offers.
    pub(crate) offered: Vec<String>,
}

impl Promise {
    /// The answer, with the subprotocol that was chosen.
    pub(crate) fn kept(&self, subprotocol: Option<&str>) -> Bytes {
        head::write("HTTP/1.1 101 Switching Protocols", &self.fields(subprotocol))
    }

    /// The fields of it.
    pub(crate) fn fields(&self, subprotocol: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let fixed = |text: &'static str| HeaderValue::from_static(text);
        headers.insert(header::CONNECTION, fixed("Upgrade"));
        headers.insert(header::UPGRADE, fixed("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        // Tokens only, which are header values.
        if let Some(Ok(chosen)) = subprotocol.map(HeaderValue::from_str) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        headers
    }
}

/// Answers the client at the other end of `carrier`; `deferred`: not before it is told to.
pub(crate) async fn accept(
    endpoint: &WsEndpoint,
    address: &Address,
    mut carrier: Stream,
    below: &Info,
    (host, deferred): (Host, bool),
) -> Result<Shaken> {
    let mut came = BytesMut::new();
    let mut info = Info::default().with("role", "server");
    let error = match ask(endpoint, address, &mut carrier, &mut came, &mut info).await {
        Ok((promise, chosen)) => {
            let held = deferred && chosen.is_none();
            let wire = Wire::new(carrier, host, Some(&endpoint.budget), &came)?.held();
            let ws = WebSocketStream::from_partially_read(
                wire,
                came.to_vec(),
                Role::Server,
                Some(endpoint.config),
            );
            let mut ws = ws.await;
            if held {
                let info = info.with("protocols", promise.offered.clone());
                return Ok(Shaken { ws, info: info.over(below), held: Some(promise) });
            }
            ws.get_mut().open(promise.kept(chosen.as_deref()));
            ws.get_mut().flush().await?;
            return Ok(Shaken { ws, info: info.over(below), held: None });
        }
        Err(Refused { answer, error }) => {
            if let Some(answer) = answer {
                // If it cannot be written, the client has left.
                let _ = carrier.write_all(&answer.bytes()).await;
            }
            error
        }
    };
    dismiss(carrier, host, endpoint.limits.close_timeout).await;
    let error = error.with_origin(Origin::Downstream);
    Err(match &below.peer {
        Some(peer) => error.with("peer", peer),
        None => error,
    })
}

/// Why a client gets no WebSocket, and the answer to it; none if the client is gone.
#[derive(Debug)]
struct Refused {
    answer: Option<Refusal>,
    error: Error,
}

/// The answer that gives no WebSocket.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One more field; empty for none.
    pub(crate) field: &'static str,
    pub(crate) text: Option<String>,
}

impl Refusal {
    /// For a request that is none.
    pub(crate) fn bad(error: Error) -> (Self, Error) {
        (Refusal { status: StatusCode::BAD_REQUEST, field: "", text: None }, error)
    }

    fn bytes(&self) -> Bytes {
        if let Some(text) = &self.text {
            return refusal(self.status, text);
        }
        let (status, field) = (line(self.status), self.field);
        let end = if field.is_empty() { "" } else { "\r\n" };
        format!("{status}{end}{field}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").into()
    }
}

impl Refused {
    /// With an answer that has nothing but its status and one more field.
    fn bare(status: StatusCode, field: &'static str, error: impl Into<Error>) -> Self {
        Refused { answer: Some(Refusal { status, field, text: None }), error: error.into() }
    }
}

impl From<Bad> for Refused {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Io(_) | Bad::Ended => Refused { answer: None, error: bad.into() },
            Bad::TooLong(_) => Refused::bare(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "", bad),
            Bad::Malformed(_) => Refused::bare(StatusCode::BAD_REQUEST, "", bad),
        }
    }
}

fn line(status: StatusCode) -> String {
    format!("HTTP/1.1 {} {}", status.as_str(), status.canonical_reason().unwrap_or_default())
}

/// Reads a request and decides about it: the answer, and the subprotocol that is ours to choose.
async fn ask(
    endpoint: &WsEndpoint,
    address: &Address,
    carrier: &mut Stream,
    came: &mut BytesMut,
    info: &mut Info,
) -> std::result::Result<(Promise, Option<String>), Refused> {
    let request = head::request(&head::read(carrier, came).await?)?;
    let considered = consider(endpoint, address, &request, info);
    considered.map_err(|(answer, error)| Refused { answer: Some(answer), error })
}

/// Decides about a request: the answer, and the subprotocol that is ours to choose.
pub(crate) fn consider(
    endpoint: &WsEndpoint,
    address: &Address,
    request: &Request,
    info: &mut Info,
) -> std::result::Result<(Promise, Option<String>), (Refusal, Error)> {
    let key = understood(request)?;
    *info = facts(std::mem::take(info), request);
    let chosen = decide(endpoint, address, request).map_err(|(status, error)| {
        let text = Some(error.message().to_owned());
        (Refusal { status, field: "", text }, error)
    })?;
    if let Some(chosen) = &chosen {
        *info = std::mem::take(info).with("subprotocol", chosen.clone());
    }
    let offered = head::list(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offered.map(str::to_owned).collect();
    Ok((Promise { accept: derive_accept_key(key.as_bytes()), offered }, chosen))
}

/// Whether a request asks for a WebSocket of this version; its key.
fn understood(request: &Request) -> std::result::Result<HeaderValue, (Refusal, Error)> {
    let broken = |what: &str| Error::new(ErrorKind::Protocol, format!("the request {what}"));
    let refused = |status, field, error| Err((Refusal { status, field, text: None }, error));
    let headers = request.headers();
    if request.method() != Method::GET {
        let error = broken("is none by GET");
        return refused(StatusCode::METHOD_NOT_ALLOWED, "Allow: GET", error);
    }
    if request.version() != Version::HTTP_11 {
        return refused(StatusCode::BAD_REQUEST, "", broken("is not HTTP/1.1"));
    }
    let upgrades = head::has_token(headers, &header::UPGRADE, "websocket")
        && head::has_token(headers, &header::CONNECTION, "upgrade");
    if !upgrades {
        let error = broken("asks for no WebSocket");
        return refused(StatusCode::UPGRADE_REQUIRED, "Upgrade: websocket", error);
    }
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version.as_bytes() != b"13") {
        let error = broken("is of another version than 13");
        let field = "Sec-WebSocket-Version: 13";
        return refused(StatusCode::UPGRADE_REQUIRED, field, error);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Ok(key.clone()),
        (None, _) => {
            let error = broken("has no Sec-WebSocket-Key");
            refused(StatusCode::BAD_REQUEST, "", error)
        }
        _ => {
            let error = broken("has a Sec-WebSocket-Key that is not 16 bytes in base64, once");
            refused(StatusCode::BAD_REQUEST, "", error)
        }
    }
}

/// Whether `key` is 16 bytes in base64 (RFC 6455 §4.1). Bits that carry nothing may be any.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}

/// What is worth knowing of a request.
fn facts(info: Info, request: &Request) -> Info {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let info = info.with("path", target);
    let info = with_text(info, "origin", request.headers(), &header::ORIGIN);
    with_text(info, "user_agent", request.headers(), &header::USER_AGENT)
}

/// Whether a well-formed request may have its WebSocket, and with which subprotocol of ours.
fn decide(
    endpoint: &WsEndpoint,
    address: &Address,
    request: &Request,
) -> std::result::Result<Option<String>, (StatusCode, Error)> {
    let served = if address.path.is_empty() { "/" } else { &address.path };
    if request.uri().path() != served {
        let message = format!("there is no WebSocket at {}", request.uri().path());
        let error = Error::new(ErrorKind::Refused, message).with("served", served);
        return Err((StatusCode::NOT_FOUND, error));
    }
    if !may_connect(&endpoint.origins, request.headers()) {
        let message = "pages of this origin may not connect (option `origins`)";
        return Err((StatusCode::FORBIDDEN, Error::new(ErrorKind::Refused, message)));
    }
    let offered: Vec<&str> =
        head::list(request.headers(), &header::SEC_WEBSOCKET_PROTOCOL).collect();
    let ours = endpoint.subprotocols.iter().find(|name| offered.contains(&name.as_str()));
    Ok(ours.cloned())
}

/// Whether a page may connect. Where nothing is said: those that came from this very host and port, so that a
/// page from elsewhere cannot use the browser of a user who can reach this listener (RFC 6455 §10.2). What sends no
/// origin is no browser.
fn may_connect(allowed: &[String], headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if allowed.is_empty() {
        let Some(origin) = origin else { return true };
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        return host.is_some_and(|host| is_from(origin, host));
    }
    allowed
        .iter()
        .any(|allowed| allowed == "*" || origin.is_some_and(|origin| origin == allowed.as_bytes()))
}

/// Whether an origin (RFC 6454 §6.2) is that of a page from `host`.
fn is_from(origin: &str, host: &str) -> bool {
    let (authority, port) = match origin.split_once("://") {
        Some(("https", authority)) => (authority, ":443"),
        Some(("http", authority)) => (authority, ":80"),
        _ => return false,
    };
    let short =
        |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    short(authority) == short(host)
}

/// A whole answer that says why not.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Bytes {
    let body = format!("{message}\n");
    let fixed = |text: &'static str| HeaderValue::from_static(text);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, fixed("close"));
    headers.insert(header::CONTENT_TYPE, fixed("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut answer = BytesMut::from(&head::write(&line(status), &headers)[..]);
    answer.extend_from_slice(body.as_bytes());
    answer.freeze()
}

#[cfg(test)]
mod tests {
    use super::{Refused, decide, is_from, may_connect, understood};
    use crate::head::{Bad, request};
    use crate::{WsEndpoint, WsOptions};
    use jackfield_plugin_api::{Address, Role};
    use tokio_tungstenite::tungstenite::handshake::server::Request;
    use tokio_tungstenite::tungstenite::http::StatusCode;

    fn asking(target: &str, headers: &[(&str, &str)]) -> Request {
        let fields = headers
            .iter()
            .fold(String::new(), |all, (name, value)| all + name + ": " + value + "\r\n");
        request(format!("GET {target} HTTP/1.1\r\nHost: a.test:81\r\n{fields}\r\n").as_bytes())
            .unwrap()
    }

    fn decided(
        options: WsOptions,
        path: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Option<String>, StatusCode> {
        let endpoint = WsEndpoint::new(options, Role::Server).unwrap();
        let address = Address::at_path(path);
        decide(&endpoint, &address, &asking(target, headers)).map_err(|(status, _)| status)
    }

    #[test]
    fn the_path_must_be_the_listeners() {
        for (path, target, found) in [
            ("", "/", true),
            ("/", "/", true),
            ("/echo", "/echo?x=1", true),
            ("/echo", "/", false),
            ("", "/echo", false),
            ("/echo", "/echo/", false),
        ] {
            let expected = if found { Ok(None) } else { Err(StatusCode::NOT_FOUND) };
            assert_eq!(decided(WsOptions::default(), path, target, &[]), expected, "{target}");
        }
    }

    #[test]
    fn the_first_of_our_subprotocols_wins() {
        let options = || WsOptions {
            subprotocols: vec!["alpha".into(), "beta".into()],
            ..WsOptions::default()
        };
        let chosen = |offers: &[&str]| {
            let headers: Vec<_> =
                offers.iter().map(|offer| ("Sec-WebSocket-Protocol", *offer)).collect();
            decided(options(), "", "/", &headers).unwrap()
        };
        assert_eq!(chosen(&["gamma, beta,alpha"]).as_deref(), Some("alpha"));
        assert_eq!(chosen(&["gamma", "beta"]).as_deref(), Some("beta"));
        assert_eq!(chosen(&["alphabet"]), None);
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn origins_are_a_list_of_those_allowed() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let may = |allowed: &[&str], origin: Option<&str>| {
            let headers: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
            may_connect(&list(allowed), asking("/", &headers).headers())
        };
        assert!(may(&["https://a.test"], Some("https://a.test")));
        assert!(may(&["*"], Some("https://a.test")));
        assert!(!may(&["https://b.test"], Some("https://a.test")));
        assert!(!may(&["https://b.test"], None));
        // Without a list: pages of our own, and what is no page.
        assert!(may(&[], None));
        assert!(may(&[], Some("http://A.test:81")));
        assert!(!may(&[], Some("http://a.test")));
        assert!(!may(&[], Some("https://evil.example")));
        assert!(!may(&[], Some("null")));
    }

    #[test]
    fn a_page_comes_from_a_host_with_or_without_its_default_port() {
        assert!(is_from("https://a.test", "a.test"));
        assert!(is_from("https://a.test", "a.test:443"));
        assert!(is_from("http://[::1]", "[::1]:80"));
        assert!(!is_from("http://a.test", "a.test:443"));
        assert!(!is_from("http://a.test.evil.example", "a.test"));
        assert!(!is_from("file://a.test", "a.test"));
    }

    #[test]
    fn what_is_no_websocket_gets_an_answer() {
        let text =
            |refused: Refused| String::from_utf8(refused.answer.unwrap().bytes().to_vec()).unwrap();
        let answer = |head: &str| {
            let (answer, error) = understood(&request(head.as_bytes()).unwrap()).unwrap_err();
            text(Refused { answer: Some(answer), error })
        };
        let asked = answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            asked.starts_with("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"),
            "{asked}"
        );
        assert!(asked.ends_with("Content-Length: 0\r\n\r\n"));
        assert!(answer("POST / HTTP/1.1\r\n\r\n").contains("405 Method Not Allowed\r\nAllow: GET"));
        let ws = "Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n";
        let old = answer(&format!("GET / HTTP/1.1\r\n{ws}Sec-WebSocket-Version: 8\r\n\r\n"));
        assert!(old.contains("426 Upgrade Required\r\nSec-WebSocket-Version: 13"), "{old}");
        let bare = answer(&format!("GET / HTTP/1.1\r\n{ws}Sec-WebSocket-Version: 13\r\n\r\n"));
        assert!(bare.starts_with("HTTP/1.1 400 "), "{bare}");
        assert!(text(Bad::TooLong("much").into()).starts_with("HTTP/1.1 431 "));
        assert!(Refused::from(Bad::Ended).answer.is_none());
    }
}
