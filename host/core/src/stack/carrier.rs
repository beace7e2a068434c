//! What a layer rides on. Most sessions have bytes; one with only messages carries bytes in binary
//! messages, so that ssh can ride inside a WebSocket.

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Result, Session, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A session with a byte stream, made from one with bytes or messages.
///
/// # Errors
/// [`ErrorKind::Config`] if it has neither.
pub fn carrier_of(session: Session, name: &str) -> Result<Session> {
    use jackfield_plugin_api::Facets;
    if session.facets().contains(Facets::STREAM) {
        return Ok(session);
    }
    match session.take_messages() {
        Some(messages) => {
            let info = session.info();
            let stream =
                Stream::new(MessageBytes { messages, rest: Bytes::new(), _session: session });
            Ok(Session::of_stream(info, stream))
        }
        None => {
            let text = format!("{name} carries nothing: it has neither bytes nor messages");
            Err(Error::new(ErrorKind::Config, text))
        }
    }
}

/// Bytes in binary messages; the borders between messages mean nothing.
struct MessageBytes {
    messages: Messages,
    rest: Bytes,
    /// Lives as long as its messages are used.
    _session: Session,
}

/// The most bytes put into one message.
const CHUNK: usize = 64 * 1024;

impl AsyncRead for MessageBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => self.rest = message.payload,
                Some(Err(error)) => return Poll::Ready(Err(error.into_io())),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MessageBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.messages).poll_ready(cx)).map_err(Error::into_io)?;
        let count = bytes.len().min(CHUNK);
        let message = Message::binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.messages).start_send(message).map_err(Error::into_io)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_flush(cx).map_err(Error::into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_close(cx).map_err(Error::into_io)
    }
}
