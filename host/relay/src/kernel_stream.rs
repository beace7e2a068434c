//! Sockets of the kernel as streams, and back: a stream that was made here comes home as the socket that it
//! is, and a stream of a plugin that can give its descriptor becomes a socket of this reactor.

use bytes::Bytes;
use jackfield_plugin_api::{Result, Stream};
use socket2::{Domain, SockRef, Type};
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};

/// A byte stream of the kernel's.
#[derive(Debug)]
pub enum KernelStream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
    /// A terminal, a pipe: what reads and writes but is no stream socket.
    Other(AsyncFd<OwnedFd>),
}

/// A TCP socket as a stream that knows its descriptor.
pub fn tcp_stream(stream: TcpStream) -> Stream {
    Stream::with_fd(Slot::new(stream), |slot| {
        let stream = slot.socket.take()?.into_std().ok()?;
        Some((OwnedFd::from(stream), Bytes::new()))
    })
}

/// A Unix socket as a stream that knows its descriptor.
pub fn unix_stream(stream: UnixStream) -> Stream {
    Stream::with_fd(Slot::new(stream), |slot| {
        let stream = slot.socket.take()?.into_std().ok()?;
        Some((OwnedFd::from(stream), Bytes::new()))
    })
}

/// The socket behind a stream, if it is one, with what was already read from it.
///
/// # Errors
/// The stream itself when it is no kernel socket; a socket that cannot be registered here is an
/// error of the inner result.
pub fn come_home(stream: Stream) -> Result<Result<(KernelStream, Bytes)>, Stream> {
    let stream = match stream.into_inner::<Slot<TcpStream>>() {
        Ok(slot) => return Ok(home(slot, KernelStream::Tcp)),
        Err(stream) => stream,
    };
    let mut stream = match stream.into_inner::<Slot<UnixStream>>() {
        Ok(slot) => return Ok(home(slot, KernelStream::Unix)),
        Err(stream) => stream,
    };
    match stream.take_fd() {
        Some((fd, leftover)) => Ok(register(fd).map(|socket| (socket, leftover))),
        None => Err(stream),
    }
}

fn home<T: Cuts>(
    mut slot: Slot<T>,
    kind: impl FnOnce(T) -> KernelStream,
) -> Result<(KernelStream, Bytes)> {
    slot.socket.take().map(|socket| (kind(socket), Bytes::new())).ok_or_else(gone)
}

fn gone() -> jackfield_plugin_api::Error {
    jackfield_plugin_api::Error::new(
        jackfield_plugin_api::ErrorKind::Closed,
        "the socket of this stream was taken before",
    )
}

fn register(fd: OwnedFd) -> Result<KernelStream> {
    rustix::io::ioctl_fionbio(&fd, true).map_err(std::io::Error::from)?;
    // What is no socket has no domain.
    let socket = SockRef::from(&fd);
    let stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    match socket.domain() {
        Ok(Domain::UNIX) if stream => Ok(KernelStream::Unix(UnixStream::from_std(fd.into())?)),
        Ok(Domain::IPV4 | Domain::IPV6) if stream => {
            Ok(KernelStream::Tcp(TcpStream::from_std(fd.into())?))
        }
        _ => {
            #[allow(
                deprecated,
                reason = "sound for an OwnedFd, which cannot change its descriptor"
            )]
            let other = AsyncFd::new(fd)?;
            Ok(KernelStream::Other(other))
        }
    }
}

/// A socket that can be taken out of its stream. Polled after that, it is closed.
///
/// The kernel tells of a reset once: where a write is told, a read after it finds the end of the data and nothing more.
/// A layer above may let a write fail, for what has come before is still to be read, and so a read is told of the
/// reset again.
#[derive(Debug)]
pub(crate) struct Slot<T: Cuts> {
    socket: Option<T>,
    /// A write was told of a reset.
    was_reset: bool,
}

impl<T: Cuts> Slot<T> {
    fn new(socket: T) -> Self {
        Slot { socket: Some(socket), was_reset: false }
    }
}

impl<T: Cuts> Drop for Slot<T> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.as_ref().filter(|_| is_cutting()) {
            socket.cut();
        }
    }
}

thread_local! {
    static CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Drops a value with sockets in it, at whatever depth, so that the close of each looks like a failure to its
/// peer, where its protocol can tell: the data was cut off. Over TCP that is a reset (RFC 9293
/// §3.10.4). The layers between only have to be dropped.
pub fn cut_off<T>(whole: T) {
    cutting(|| drop(whole));
}

/// Runs `work`; sockets dropped in it are [cut off](cut_off).
pub fn cutting<R>(work: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            CUTTING.set(self.0);
        }
    }
    let _before = Before(CUTTING.replace(true));
    work()
}

/// Whether what this thread drops now is cut off.
pub(crate) fn is_cutting() -> bool {
    CUTTING.get()
}

/// What a socket does when it is cut off.
pub(crate) trait Cuts {
    /// Makes the close that follows look like a failure to the peer, where the protocol can tell.
    fn cut(&self);
}

impl Cuts for TcpStream {
    fn cut(&self) {
        // With no time to linger the close is a reset. One that has none ends as it can.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// A Unix socket has no reset: its peer sees the end.
impl Cuts for UnixStream {
    fn cut(&self) {}
}

impl Cuts for KernelStream {
    fn cut(&self) {
        if let KernelStream::Tcp(tcp) = self {
            tcp.cut();
        }
    }
}

mod slot {
    use super::{Cuts, Slot};
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl<T: Cuts> Slot<T> {
        /// What `poll` says of the socket.
        fn with<R>(
            &mut self,
            poll: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<R>>,
        ) -> Poll<io::Result<R>>
        where
            T: Unpin,
        {
            match &mut self.socket {
                Some(socket) => poll(Pin::new(socket)),
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }

        /// The same, of a write.
        fn writing<R>(
            &mut self,
            poll: impl FnOnce(Pin<&mut T>) -> Poll<io::Result<R>>,
        ) -> Poll<io::Result<R>>
        where
            T: Unpin,
        {
            let result = self.with(poll);
            self.was_reset |= matches!(
                &result,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset
            );
            result
        }
    }

    impl<T: AsyncRead + Cuts + Unpin> AsyncRead for Slot<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buf.filled().len();
            ready!(self.with(|io| io.poll_read(cx, buf)))?;
            let is_end = buf.filled().len() == before && buf.remaining() > 0;
            if is_end && self.was_reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            Poll::Ready(Ok(()))
        }
    }

    impl<T: AsyncWrite + Cuts + Unpin> AsyncWrite for Slot<T> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writing(|io| io.poll_write(cx, bytes))
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.writing(|io| io.poll_write_vectored(cx, bufs))
        }
        fn is_write_vectored(&self) -> bool {
            true
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.writing(|io| io.poll_flush(cx))
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.writing(|io| io.poll_shutdown(cx))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tcp_stream;
    use socket2::SockRef;
    use std::io::ErrorKind;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_reset_that_a_write_was_told_of_is_no_end_to_a_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut far = TcpStream::connect(address).await.expect("a connection");
        let (near, _) = listener.accept().await.expect("a connection");
        far.write_all(b"rest").await.expect("taken");
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).expect("an option");
        near.readable().await.expect("a socket");
        drop(far);
        let mut stream = tcp_stream(near);
        let error = loop {
            match stream.write_all(b"late").await {
                // The reset is on its way.
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest).await.expect_err("no end");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        assert_eq!(rest, b"rest");
    }
}
