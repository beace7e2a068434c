//! One direction between two byte streams of which at least one is not a kernel's.

use super::duplex::{Ending, Fault, Flow};
use super::scratch::with_scratch;
use super::steps::{Intake, Steps};
use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Error, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    ) -> Poll<Result<(), Fault>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(flow.cx, &self.rest));
            let count = written.and_then(|count| self.written(count, flow)).map_err(sending)?;
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
    ) -> Poll<Result<(), Fault>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(flow.cx)).map_err(sending)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Ends the direction towards a stream.
pub(super) fn poll_shut(to: &mut Stream, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
    let done = ready!(Pin::new(to).poll_shutdown(flow.cx));
    Poll::Ready(flow.shut(done))
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
}

impl Steps<Stream, Stream> for CopyDirection {
    fn poll_hand_over(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        self.out.poll_write(to, flow)
    }

    /// Reads once and writes that.
    fn poll_take(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Intake, Fault>> {
        with_scratch(flow.options.sizes.buffer, |scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(flow.cx, &mut buf)).map_err(receiving)?;
            self.out.write_or_keep(buf.filled(), to, flow).map_err(sending)?;
            Poll::Ready(Ok(match buf.filled().len() {
                0 => Intake::End,
                count => Intake::Some(count),
            }))
        })
    }

    fn poll_go_out(&mut self, to: &mut Stream, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        self.out.poll_flush(to, flow)
    }

    fn poll_pass_end(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_shut(to, flow)
    }

    fn ended(&mut self) -> &mut bool {
        &mut self.ended
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
