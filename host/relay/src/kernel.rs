//! One direction between two descriptors of the kernel.
//!
//! Small payloads are read and written: two system calls and one wake-up, as cheap as it gets. Once
//! a read fills its buffer the direction is taken for a bulk transfer, whose bytes are moved by
//! `splice` through a pipe and never come up to user space, until little arrives at a time again.
//!
//! A send queue may hold megabytes. Bounding what is not even sent took CPU time off both endpoints of
//! a loopback transfer (about 0.45 to 0.33 s per GB), probably because bytes that waited less are
//! still in the CPU's caches. What is in flight is not bounded, so long paths stay full.

use super::duplex::{Direction, Fault, Flow};
use super::pipes::Pipe;
use super::scratch::with_scratch;
use super::socket::Socket;
use bytes::{Buf, Bytes};
use jackfield_plugin_api::Error;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// What one read takes while little flows; a read that fills it starts `splice`.
const SMALL: usize = 16 * 1024;

/// What may move in one poll before other tasks get their turn.
const TURN: usize = 4 * 1024 * 1024;

/// A direction between two sockets. Idle it holds nothing.
#[derive(Default)]
pub(super) struct KernelDirection {
    /// Bytes that were read, here, and wait to be written. Boxed: there are some only while the receiver is full.
    rest: Option<Box<Bytes>>,
    /// The pipe while bytes are spliced; with bytes in it only while the receiver is full.
    pipe: Option<Pipe>,
    bulk: bool,
    /// Whether the receiver's socket was set up for bulk.
    bounded: bool,
    ended: bool,
}

/// What filling found.
enum Filled {
    Some,
    End,
}

impl KernelDirection {
    /// A direction whose first bytes are already here.
    pub(super) fn after(leftover: Bytes) -> Self {
        KernelDirection { rest: kept(leftover), ..KernelDirection::default() }
    }

    /// Writes the bytes held in the pipe. Ready when it is empty.
    fn poll_empty(&mut self, to: &mut Socket, flow: &mut Flow<'_, '_>) -> Poll<io::Result<()>> {
        while let Some(rest) = &mut self.rest {
            let count = ready!(Pin::new(&mut *to).poll_write(flow.cx, rest))?;
            flow.moved(count, 0);
            rest.advance(count);
            // The memory goes with the last byte.
            drop(self.rest.take_if(|rest| rest.is_empty()));
        }
        while let Some(pipe) = &mut self.pipe
            && pipe.held > 0
        {
            let count = ready!(poll_from_pipe(pipe, to, flow.cx))?;
            flow.moved(count, 0);
            pipe.held -= count;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Filled, Fault>> {
        if self.bulk && self.pipe.is_none() {
            self.pipe = flow.options.pipes.take();
        }
        match &mut self.pipe {
            Some(pipe) if self.bulk => {
                let count = match ready!(poll_to_pipe(pipe, from, flow.cx)) {
                    Ok(count) => count,
                    // A kind of socket that does not splice.
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                        self.bulk = false;
                        return Poll::Ready(Ok(Filled::Some));
                    }
                    Err(error) => return Poll::Ready(Err(receiving(error))),
                };
                pipe.held = count;
                Poll::Ready(Ok(if count == 0 { Filled::End } else { Filled::Some }))
            }
            _ => self.poll_copy(from, to, flow),
        }
    }

    /// Reads once and writes it at once; what the receiver does not take becomes the rest.
    fn poll_copy(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Filled, Fault>> {
        let size = if self.bulk { flow.options.sizes.buffer } else { SMALL };
        with_scratch(size, |scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(flow.cx, &mut buf)).map_err(receiving)?;
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Filled::End));
            }
            self.bulk = bytes.len() >= SMALL && from.splices() && to.splices();
            if self.bulk && !self.bounded {
                self.bounded = true;
                to.bound_unsent(flow.options.unsent);
            }
            let written = match Pin::new(&mut *to).poll_write(flow.cx, bytes) {
                Poll::Pending => 0,
                Poll::Ready(written) => written.map_err(sending)?,
            };
            if written > 0 {
                flow.moved(written, 0);
            }
            if written < bytes.len() {
                self.rest = kept(Bytes::copy_from_slice(&bytes[written..]));
            }
            Poll::Ready(Ok(Filled::Some))
        })
    }
}

impl Direction<Socket, Socket> for KernelDirection {
    fn poll_move(
        &mut self,
        from: &mut Socket,
        to: &mut Socket,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            turn += self.rest.as_ref().map_or(0, |rest| rest.len());
            turn += self.pipe.as_ref().map_or(0, |pipe| pipe.held);
            ready!(self.poll_empty(to, flow)).map_err(sending)?;
            if self.ended {
                self.pipe = None;
                // The close that follows says it too, and all that this end had sent was read.
                let done = if flow.last { Ok(()) } else { to.shutdown_write() };
                return Poll::Ready(done.map_err(sending));
            }
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_fill(from, to, flow) {
                Poll::Ready(filled) => self.ended = matches!(filled?, Filled::End),
                Poll::Pending => {
                    self.pipe = None;
                    self.bulk &= turn >= SMALL;
                    return Poll::Pending;
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

/// Bytes that wait, if there are any.
fn kept(bytes: Bytes) -> Option<Box<Bytes>> {
    (!bytes.is_empty()).then(|| Box::new(bytes))
}

fn receiving(error: io::Error) -> Fault {
    Fault::Receiving(Error::from(error))
}

fn sending(error: io::Error) -> Fault {
    Fault::Sending(Error::from(error))
}

/// Fills an empty pipe. 0 is the end.
fn poll_to_pipe(pipe: &Pipe, from: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        // The pipe is empty, so only the socket can make this wait.
        let call =
            |fd: BorrowedFd<'_>| Ok(splice(fd, None, pipe.writer()?, None, Pipe::SIZE, FLAGS)?);
        match from.try_io(Interest::READABLE, call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

/// Empties a pipe that holds something.
fn poll_from_pipe(pipe: &Pipe, to: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(to.poll_write_ready(cx))?;
        let call =
            |fd: BorrowedFd<'_>| Ok(splice(pipe.reader()?, None, fd, None, pipe.held, FLAGS)?);
        match to.try_io(Interest::WRITABLE, call) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
