//! [`Script`]: faults of a byte stream, one after the other.

use crate::error::Result;
use crate::session::Session;
use crate::stream::Stream;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What happens at one read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// At most so many bytes are moved; at least one.
    Short(usize),
    /// Nothing yet, although there may be something; the task is woken at once.
    Pending,
    /// The peer gives no more; a write fails as on a broken pipe.
    End,
    /// The connection is reset: this fails, and all that comes after.
    Reset,
}

/// Which faults a stream has, in order, for reading and for writing. After the last it works as it is.
#[derive(Clone, Debug, Default)]
pub struct Script {
    reads: VecDeque<Fault>,
    writes: VecDeque<Fault>,
    again: bool,
    cut: Option<(usize, Fault)>,
}

impl Script {
    /// No fault.
    pub fn new() -> Self {
        Script::default()
    }

    /// Adds a fault of reading.
    #[must_use]
    pub fn read(mut self, fault: Fault) -> Self {
        self.reads.push_back(fault);
        self
    }

    /// Adds a fault of writing.
    #[must_use]
    pub fn write(mut self, fault: Fault) -> Self {
        self.writes.push_back(fault);
        self
    }

    /// Begins again after the last fault. A direction of nothing but [`Fault::Pending`] then never goes on.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.again = true;
        self
    }

    /// Every byte by itself, and nothing before it: what a slow peer over a bad line does.
    pub fn slow() -> Self {
        let both = [Fault::Pending, Fault::Short(1)];
        Script { reads: both.into(), writes: both.into(), again: true, cut: None }
    }

    /// Reading gives `bytes` bytes, then [`Fault::End`] or [`Fault::Reset`] for ever.
    #[must_use]
    pub fn cut(mut self, bytes: usize, fault: Fault) -> Self {
        self.cut = Some((bytes, fault));
        self
    }

    /// For each place in `bytes` bytes, also before the first and after the last: an end there, and a
    /// reset there.
    pub fn at_every_byte(bytes: usize) -> impl Iterator<Item = Script> {
        let both = [Fault::End, Fault::Reset];
        (0..=bytes).flat_map(move |at| both.map(|fault| Script::new().cut(at, fault)))
    }

    /// `carrier` with these faults.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] if it has no byte stream.
    pub fn over(self, carrier: Session) -> Result<Session> {
        let (stream, info) = super::over(carrier).take_carrier()?;
        Ok(Session::of_stream(info, self.over_stream(stream)))
    }

    /// `stream` with these faults.
    pub fn over_stream(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Stream {
        Stream::new(Faulty { io: stream, script: self, dead: None, read: 0 })
    }
}

struct Faulty<S> {
    io: S,
    script: Script,
    dead: Option<Fault>,
    /// Bytes that reading has given.
    read: usize,
}

enum Direction {
    Read,
    Write,
}

impl<S> Faulty<S> {
    fn fault(&mut self, direction: &Direction) -> Option<Fault> {
        if self.dead == Some(Fault::Reset) {
            return self.dead;
        }
        if let (Direction::Read, Some((at, fault))) = (direction, self.script.cut) {
            if self.read >= at {
                self.dead = (fault == Fault::Reset).then_some(fault);
                return Some(fault);
            }
            return Some(Fault::Short(at - self.read));
        }
        let queue = match direction {
            Direction::Read => &mut self.script.reads,
            Direction::Write => &mut self.script.writes,
        };
        let fault = queue.pop_front()?;
        if self.script.again || fault == Fault::End {
            queue.push_back(fault);
        }
        if fault == Fault::End {
            // Nothing comes after it.
            queue.clear();
            queue.push_back(fault);
        }
        if fault == Fault::Reset {
            self.dead = Some(fault);
        }
        Some(fault)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = match this.fault(&Direction::Read) {
            None => buffer.remaining(),
            Some(Fault::Short(most)) => most.max(1).min(buffer.remaining()),
            Some(Fault::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Fault::End) => return Poll::Ready(Ok(())),
            Some(Fault::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
        let mut piece = vec![0; most];
        let mut read = ReadBuf::new(&mut piece);
        let polled = Pin::new(&mut this.io).poll_read(cx, &mut read);
        this.read += read.filled().len();
        buffer.put_slice(read.filled());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let most = match this.fault(&Direction::Write) {
            None => bytes.len(),
            Some(Fault::Short(most)) => most.max(1).min(bytes.len()),
            Some(Fault::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Fault::End) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(Fault::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
        Pin::new(&mut this.io).poll_write(cx, &bytes[..most])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
