//! [`Carrier`]: what a layer with a runtime of its own speaks over. A kernel socket is registered
//! with that runtime, so that its bytes do not cross the boundary; anything else is polled across it.

use crate::error::Result;
use crate::stream::Stream;
use bytes::{Buf, Bytes};
use socket2::{Domain, SockRef, Type};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A layer's carrier as a tokio stream of the plugin's private runtime. What the host had already
/// read from a socket comes first. Reads and writes are cancel safe.
#[derive(Debug)]
pub struct Carrier {
    leftover: Bytes,
    io: Io,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Stream(Stream),
}

impl Carrier {
    /// Takes the kernel socket of `stream` if it has one of a known kind, else keeps the stream.
    /// Options of the socket, such as `TCP_NODELAY`, stay as the host has set them.
    ///
    /// # Errors
    /// What the system says when the socket cannot be registered.
    pub fn new(mut stream: Stream) -> Result<Carrier> {
        let Some((fd, leftover)) = stream.take_fd() else {
            return Ok(Carrier { leftover: Bytes::new(), io: Io::Stream(stream) });
        };
        Ok(Carrier { leftover, io: register(fd)? })
    }

    /// `tcp`, `unix`, or `stream` when bytes cross the boundary.
    pub fn kind(&self) -> &'static str {
        match self.io {
            Io::Tcp(_) => "tcp",
            Io::Unix(_) => "unix",
            Io::Stream(_) => "stream",
        }
    }
}

fn register(fd: OwnedFd) -> Result<Io> {
    let socket = SockRef::from(&fd);
    let (domain, kind) = (socket.local_addr()?.domain(), socket.r#type()?);
    socket.set_nonblocking(true)?;
    match domain {
        _ if kind != Type::STREAM => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        Domain::IPV4 | Domain::IPV6 => Ok(Io::Tcp(TcpStream::from_std(fd.into())?)),
        Domain::UNIX => Ok(Io::Unix(UnixStream::from_std(fd.into())?)),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

macro_rules! each {
    ($self:ident, $io:ident => $body:expr) => {
        match &mut $self.get_mut().io {
            Io::Tcp($io) => $body,
            Io::Unix($io) => $body,
            Io::Stream($io) => $body,
        }
    };
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leftover.has_remaining() {
            let count = self.leftover.len().min(buf.remaining());
            buf.put_slice(&self.leftover.split_to(count));
            return Poll::Ready(Ok(()));
        }
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn in_runtime(test: impl Future<Output = Result<()>>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test).expect("the exchange");
    }

    #[test]
    fn leftover_comes_first_and_the_socket_is_taken() {
        in_runtime(async {
            let (near, mut far) = UnixStream::pair()?;
            far.write_all(b"world").await?;
            let taken = |io: &mut Option<UnixStream>| {
                let fd = io.take()?.into_std().ok()?.into();
                Some((fd, Bytes::from_static(b"hello ")))
            };
            let mut carrier = Carrier::new(Stream::with_fd(Holder(Some(near), taken), |held| {
                (held.1)(&mut held.0)
            }))?;
            assert_eq!(carrier.kind(), "unix");
            let mut text = [0; 11];
            carrier.read_exact(&mut text).await?;
            assert_eq!(&text, b"hello world");
            carrier.write_all(b"back").await?;
            let mut back = [0; 4];
            far.read_exact(&mut back).await?;
            assert_eq!(&back, b"back");
            Ok(())
        });
    }

    #[test]
    fn without_a_socket_the_stream_itself_is_used() {
        in_runtime(async {
            let (near, mut far) = tokio::io::duplex(64);
            let mut carrier = Carrier::new(Stream::new(near))?;
            assert_eq!(carrier.kind(), "stream");
            far.write_all(b"x").await?;
            drop(far);
            let mut all = Vec::new();
            carrier.read_to_end(&mut all).await?;
            assert_eq!(all, b"x");
            Ok(())
        });
    }

    type Take = fn(&mut Option<UnixStream>) -> Option<(OwnedFd, Bytes)>;

    /// A stream that is only there to give its socket away.
    struct Holder(Option<UnixStream>, Take);

    impl AsyncRead for Holder {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
        }
    }

    impl AsyncWrite for Holder {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
