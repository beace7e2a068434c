//! [`Carrier`]: the byte stream below, with what was read of it already, and with an end to waiting
//! for a peer that takes nothing.

use bytes::{Buf, Bytes};
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Error, ErrorKind, Host, Stream};
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Carrier {
    stream: Stream,
    /// Read before it was known what it is.
    first: Bytes,
    stall: Option<Stall>,
}

struct Stall {
    limit: Duration,
    timer: Timer,
    waiting: bool,
}

impl Carrier {
    pub(crate) fn new(stream: Stream, first: Bytes, host: Host, limit: Option<Duration>) -> Self {
        let stall = limit.map(|limit| Stall { limit, timer: host.timer(limit), waiting: false });
        Carrier { stream, first, stall }
    }

    /// Fails a wait for the peer that takes too long.
    fn watch<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let Some(stall) = &mut self.stall else { return result };
        if result.is_ready() {
            stall.waiting = false;
            return result;
        }
        if !stall.waiting {
            stall.waiting = true;
            stall.timer.reset(stall.limit);
        }
        Pin::new(&mut stall.timer).poll(cx).map(|()| {
            reset(&mut self.stream);
            let text = format!("the peer has taken nothing for {:?}", stall.limit);
            Err(Error::new(ErrorKind::TimedOut, text).into_io())
        })
    }
}

/// Ends a stream without what has not been taken of it. After a mere close the kernel would keep that,
/// and try on for as long as the peer says that it is there.
fn reset(stream: &mut Stream) {
    if let Some((socket, _)) = stream.take_fd() {
        // Where it is no TCP there is nothing of that kind.
        let _ = set_socket_linger(&socket, Some(Duration::ZERO));
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..count]);
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(result, cx)
    }
}
