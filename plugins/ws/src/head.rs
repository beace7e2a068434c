//! Heads of HTTP/1.1 messages (RFC 9112), read in whatever pieces they come, with limits.

use bytes::{Bytes, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Stream};
use std::io;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::http::{self, HeaderMap, HeaderName, HeaderValue};

/// The most bytes of a head.
const LONGEST: usize = 32 << 10;
/// The most fields in it.
const FIELDS: usize = 124;
const END: &[u8] = b"\r\n\r\n";

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum Bad {
    /// The carrier has failed.
    Io(io::Error),
    /// The peer has left in the middle.
    Ended,
    /// More than may be.
    TooLong(&'static str),
    /// No HTTP.
    Malformed(String),
}

impl From<Bad> for Error {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Io(error) => error.into(),
            Bad::Ended => Error::new(ErrorKind::Closed, "the connection ended in the handshake"),
            Bad::TooLong(what) => {
                let text = format!("the head of the peer's handshake has {what}");
                Error::new(ErrorKind::Limit, text)
            }
            Bad::Malformed(why) => {
                let text = format!("the peer's handshake is no HTTP/1.1: {why}");
                Error::new(ErrorKind::Protocol, text)
            }
        }
    }
}

/// Reads to the end of a head; what came behind it stays in `came`.
pub(crate) async fn read(stream: &mut Stream, came: &mut BytesMut) -> Result<Bytes, Bad> {
    let mut looked = 0;
    loop {
        // The end may have begun in the piece before.
        let from = looked.min(came.len()).saturating_sub(END.len() - 1);
        if let Some(at) = came[from..].windows(END.len()).position(|window| window == END) {
            return Ok(came.split_to(from + at + END.len()).freeze());
        }
        looked = came.len();
        if came.len() >= LONGEST {
            return Err(Bad::TooLong("more than 32 KiB"));
        }
        if stream.read_buf(came).await.map_err(Bad::Io)? == 0 {
            return Err(Bad::Ended);
        }
    }
}

/// The request that a head is.
pub(crate) fn request(head: &[u8]) -> Result<http::Request<()>, Bad> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(head).map_err(|error| malformed(&error))?;
    let bad = |error: http::Error| Bad::Malformed(error.to_string());
    let mut request = http::Request::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(version(parsed.version))
        .body(())
        .map_err(bad)?;
    *request.headers_mut() = map(parsed.headers)?;
    Ok(request)
}

/// The answer that a head is.
pub(crate) fn response(head: &[u8]) -> Result<http::Response<()>, Bad> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(head).map_err(|error| malformed(&error))?;
    let bad = |error: http::Error| Bad::Malformed(error.to_string());
    let mut response = http::Response::builder()
        .status(parsed.code.unwrap_or_default())
        .version(version(parsed.version))
        .body(())
        .map_err(bad)?;
    *response.headers_mut() = map(parsed.headers)?;
    Ok(response)
}

fn malformed(error: &httparse::Error) -> Bad {
    match error {
        httparse::Error::TooManyHeaders => Bad::TooLong("more than 124 fields"),
        other => Bad::Malformed(other.to_string()),
    }
}

fn version(minor: Option<u8>) -> http::Version {
    if minor == Some(1) { http::Version::HTTP_11 } else { http::Version::HTTP_10 }
}

fn map(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Bad> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let bad = || Bad::Malformed(format!("the field {}", field.name));
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad())?;
        map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| bad())?);
    }
    Ok(map)
}

/// Whether a field is a list with that token (RFC 9110 §5.6.1), in whatever case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    list(headers, name).any(|part| part.eq_ignore_ascii_case(token))
}

/// The parts of a field that is a list, over all its lines.
pub(crate) fn list<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|part| !part.is_empty())
}

/// Puts a first line and fields together as they are sent.
pub(crate) fn write(first: &str, headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::from(first);
    for (name, value) in headers {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(spelled(name).as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
    }
    head.extend_from_slice(END);
    head.freeze()
}

/// As RFC 6455 spells names of fields; small programs compare them so.
fn spelled(name: &HeaderName) -> String {
    let word = |word: &str| match word {
        "websocket" => "WebSocket".to_owned(),
        other => {
            let (first, rest) = other.split_at(other.len().min(1));
            first.to_ascii_uppercase() + rest
        }
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{Bad, has_token, read, request, response, spelled, write};
    use bytes::BytesMut;
    use jackfield_plugin_api::{Stream, testing};
    use tokio::io::AsyncWriteExt;
    use tokio_tungstenite::tungstenite::http::header;

    async fn read_all(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), Bad> {
        let (near, far) = testing::carriers(1 << 20);
        let (mut near, mut far): (Stream, Stream) =
            (near.take_stream().unwrap(), far.take_stream().unwrap());
        let sending = async {
            for piece in bytes.chunks(piece) {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            far.shutdown().await.unwrap();
        };
        let mut came = BytesMut::new();
        let (head, ()) = tokio::join!(read(&mut near, &mut came), sending);
        head.map(|head| (head.to_vec(), came.to_vec()))
    }

    #[tokio::test]
    async fn a_head_may_come_in_any_pieces() {
        let text = b"HTTP/1.1 101 X\r\nA: b\r\n\r\n\x81\x02hi";
        for piece in 1..text.len() {
            let (head, came) = read_all(text, piece).await.unwrap();
            assert_eq!(head, &text[..24], "pieces of {piece}");
            assert!(b"\x81\x02hi".starts_with(&came[..]));
        }
    }

    #[tokio::test]
    async fn a_head_has_an_end() {
        let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 100_000]].concat();
        assert!(matches!(read_all(&endless, 1000).await, Err(Bad::TooLong(_))));
        assert!(matches!(read_all(b"GET / HTTP/1.1\r\n", 100).await, Err(Bad::Ended)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
        assert!(matches!(request(many.as_bytes()), Err(Bad::TooLong(_))));
        assert!(matches!(request(b"\x16\x03\x01\r\n\r\n"), Err(Bad::Malformed(_))));
        assert!(matches!(response(b"SSH-2.0-x\r\n\r\n"), Err(Bad::Malformed(_))));
    }

    #[test]
    fn tokens_are_found_in_lists_and_over_lines() {
        let text = b"HTTP/1.1 101 X\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\nUpgrade: WebSocket\r\n\r\n";
        let response = response(text).unwrap();
        assert!(has_token(response.headers(), &header::CONNECTION, "Upgrade"));
        assert!(has_token(response.headers(), &header::UPGRADE, "websocket"));
        assert!(!has_token(response.headers(), &header::UPGRADE, "web"));
    }

    #[test]
    fn names_are_spelled_as_people_expect_them() {
        assert_eq!(spelled(&header::SEC_WEBSOCKET_KEY), "Sec-WebSocket-Key");
        assert_eq!(spelled(&header::HOST), "Host");
        let request = request(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(
            &write("GET /x HTTP/1.1", request.headers())[..],
            b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
        );
    }
}
