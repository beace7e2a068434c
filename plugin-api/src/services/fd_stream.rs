//! [`FdStream`]: a descriptor of a driver's own, as a byte stream on the host's reactor.

use super::{FdReady, Host, Interest};
use crate::error::{Error, ErrorKind, Result};
use crate::stream::Stream;
use bytes::Bytes;
use socket2::SockRef;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `EIO`: how a terminal says that its other end is gone.
const EIO: i32 = 5;

/// A pipe, terminal or stream socket, read and written without a runtime of the driver's. Reads and
/// writes are cancel safe; nothing is buffered here.
///
/// Shutting it down ends our direction of a socket. What is no socket knows no half-close: then
/// the answer is [`ErrorKind::Unsupported`], and the descriptor stays as it was.
#[derive(Debug)]
pub struct FdStream {
    /// Goes before the descriptor does.
    ready: Option<FdReady>,
    file: Option<File>,
}

impl FdStream {
    /// Watches `fd`, which is set to not block.
    ///
    /// # Errors
    /// What the system says, e.g. that a plain file cannot be watched.
    pub fn new(host: &Host, fd: OwnedFd) -> Result<Self> {
        SockRef::from(&fd).set_nonblocking(true)?;
        Ok(FdStream { ready: Some(host.watch(&fd)?), file: Some(File::from(fd)) })
    }

    /// As a stream that gives its descriptor away when asked.
    pub fn into_stream(self) -> Stream {
        Stream::with_fd(self, |stream| {
            stream.ready = None;
            Some((stream.file.take()?.into(), Bytes::new()))
        })
    }

    fn parts(&mut self) -> io::Result<(&mut FdReady, &File)> {
        match (&mut self.ready, &self.file) {
            (Some(ready), Some(file)) => Ok((ready, file)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn poll_io<T>(
        &mut self,
        interest: Interest,
        cx: &mut Context<'_>,
        mut call: impl FnMut(&File) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let (ready, file) = self.parts()?;
        loop {
            ready!(ready.poll_ready(interest, cx)).map_err(Error::into_io)?;
            match call(file) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready(interest);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for FdStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_io(Interest::Read, cx, |file| {
            // SAFETY: the system only writes into it, so that no byte of it becomes uninitialised.
            let room = unsafe { buf.unfilled_mut() };
            // SAFETY: the descriptor is open, and the room is ours for the call.
            let count =
                unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
            usize::try_from(count).map_err(|_| io::Error::last_os_error())
        });
        match ready!(read) {
            Ok(count) => {
                // SAFETY: so many bytes were written just now. To write zeros first, for each look at
                // a line that has nothing to say, was a seventh of all time at a console.
                unsafe { buf.assume_init(count) };
                buf.advance(count);
            }
            Err(error) if error.raw_os_error() == Some(EIO) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FdStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(Interest::Write, cx, |mut file| file.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(Interest::Write, cx, |mut file| file.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (_, file) = self.parts()?;
        let socket = SockRef::from(file);
        if socket.r#type().is_err() {
            let error = Error::new(ErrorKind::Unsupported, "this stream knows no half-close");
            return Poll::Ready(Err(error.into_io()));
        }
        Poll::Ready(match socket.shutdown(Shutdown::Write) {
            // The peer is gone; reading says how.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }
}
