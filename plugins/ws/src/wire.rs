//! [`Wire`]: the carrier below tungstenite: what it holds back until the handshake is answered, and what is
//! known of what came.

use crate::frames::Frames;
use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Stream};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of an unfinished message that each connection may hold beside what all share.
const FREE: u64 = 16 << 10;

/// How many bytes of unfinished messages the connections of a listener may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Budget { left: AtomicU64::new(bytes) })
    }

    fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

/// A connection's part of the budget; given back when it is dropped.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    taken: u64,
}

impl Charge {
    fn set(&mut self, bytes: u64) -> Result<()> {
        match bytes.checked_sub(self.taken) {
            Some(0) => {}
            Some(more) if !self.budget.take(more) => {
                let text = "unfinished messages take up max_unfinished of the listener";
                return Err(Error::new(ErrorKind::Limit, text).with("option", "max_unfinished"));
            }
            Some(_) => {}
            None => drop(self.budget.left.fetch_add(self.taken - bytes, Ordering::Relaxed)),
        }
        self.taken = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// A carrier whose handshake was read.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// Our answer, written before everything else.
    head: Bytes,
    /// Nothing is written yet, because the answer is not known.
    held: bool,
    frames: Frames,
    charge: Option<Charge>,
    host: Host,
    /// When something came last.
    heard: Duration,
    /// When what has not ended began.
    begun: Option<Duration>,
}

impl Wire {
    /// `came` is what was read behind the handshake, which tungstenite is given.
    pub(crate) fn new(
        stream: Stream,
        host: Host,
        budget: Option<&Arc<Budget>>,
        came: &[u8],
    ) -> Result<Self> {
        let charge = budget.map(|budget| Charge { budget: Arc::clone(budget), taken: 0 });
        let (frames, heard) = (Frames::default(), host.now());
        let (head, held, begun) = (Bytes::new(), false, None);
        let mut wire = Wire { stream, head, held, frames, charge, host, heard, begun };
        wire.came(came)?;
        Ok(wire)
    }

    /// Writes nothing until it is [open](Wire::open).
    #[must_use]
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Writes, and first of all this.
    pub(crate) fn open(&mut self, head: Bytes) {
        self.head = head;
        self.held = false;
    }

    /// The carrier itself, for what is not read any more.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// How long ago something came.
    pub(crate) fn silence(&self) -> Duration {
        self.host.now().saturating_sub(self.heard)
    }

    /// When a message, or what is to become one, has begun that has not ended.
    pub(crate) fn begun(&self) -> Option<Duration> {
        self.begun
    }

    fn came(&mut self, bytes: &[u8]) -> Result<()> {
        self.heard = self.host.now();
        let ended = self.frames.feed(bytes);
        if !self.frames.is_begun() {
            self.begun = None;
        } else if ended || self.begun.is_none() {
            self.begun = Some(self.heard);
        }
        match &mut self.charge {
            Some(charge) => charge.set(self.frames.held().saturating_sub(FREE)),
            None => Ok(()),
        }
    }

    /// Writes our answer.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held {
            // Whoever opens it wakes all who wait.
            return Poll::Pending;
        }
        while self.head.has_remaining() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.head))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.head.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.came(&buf.filled()[before..]).map_err(Error::into_io))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_head(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
