//! Plain HTTP on a listener that speaks TLS: told by its first bytes, and answered in its own language, because the
//! person behind it has most likely written `http` for `https`.

use jackfield_plugin_api::{Error, ErrorKind, Host, Origin, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

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

/// A carrier whose first bytes may have been looked at.
pub(crate) struct Peeked {
    stream: Stream,
    first: Vec<u8>,
    taken: usize,
}

impl From<Stream> for Peeked {
    fn from(stream: Stream) -> Self {
        Peeked { stream, first: Vec::new(), taken: 0 }
    }
}

impl Peeked {
    /// Reads until it is clear whether this is HTTP: mostly one byte, never more than eight.
    pub(crate) async fn peek(mut self) -> io::Result<Self> {
        let mut byte = [0];
        while !self.is_http() && METHODS.iter().any(|method| method.starts_with(&self.first)) {
            if self.stream.read(&mut byte).await? == 0 {
                break;
            }
            self.first.push(byte[0]);
        }
        Ok(self)
    }

    /// Whether what was looked at is the beginning of a request.
    pub(crate) fn is_http(&self) -> bool {
        METHODS.contains(&self.first.as_slice())
    }
}

/// Answers a plain request and ends the connection; gives the error of the handshake that did not take place.
pub(crate) async fn refuse(carrier: Peeked, host: Host) -> Error {
    let mut stream = carrier.stream;
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

impl AsyncRead for Peeked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.first[self.taken..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peeked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
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
