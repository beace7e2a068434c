//! [`StreamIo`]: one stream of a connection as bytes; either direction may be missing.

use crate::flow::Of;
use crate::link::InUse;
use crate::mux::{Halves as Pair, Mux};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// What the stream and its session share.
pub(crate) struct Shared {
    halves: Mutex<Halves>,
    mux: Arc<dyn Mux>,
}

struct Halves {
    send: Option<SendStream>,
    recv: Option<RecvStream>,
    /// Our direction has ended, whole or not.
    ended: bool,
    /// The peer has acknowledged all of our direction.
    arrived: bool,
    /// The peer's direction has been read to its end.
    read: bool,
}

impl Shared {
    pub(crate) fn new(mux: &Arc<dyn Mux>, (send, recv): Pair) -> Arc<Self> {
        let (arrived, read) = (send.is_none(), recv.is_none());
        let halves = Mutex::new(Halves { send, recv, ended: false, arrived, read });
        Arc::new(Shared { halves, mux: Arc::clone(mux) })
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mux(&self) -> &dyn Mux {
        &*self.mux
    }

    /// Its number, who opened it, and whether both directions are there.
    pub(crate) fn facts(&self) -> (u64, bool, &'static str) {
        let halves = self.halves();
        let id = halves.send.as_ref().map(SendStream::id);
        let id = id.or_else(|| halves.recv.as_ref().map(RecvStream::id));
        let kind = match (&halves.send, &halves.recv) {
            (Some(_), Some(_)) => "bidi",
            _ => "uni",
        };
        let ours = id.is_some_and(|id| id.initiator() == self.mux.link().connection.side());
        (id.map_or(0, |id| u64::from(VarInt::from(id))), ours, kind)
    }

    /// Ends both directions at once with a code that the peer sees.
    ///
    /// # Errors
    /// A code that does not fit.
    pub(crate) fn close(&self, code: u64) -> Result<()> {
        self.cut(self.mux.wire_code(code)?);
        Ok(())
    }

    /// Whether the peer has no part in it any more: both directions have ended whole, as both sides know.
    pub(crate) fn is_over(&self) -> bool {
        let halves = self.halves();
        halves.arrived && halves.read
    }

    fn cut(&self, code: VarInt) {
        let mut halves = self.halves();
        if !halves.ended
            && let Some(send) = &mut halves.send
        {
            // It has ended already where these fail.
            let _ = send.reset(code);
        }
        halves.ended = true;
        if let Some(recv) = &mut halves.recv {
            let _ = recv.stop(code);
        }
    }

    fn lost(&self, error: &ConnectionError) -> Error {
        self.mux.loss(error)
    }
}

/// The bytes.
pub(crate) struct StreamIo {
    shared: Arc<Shared>,
    stopped: Option<Stopped>,
    _in_use: InUse,
}

/// A stream that is dropped before its end was not whole, and the peer must see that.
impl Drop for StreamIo {
    fn drop(&mut self) {
        // The code 0 fits everywhere.
        let _ = self.shared.close(0);
    }
}

impl StreamIo {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        StreamIo { stopped: None, _in_use: shared.mux.link().enter(), shared }
    }

    /// Lets the peer know of a stream on which we do not write first.
    pub(crate) fn announce(&mut self) -> io::Result<()> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.poll_send(&mut context, &[]) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut halves = self.shared.halves();
        let ended = halves.ended;
        let Some(send) = &mut halves.send else {
            return Poll::Ready(Err(Error::unsupported("writing to the peer's stream").into_io()));
        };
        if ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let flow = self.shared.mux.flow();
        let room = match flow {
            Some(flow) => ready!(flow.poll_room(Of::Data, bytes.len(), cx)),
            None => bytes.len(),
        };
        let sent = ready!(Pin::new(send).poll_write(cx, &bytes[..room]));
        if let (Some(flow), Ok(count)) = (flow, &sent) {
            flow.take(Of::Data, *count);
        }
        Poll::Ready(sent.map_err(|error| self.unsent(error)))
    }

    fn unsent(&self, error: WriteError) -> io::Error {
        match error {
            WriteError::Stopped(code) => self.stopped_by(code),
            WriteError::ConnectionLost(lost) => self.shared.lost(&lost).into_io(),
            WriteError::ClosedStream => io::ErrorKind::BrokenPipe.into(),
            WriteError::ZeroRttRejected => early_refused().into_io(),
        }
    }

    fn unread(&self, error: ReadError) -> io::Error {
        let error = match error {
            ReadError::Reset(code) => {
                let (space, code) = self.shared.mux.code(code);
                let message = format!("the peer reset the stream with code {code}");
                Error::new(ErrorKind::Closed, message).with_code(space, code)
            }
            ReadError::ConnectionLost(lost) => self.shared.lost(&lost),
            ReadError::ClosedStream => {
                Error::new(ErrorKind::Closed, "the stream was closed on this side")
            }
            ReadError::IllegalOrderedRead => Error::unsupported("reading in order"),
            ReadError::ZeroRttRejected => early_refused(),
        };
        error.into_io()
    }

    fn stopped_by(&self, code: VarInt) -> io::Error {
        let (space, code) = self.shared.mux.code(code);
        let message = format!("the peer stopped reading with code {code}");
        let error = Error::new(ErrorKind::Closed, message).with_code(space, code);
        io::Error::new(io::ErrorKind::BrokenPipe, error)
    }

    /// Ends our direction, once.
    fn finish(&mut self) -> bool {
        let mut halves = self.shared.halves();
        let first = !halves.ended;
        halves.ended = true;
        let Some(send) = halves.send.as_mut().filter(|_| first) else { return first };
        let stopped = send.stopped();
        // Fails for what the peer has stopped, which `stopped` tells.
        let _ = send.finish();
        drop(halves);
        self.stopped = Some(Box::pin(stopped));
        true
    }
}

fn early_refused() -> Error {
    Error::new(ErrorKind::Refused, "the server did not take early data; open it again")
}

impl AsyncRead for StreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut halves = self.shared.halves();
        // There is nothing to read where only we write.
        let Some(recv) = &mut halves.recv else { return Poll::Ready(Ok(())) };
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        let read = ready!(recv.poll_read_buf(cx, buffer));
        halves.read |= read.is_ok() && room > 0 && buffer.filled().len() == before;
        drop(halves);
        Poll::Ready(read.map_err(|error| self.unread(error)))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(cx, bytes)
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer has all: until then the connection must not be dropped.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        let Some(waiting) = &mut self.stopped else { return Poll::Ready(Ok(())) };
        let done = ready!(waiting.as_mut().poll(cx));
        self.stopped = None;
        self.shared.halves().arrived |= matches!(done, Ok(None));
        Poll::Ready(match done {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(self.stopped_by(code)),
            // A peer that has seen the end may close before its acknowledgement arrives.
            Err(StoppedError::ConnectionLost(error @ ConnectionError::ApplicationClosed(_)))
                if self.shared.mux.is_normal(&error) =>
            {
                Ok(())
            }
            Err(StoppedError::ConnectionLost(lost)) => Err(self.shared.lost(&lost).into_io()),
            Err(StoppedError::ZeroRttRejected) => Err(early_refused().into_io()),
        })
    }
}
