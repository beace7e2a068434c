//! A session whose stream was used for a while: what was heard and not taken comes first.

use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Control, Facets, Session, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `session` with its `stream` in place again, and `heard` before what that still gives.
pub(super) fn session(session: Session, stream: Stream, heard: Vec<u8>) -> Session {
    let stream = Stream::new(Kept { heard: Bytes::from(heard), stream });
    // What is read ahead is no socket's any more.
    let facets = session.facets().difference(Facets::TAKE_FD);
    Session::builder(Face(session)).facets(facets).stream(stream).inner_data().build()
}

struct Kept {
    heard: Bytes,
    stream: Stream,
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard.has_remaining() {
            let count = self.heard.len().min(buf.remaining());
            buf.put_slice(&self.heard.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Face(Session);

impl Control for Face {
    fn inner(&self) -> Option<&Session> {
        Some(&self.0)
    }
}
