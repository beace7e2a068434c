//! One direction between two byte streams of which at least one is not a kernel's.

use super::duplex::{Direction, Ending, Fault, Flow};
use super::scratch::with_scratch;
use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Error, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may move in one poll before other tasks get their turn.
pub(super) const TURN: usize = 1024 * 1024;

/// Hands bytes to a stream, and makes it send them when no more follow at once.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Bytes that wait to be written.
    rest: Bytes,
    unflushed: bool,
}

impl Outgoing {
    /// Begins with bytes that are already here.
    pub(super) fn after(leftover: Bytes) -> Self {
        Outgoing { rest: leftover, unflushed: false }
    }

    /// Takes bytes that are to be written next.
    pub(super) fn put(&mut self, bytes: Bytes) {
        self.rest = bytes;
    }

    /// Writes `bytes` at once as far as they are taken, and keeps a copy of what is left.
    fn write_or_keep(
        &mut self,
        bytes: &[u8],
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            match Pin::new(&mut *to).poll_write(flow.cx, left) {
                Poll::Pending => {
                    self.rest = Bytes::copy_from_slice(left);
                    return Ok(());
                }
                Poll::Ready(written) => left = &left[self.written(written?, flow)?..],
            }
        }
        Ok(())
    }

    /// Writes what waits. Ready when nothing does.
    pub(super) fn poll_write(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(flow.cx, &self.rest))?;
            let count = self.written(written, flow)?;
            self.rest.advance(count);
        }
        self.rest = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, count: usize, flow: &mut Flow<'_, '_>) -> io::Result<usize> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unflushed = true;
        flow.moved(count, 0);
        Ok(count)
    }

    /// Makes the stream send what it holds back.
    pub(super) fn poll_flush(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(flow.cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A direction between two streams. Idle it holds nothing.
#[derive(Default)]
pub(super) struct CopyDirection {
    out: Outgoing,
    ended: bool,
}

impl CopyDirection {
    /// A direction whose first bytes are already here.
    pub(super) fn after(leftover: Bytes) -> Self {
        CopyDirection { out: Outgoing::after(leftover), ended: false }
    }

    /// Reads once and writes that. Ready with the count.
    fn poll_copy(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<usize, Fault>> {
        with_scratch(flow.options.sizes.buffer, |scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(flow.cx, &mut buf)).map_err(receiving)?;
            self.out.write_or_keep(buf.filled(), to, flow).map_err(sending)?;
            Poll::Ready(Ok(buf.filled().len()))
        })
    }
}

impl Direction<Stream, Stream> for CopyDirection {
    fn poll_move(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            ready!(self.out.poll_write(to, flow)).map_err(sending)?;
            if self.ended {
                let done = ready!(Pin::new(to).poll_shutdown(flow.cx));
                return Poll::Ready(flow.shut(done));
            }
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_copy(from, to, flow) {
                Poll::Ready(count) => {
                    let count = count?;
                    self.ended = count == 0;
                    turn += count;
                }
                Poll::Pending => {
                    ready!(self.poll_flush(to, flow))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&mut self, to: &mut Stream, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        self.out.poll_flush(to, flow).map_err(sending)
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

impl Ending for Stream {
    fn half_closes(&self) -> bool {
        true
    }
}

pub(super) fn receiving(error: impl Into<Error>) -> Fault {
    Fault::Receiving(error.into())
}

pub(super) fn sending(error: impl Into<Error>) -> Fault {
    Fault::Sending(error.into())
}
