//! A session's stream and messages, counted as they pass.

use crate::relay::Totals;
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, Message, Messages, Result, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a connection's session, counted in its info. Cancel safe as [`Stream`] is.
#[derive(Debug)]
pub struct CountedStream {
    inner: Stream,
    traffic: Arc<Totals>,
}

/// The messages of a connection's session, counted in its info; those sent count when they are
/// handed over. Cancel safe as [`Messages`] are.
#[derive(Debug)]
pub struct CountedMessages {
    inner: Messages,
    traffic: Arc<Totals>,
}

impl CountedStream {
    pub(crate) fn new(inner: Stream, traffic: Arc<Totals>) -> Self {
        CountedStream { inner, traffic }
    }

    fn written(&self, result: &io::Result<usize>) {
        if let Ok(count) = result {
            self.traffic.sent(*count, 0);
        }
    }
}

impl CountedMessages {
    pub(crate) fn new(inner: Messages, traffic: Arc<Totals>) -> Self {
        CountedMessages { inner, traffic }
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        if count > 0 {
            self.traffic.received(count, 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.written(&result);
        Poll::Ready(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        self.written(&result);
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl FuturesStream for CountedMessages {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.inner).poll_next(cx));
        if let Some(Ok(message)) = &next {
            self.traffic.received(message.payload.len(), 1);
        }
        Poll::Ready(next)
    }
}

impl Sink<Message> for CountedMessages {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let bytes = message.payload.len();
        Pin::new(&mut self.inner).start_send(message)?;
        self.traffic.sent(bytes, 1);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
