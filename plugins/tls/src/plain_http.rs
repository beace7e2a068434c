//! Plain HTTP on a listener that speaks TLS: told by its first bytes, and answered in its own language, because the
//! person behind it has most likely written `http` for `https`.

use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Host, Origin, Reading, Stream};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How requests begin (RFC 9110 §9, RFC 5789; RFC 9113 §3.4), each with the blank after it.
const METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PRI ",
];
const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 55\r\nConnection: close\r\n\r\nThis port speaks TLS; ask it with https, not with http\n";
/// How long a client is heard after its answer, so that closing does not take the answer away from it.
const LINGER: Duration = Duration::from_secs(2);
/// The most bytes of a request that are read and thrown away meanwhile.
const MOST: u64 = 1 << 20;

/// A carrier, the first bytes of which may have been looked at.
pub(crate) type Peeked = Reading<Stream, Bytes>;

/// Reads until it is clear whether this is HTTP: mostly one byte, never more than eight.
pub(crate) async fn peek(mut carrier: Stream) -> io::Result<Peeked> {
    let (mut first, mut byte) = (Vec::new(), [0]);
    while !is_method(&first) && METHODS.iter().any(|method| method.starts_with(&first)) {
        if carrier.read(&mut byte).await? == 0 {
            break;
        }
        first.push(byte[0]);
    }
    Ok(Peeked::new(carrier, first.into()))
}

/// Whether what was looked at is the beginning of a request.
pub(crate) fn is_http(carrier: &Peeked) -> bool {
    is_method(carrier.reader())
}

fn is_method(first: &[u8]) -> bool {
    METHODS.contains(&first)
}

/// Answers a plain request and ends the connection; gives the error of the handshake that did not take place.
pub(crate) async fn refuse(carrier: Peeked, host: Host) -> Error {
    let (mut stream, _) = carrier.into_parts();
    let answer = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MOST), &mut tokio::io::sink()).await?;
        Ok(())
    };
    // Whether the client takes its answer changes nothing here.
    let _ = host.timeout(LINGER, "answering plain HTTP", answer).await;
    let message = "the peer speaks plain HTTP and not TLS; it was answered with 400";
    Error::new(ErrorKind::Protocol, message).with_origin(Origin::Downstream)
}

#[cfg(test)]
mod tests {
    use super::ANSWER;

    #[test]
    fn the_answer_has_the_length_that_it_says() {
        let text = String::from_utf8(ANSWER.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a content");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    }
}
