//! [`Observers`]: what a device says on an exclusive path, shown to any that watch. Watching never holds
//! up the user: an observer that is too slow misses bytes, and is told how many.

use crate::units::ByteSize;
use bytes::{Buf, Bytes};
use futures_util::Stream as FuturesStream;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

/// Bytes that come together are kept together, at most this many.
const CHUNK: usize = 1024;

/// `observers` of an exclusive path: how many may watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ObserverOptions {
    /// The most at a time; 0 none. Default: 16.
    pub max: usize,
    /// What is kept for those that are slow, for all of them together; 4KiB to 16MiB. Default:
    /// `"256KiB"`.
    #[serde(with = "jackfield_text::with::size")]
    #[schemars(with = "ByteSize")]
    pub buffer: usize,
}

impl Default for ObserverOptions {
    fn default() -> Self {
        ObserverOptions { max: 16, buffer: 256 << 10 }
    }
}

impl ObserverOptions {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        let fits = (4 << 10..=16 << 20).contains(&self.buffer);
        Ranges::new().expect(fits, "buffer", "expected a size from 4KiB to 16MiB").problems()
    }
}

/// Those that watch one path, over all its sessions.
#[derive(Debug)]
pub struct Observers {
    name: Arc<str>,
    shown: broadcast::Sender<Chunk>,
    /// Bytes shown so far.
    offset: AtomicU64,
    max: usize,
    room: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Chunk {
    at: u64,
    bytes: Bytes,
}

/// What an observer sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The device said this.
    Bytes(Bytes),
    /// The device said so many bytes more before what is seen next; they came faster than they were
    /// taken.
    Missed(u64),
}

impl Observers {
    /// Room for as many observers, and for as many bytes that the slowest of them has not taken yet, as
    /// `options` say.
    pub fn new(name: &str, options: ObserverOptions) -> Arc<Self> {
        let ObserverOptions { max, buffer } = options;
        // A power of two, since more would be kept otherwise.
        let chunks = 1 << (buffer / CHUNK).clamp(4, 1 << 20).ilog2();
        Arc::new(Observers {
            name: name.into(),
            shown: broadcast::channel(chunks).0,
            offset: AtomicU64::new(0),
            max,
            room: Arc::new(Semaphore::new(max)),
        })
    }

    /// Shows what the device has said. Never waits.
    pub(super) fn show(&self, bytes: &[u8]) {
        for part in bytes.chunks(CHUNK) {
            let at = self.offset.fetch_add(part.len() as u64, Ordering::Relaxed);
            if self.shown.receiver_count() > 0 {
                // It fails only when the last observer has just left.
                let _ = self.shown.send(Chunk { at, bytes: Bytes::copy_from_slice(part) });
            }
        }
    }

    /// How many watch.
    pub fn len(&self) -> usize {
        self.max - self.room.available_permits()
    }

    /// Whether there are no observers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches from now on, through all sessions to come.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when as many watch as may.
    pub fn observe(self: &Arc<Self>) -> Result<Observer> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let text = format!("{} has {} observers, which is the limit", self.name, self.max);
            Error::new(ErrorKind::Limit, text)
        })?;
        let chunks = self.shown.subscribe();
        let next = self.offset.load(Ordering::Relaxed);
        let name = Arc::clone(&self.name);
        Ok(Observer { name, chunks, next, held: None, _room: room })
    }
}

/// One that watches; dropping it ends that.
#[derive(Debug)]
pub struct Observer {
    name: Arc<str>,
    chunks: broadcast::Receiver<Chunk>,
    /// The offset of the next byte.
    next: u64,
    held: Option<Bytes>,
    _room: OwnedSemaphorePermit,
}

impl Observer {
    /// What is seen next; `None` when the path is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Seen> {
        if let Some(bytes) = self.held.take() {
            return Some(Seen::Bytes(bytes));
        }
        loop {
            match self.chunks.recv().await {
                Ok(Chunk { at, bytes }) => {
                    let missed = at.saturating_sub(self.next);
                    self.next = at + bytes.len() as u64;
                    if missed == 0 {
                        return Some(Seen::Bytes(bytes));
                    }
                    self.held = Some(bytes);
                    return Some(Seen::Missed(missed));
                }
                // The next one's offset says how much.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// A session that reads what is seen, with `[N bytes missed]` on a line of its own where that is so,
    /// and discards what is written. When its writing direction is ended, it ends: who has gone and who
    /// has just nothing more to say cannot be told apart, and the first would take up room for ever.
    pub fn into_session(self) -> Session {
        let info = Info::new().peer(self.name.to_string());
        let seen = futures_util::stream::unfold(self, async |mut observer| {
            let seen = observer.next().await?;
            Some((seen, observer))
        });
        let io =
            ObserverIo { seen: Box::pin(seen), rest: Bytes::new(), ended: false, reader: None };
        Session::of_stream(info, Stream::new(io))
    }
}

struct ObserverIo {
    seen: Pin<Box<dyn FuturesStream<Item = Seen> + Send>>,
    rest: Bytes,
    ended: bool,
    /// To be told of the end.
    reader: Option<Waker>,
}

impl AsyncRead for ObserverIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        while self.rest.is_empty() {
            self.rest = match ready!(self.seen.as_mut().poll_next(cx)) {
                Some(Seen::Bytes(bytes)) => bytes,
                Some(Seen::Missed(count)) => format!("\r\n[{count} bytes missed]\r\n").into(),
                None => return Poll::Ready(Ok(())),
            };
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ObserverIo {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        self.reader.take().inspect(Waker::wake_by_ref);
        Poll::Ready(Ok(()))
    }
}
