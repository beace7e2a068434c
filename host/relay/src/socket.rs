//! [`Socket`]: a descriptor of the kernel's, whatever it is, as the relay uses it.

use super::duplex::Ending;
use crate::kernel_stream::KernelStream::{self, Other, Tcp, Unix};
use crate::kernel_stream::{Cuts, is_cutting};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A byte stream that is one descriptor, on the host's reactor.
#[derive(Debug)]
pub(super) struct Socket(pub(super) KernelStream);

impl Socket {
    /// Whether `splice` is worth trying.
    pub(super) fn splices(&self) -> bool {
        !matches!(self.0, Other(_))
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Tcp(tcp) => tcp.poll_read_ready(cx),
            Unix(unix) => unix.poll_read_ready(cx),
            Other(other) => other.poll_read_ready(cx).map_ok(drop),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Tcp(tcp) => tcp.poll_write_ready(cx),
            Unix(unix) => unix.poll_write_ready(cx),
            Other(other) => other.poll_write_ready(cx).map_ok(drop),
        }
    }

    /// Runs one system call; `WouldBlock` from it means that the next readiness is to be awaited.
    pub(super) fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        match &self.0 {
            Tcp(tcp) => tcp.try_io(interest, || call(tcp.as_fd())),
            Unix(unix) => unix.try_io(interest, || call(unix.as_fd())),
            Other(other) => other.try_io(interest, |fd| call(fd.as_fd())),
        }
    }

    /// Lets no more than `bytes` wait that are not yet sent, where the protocol can tell; 0 changes
    /// nothing.
    pub(super) fn bound_unsent(&self, bytes: u32) {
        if let Tcp(tcp) = &self.0
            && bytes > 0
        {
            // Only speed and memory depend on it.
            let _ = SockRef::from(tcp).set_tcp_notsent_lowat(bytes);
        }
    }

    /// Tells the peer that there will be no more bytes, where the descriptor can say so.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        let done = match &self.0 {
            Tcp(tcp) => shutdown(tcp, Shutdown::Write),
            Unix(unix) => shutdown(unix, Shutdown::Write),
            Other(_) => Ok(()),
        };
        match done {
            // The peer is gone; reading says how.
            Err(Errno::NOTCONN) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl Ending for Socket {
    fn half_closes(&self) -> bool {
        !matches!(self.0, Other(_))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if is_cutting() {
            self.0.cut();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Unix(unix) => Pin::new(unix).poll_read(cx, buf),
            Other(other) => loop {
                let mut guard = ready!(other.poll_read_ready(cx))?;
                let read = |fd: &AsyncFd<OwnedFd>| {
                    Ok(rustix::io::read(fd.get_ref(), buf.initialize_unfilled())?)
                };
                match guard.try_io(read) {
                    Ok(Ok(count)) => {
                        buf.advance(count);
                        return Poll::Ready(Ok(()));
                    }
                    // How a terminal says that its other end is gone.
                    Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Err(error)) => return Poll::Ready(Err(error)),
                    Err(_not_ready) => {}
                }
            },
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Other(other) => loop {
                let mut guard = ready!(other.poll_write_ready(cx))?;
                let write = |fd: &AsyncFd<OwnedFd>| Ok(rustix::io::write(fd.get_ref(), bytes)?);
                if let Ok(done) = guard.try_io(write) {
                    return Poll::Ready(done);
                }
            },
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
    }
}
