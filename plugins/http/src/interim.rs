//! [`Interim`]: interim responses of a server of HTTP/1.1 (RFC 9110 §15.2), of which hyper sends none but
//! `100 Continue`. They are written below it, where nothing of a response is on its way.

use crate::head;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::{HeaderBlock, Stream};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How many may wait; more are dropped.
const MOST: usize = 8;

/// Those of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Whether any wait: most connections never have one.
    some: AtomicBool,
    connection: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// The answer has been given.
    is_answered: bool,
}

impl Interim {
    /// A request has come.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.is_answered = false;
        self.clear(&mut state);
    }

    /// Its answer is given: hyper may begin with it at any time.
    pub(crate) fn answered(&self) {
        self.state().is_answered = true;
    }

    /// Sends one before the answer.
    pub(crate) fn tell(&self, head: &HeaderBlock) {
        let Some(bytes) = head::interim(head) else { return };
        let mut state = self.state();
        if state.is_answered || state.waiting.len() >= MOST {
            return;
        }
        state.waiting.push_back(bytes);
        self.0.some.store(true, Ordering::Release);
        drop(state);
        self.0.connection.wake();
    }

    fn take(&self) -> Option<Bytes> {
        if !self.0.some.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let next = state.waiting.pop_front();
        self.0.some.store(!state.waiting.is_empty(), Ordering::Release);
        next
    }

    fn clear(&self, state: &mut State) {
        state.waiting.clear();
        self.0.some.store(false, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place between hyper's writes.
pub(crate) struct Insertion {
    interim: Interim,
    /// Of the one that is being written.
    rest: Bytes,
    /// Whether hyper has written nothing since its last flush of everything.
    is_flushed: bool,
}

impl Insertion {
    pub(crate) fn new(interim: Interim) -> Self {
        Insertion { interim, rest: Bytes::new(), is_flushed: true }
    }

    /// Writes what waits, where it may be written now.
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.rest.is_empty() {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, &self.rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.rest.advance(count);
            }
            match self.is_flushed.then(|| self.interim.take()).flatten() {
                Some(next) => self.rest = next,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Before hyper writes.
    pub(crate) fn poll_before_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_flushed || !self.rest.is_empty() {
            ready!(self.poll(stream, cx))?;
        }
        self.is_flushed = false;
        Poll::Ready(Ok(()))
    }

    /// After a flush in which hyper has written everything. What it has written since the flush before may be the answer
    /// itself, after which nothing may be told.
    pub(crate) fn poll_after_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.interim.0.connection.register(cx.waker());
        if !self.is_flushed {
            let mut state = self.interim.state();
            if state.is_answered {
                self.interim.clear(&mut state);
            }
        }
        self.is_flushed = true;
        if self.rest.is_empty() && !self.interim.0.some.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll(stream, cx))?;
        Pin::new(stream).poll_flush(cx)
    }
}
