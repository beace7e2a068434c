//! What is read and written under a lease: cut off when it ends, renewed by what its holder sends, and
//! what comes is shown to observers.

use super::leased::Leased;
use super::observe::Observers;
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, Message, Messages, Result, Stream};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end of a lease, for one direction; each has its own, as each may be polled by its own task.
struct LeaseCut {
    waits: Pin<Box<dyn Future<Output = Error> + Send>>,
    done: Option<Error>,
}

impl LeaseCut {
    fn of(leased: &Leased) -> Self {
        LeaseCut { waits: Box::pin(leased.ended()), done: None }
    }

    /// An error once the lease has ended; until then the task is woken when it does.
    fn check(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if self.done.is_none()
            && let Poll::Ready(error) = self.waits.as_mut().poll(cx)
        {
            self.done = Some(error);
        }
        self.done.clone().map_or(Ok(()), Err)
    }
}

/// Bytes under a lease.
pub(super) struct LeasedStream {
    // Dropped in this order: the lease is let go when the stream is closed.
    stream: Stream,
    reads: LeaseCut,
    writes: LeaseCut,
    observers: Option<Arc<Observers>>,
    leased: Arc<Leased>,
}

impl LeasedStream {
    pub(super) fn new(
        stream: Stream,
        leased: Arc<Leased>,
        observers: Option<Arc<Observers>>,
    ) -> Self {
        let (reads, writes) = (LeaseCut::of(&leased), LeaseCut::of(&leased));
        LeasedStream { stream, reads, writes, observers, leased }
    }
}

impl AsyncRead for LeasedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.check(cx).map_err(Error::into_io)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(observers) = &self.observers {
            observers.show(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LeasedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.check(cx).map_err(Error::into_io)?;
        self.leased.touch().map_err(Error::into_io)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.check(cx).map_err(Error::into_io)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.check(cx).map_err(Error::into_io)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Messages under a lease.
pub(super) struct LeasedMessages {
    // Dropped in this order, as above.
    messages: Messages,
    reads: LeaseCut,
    writes: LeaseCut,
    observers: Option<Arc<Observers>>,
    leased: Arc<Leased>,
}

impl LeasedMessages {
    pub(super) fn new(
        messages: Messages,
        leased: Arc<Leased>,
        observers: Option<Arc<Observers>>,
    ) -> Self {
        let (reads, writes) = (LeaseCut::of(&leased), LeaseCut::of(&leased));
        LeasedMessages { messages, reads, writes, observers, leased }
    }
}

impl FuturesStream for LeasedMessages {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.reads.check(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        let message = ready!(Pin::new(&mut self.messages).poll_next(cx));
        if let (Some(observers), Some(Ok(message))) = (&self.observers, &message) {
            observers.show(&message.payload);
        }
        Poll::Ready(message)
    }
}

impl Sink<Message> for LeasedMessages {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.writes.check(cx)?;
        self.leased.touch()?;
        Pin::new(&mut self.messages).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        Pin::new(&mut self.messages).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.writes.check(cx)?;
        Pin::new(&mut self.messages).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.writes.check(cx)?;
        Pin::new(&mut self.messages).poll_close(cx)
    }
}
