//! The server's half of the opening handshake (RFC 6455 §4.2).

use crate::client::with_text;
use crate::close::dismiss;
use crate::endpoint::WsEndpoint;
use crate::failure::Failure;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Info, Origin, Result, Stream};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{self, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Answers the client at the other end of `carrier`.
pub(crate) async fn accept(
    endpoint: &WsEndpoint,
    address: &Address,
    mut carrier: Stream,
    below: &Info,
    host: Host,
) -> Result<(WebSocketStream<Stream>, Info)> {
    let mut info = Info::default().with("role", "server");
    let mut refused = None;
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let answer = |request: &Request, response: Response| {
        info = facts(std::mem::take(&mut info), request);
        match decide(endpoint, address, request, response) {
            Ok(response) => {
                let chosen = &header::SEC_WEBSOCKET_PROTOCOL;
                info =
                    with_text(std::mem::take(&mut info), "subprotocol", response.headers(), chosen);
                Ok(response)
            }
            Err((status, error)) => {
                let response = refusal(status, error.message());
                refused = Some(error);
                Err(response)
            }
        }
    };
    let config = Some(endpoint.config);
    // Lent, because tungstenite drops the carrier of a client that it cannot answer, and we can.
    let result = accept_hdr_async_with_config(&mut carrier, answer, config).await.map(|_| ());
    let error = match (result, refused) {
        (Ok(()), _) => {
            // Nothing was read beyond the request: tungstenite refuses a client that sends more.
            let ws = WebSocketStream::from_raw_socket(carrier, Role::Server, config).await;
            return Ok((ws, info.over(below)));
        }
        (Err(_), Some(error)) => error,
        (Err(error), None) => {
            if let Some(text) = misunderstood(&error) {
                // If it cannot be written, the client has left.
                let _ = carrier.write_all(text.as_bytes()).await;
            }
            Failure::from(error).error
        }
    };
    dismiss(carrier, host, endpoint.limits.close_timeout).await;
    let error = error.with_origin(Origin::Downstream);
    Err(match &below.peer {
        Some(peer) => error.with("peer", peer),
        None => error,
    })
}

/// What is worth knowing of a request.
fn facts(info: Info, request: &Request) -> Info {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let info = info.with("path", target);
    let info = with_text(info, "origin", request.headers(), &header::ORIGIN);
    with_text(info, "user_agent", request.headers(), &header::USER_AGENT)
}

/// Whether a well-formed request may have its WebSocket, and with which subprotocol.
fn decide(
    endpoint: &WsEndpoint,
    address: &Address,
    request: &Request,
    mut response: Response,
) -> std::result::Result<Response, (StatusCode, Error)> {
    let served = if address.path.is_empty() { "/" } else { &address.path };
    if request.uri().path() != served {
        let message = format!("there is no WebSocket at {}", request.uri().path());
        let error = Error::new(ErrorKind::Refused, message).with("served", served);
        return Err((StatusCode::NOT_FOUND, error));
    }
    if !may_connect(&endpoint.origins, request.headers().get(header::ORIGIN)) {
        let message = "pages of this origin may not connect";
        return Err((StatusCode::FORBIDDEN, Error::new(ErrorKind::Refused, message)));
    }
    let offered: Vec<&str> = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let ours = endpoint.subprotocols.iter().find(|name| offered.contains(&name.as_str()));
    // The options hold tokens only, which are header values.
    if let Some(Ok(chosen)) = ours.map(|name| HeaderValue::from_str(name)) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    Ok(response)
}

fn may_connect(allowed: &[String], origin: Option<&HeaderValue>) -> bool {
    allowed.is_empty()
        || allowed.iter().any(|allowed| {
            allowed == "*" || origin.is_some_and(|origin| origin.as_bytes() == allowed.as_bytes())
        })
}

fn refusal(status: StatusCode, message: &str) -> ErrorResponse {
    let body = format!("{message}\n");
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = |text: &'static str| HeaderValue::from_static(text);
    headers.insert(header::CONNECTION, fixed("close"));
    headers.insert(header::CONTENT_TYPE, fixed("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Some(body);
    response
}

/// The whole answer to a request that tungstenite did not take; `None` if there is nobody to answer.
fn misunderstood(error: &tungstenite::Error) -> Option<String> {
    use tungstenite::Error as Ws;
    let (status, header) = match error {
        Ws::Io(_) | Ws::Protocol(ProtocolError::HandshakeIncomplete) => return None,
        Ws::Protocol(ProtocolError::WrongHttpMethod) => ("405 Method Not Allowed", "Allow: GET"),
        Ws::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => ("426 Upgrade Required", "Upgrade: websocket"),
        Ws::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            ("426 Upgrade Required", "Sec-WebSocket-Version: 13")
        }
        Ws::AttackAttempt | Ws::Capacity(CapacityError::TooManyHeaders) => {
            ("431 Request Header Fields Too Large", "")
        }
        _ => ("400 Bad Request", ""),
    };
    let end = if header.is_empty() { "" } else { "\r\n" };
    let common = "Connection: close\r\nContent-Length: 0";
    Some(format!("HTTP/1.1 {status}\r\n{header}{end}{common}\r\n\r\n"))
}

#[cfg(test)]
mod tests {
    use super::{decide, may_connect, misunderstood};
    use crate::{WsEndpoint, WsOptions};
    use jackfield_plugin_api::{Address, Role};
    use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    use tokio_tungstenite::tungstenite::http::StatusCode;

    fn decided(
        options: WsOptions,
        path: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Option<String>, StatusCode> {
        let endpoint = WsEndpoint::new(options, Role::Server).unwrap();
        let address = Address::at_path(path);
        let request =
            headers.iter().fold(Request::builder().uri(target), |request, (name, value)| {
                request.header(*name, *value)
            });
        decide(&endpoint, &address, &request.body(()).unwrap(), Response::new(()))
            .map(|response| {
                let chosen = response.headers().get("sec-websocket-protocol");
                chosen.map(|name| name.to_str().unwrap().to_owned())
            })
            .map_err(|(status, _)| status)
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
        let origin = "https://a.test".parse().unwrap();
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(may_connect(&[], None));
        assert!(may_connect(&list(&["https://a.test"]), Some(&origin)));
        assert!(may_connect(&list(&["*"]), Some(&origin)));
        assert!(!may_connect(&list(&["https://b.test"]), Some(&origin)));
        assert!(!may_connect(&list(&["https://b.test"]), None));
    }

    #[test]
    fn what_is_no_websocket_gets_an_answer() {
        let answer = |error| misunderstood(&Error::Protocol(error));
        let text = answer(ProtocolError::MissingUpgradeWebSocketHeader).unwrap();
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"));
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"));
        assert!(misunderstood(&Error::AttackAttempt).unwrap().starts_with("HTTP/1.1 431 "));
        assert_eq!(answer(ProtocolError::HandshakeIncomplete), None);
    }
}
