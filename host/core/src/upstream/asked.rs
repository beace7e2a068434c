//! [`StreamUse`]: whether anything came back of a stream on which something was sent.

use jackfield_plugin_api::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has passed on a stream.
#[derive(Debug, Default)]
pub(super) struct StreamUse {
    sent: AtomicBool,
    /// A byte, or the end.
    received: AtomicBool,
}

impl StreamUse {
    /// Something was sent, and nothing came.
    pub(super) fn is_unanswered(&self) -> bool {
        self.sent.load(Ordering::Relaxed) && !self.received.load(Ordering::Relaxed)
    }

    /// `stream`, noted in the answer as it is used.
    pub(super) fn note(stream: Stream) -> (Stream, Arc<StreamUse>) {
        let asked = Arc::<StreamUse>::default();
        (Stream::new(Noted { stream, asked: Arc::clone(&asked) }), asked)
    }
}

struct Noted {
    stream: Stream,
    asked: Arc<StreamUse>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.asked.received.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.asked.sent.store(true, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
