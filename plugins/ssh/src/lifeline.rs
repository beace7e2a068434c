//! [`Lifeline`]: ends a connection from outside. The protocol runs in a task of its own that nothing
//! can stop; so what it speaks over breaks when the lifeline is dropped.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Holds a [`Tethered`] stream open; dropping it makes every use of the stream fail.
#[derive(Debug)]
pub(crate) struct Lifeline {
    _held: oneshot::Sender<Infallible>,
}

/// A stream that breaks with its lifeline. Both directions are polled by one task.
#[derive(Debug)]
pub(crate) struct Tethered<T> {
    io: T,
    held: oneshot::Receiver<Infallible>,
    cut: bool,
}

/// Ties `io` to a lifeline.
pub(crate) fn tether<T>(io: T) -> (Tethered<T>, Lifeline) {
    let (sender, held) = oneshot::channel();
    (Tethered { io, held, cut: false }, Lifeline { _held: sender })
}

impl<T> Tethered<T> {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.cut = self.cut || Pin::new(&mut self.held).poll(cx).is_ready();
        if self.cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tethered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tethered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_waiting_read_ends_when_the_lifeline_is_dropped() {
        let (near, _far) = tokio::io::duplex(16);
        let (mut tethered, lifeline) = tether(near);
        let reading = tokio::spawn(async move { tethered.read_u8().await });
        tokio::task::yield_now().await;
        drop(lifeline);
        let error = reading.await.expect("the task").expect_err("a broken stream");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
