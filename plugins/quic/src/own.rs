//! [`Own`]: the session's own stream. A client opens it and a listener takes the first that the peer
//! opens, both when it is first used: a session that is used otherwise has none.

use crate::mux::{Mux, Wanted};
use crate::stream::{Shared, StreamIo};
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Own {
    state: State,
    waiting: Arc<Waiting>,
}

enum State {
    Idle(Arc<dyn Mux>),
    Starting(Pin<Box<dyn Future<Output = Result<StreamIo>> + Send>>),
    Open(StreamIo),
    Failed(Error),
}

/// Reader and writer may be two tasks; both wait for one beginning.
#[derive(Default)]
struct Waiting {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Own {
    pub(crate) fn new(mux: Arc<dyn Mux>) -> Self {
        Own { state: State::Idle(mux), waiting: Arc::default() }
    }

    fn poll_open(&mut self, cx: &Context<'_>, reads: bool) -> Poll<io::Result<&mut StreamIo>> {
        if let State::Idle(mux) = &self.state {
            self.state = State::Starting(Box::pin(start(Arc::clone(mux))));
        }
        if let State::Starting(work) = &mut self.state {
            let mine = if reads { &self.waiting.reader } else { &self.waiting.writer };
            mine.register(cx.waker());
            let waker = Waker::from(Arc::clone(&self.waiting));
            let done = ready!(work.as_mut().poll(&mut Context::from_waker(&waker)));
            self.state = match done {
                Ok(stream) => State::Open(stream),
                Err(error) => State::Failed(error),
            };
            // The other one may be another task.
            waker.wake();
        }
        Poll::Ready(match &mut self.state {
            State::Open(stream) => Ok(stream),
            State::Failed(error) => Err(error.clone().into_io()),
            State::Idle(_) | State::Starting(_) => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

async fn start(mux: Arc<dyn Mux>) -> Result<StreamIo> {
    if mux.link().is_client() {
        let mut stream = StreamIo::new(Shared::new(&mux, mux.open(false).await?));
        stream.announce()?;
        return Ok(stream);
    }
    let over = || Error::new(ErrorKind::Closed, "the peer has closed and opened no stream");
    let halves = mux.accept(Wanted::Bidi).await?.ok_or_else(over)?;
    Ok(StreamIo::new(Shared::new(&mux, halves)))
}

impl AsyncRead for Own {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx, true))?;
        Pin::new(stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Own {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(cx, false))?;
        Pin::new(stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx, false))?;
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx, false))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}
