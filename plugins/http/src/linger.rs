//! [`Linger`]: reading on for a while before an accepted connection is closed.
//!
//! A socket that is closed while there is something unread resets its connection, and the reset destroys the
//! answer on its way. So a server that does not want the rest of what a client sends ends its own direction first,
//! and reads and drops until the client has ended too (RFC 9112 §9.6).

use jackfield_plugin_api::{Host, Stream, Timer};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// How long nothing may come until the client is taken to have ended.
const SILENCE: Duration = Duration::from_secs(5);

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Reads until other tasks get their time.
const ROUNDS: usize = 64;

const READ: u8 = 0;
const UNREAD: u8 = 1;
const UPGRADED: u8 = 2;

/// Whether there may be unread parts of a client's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicU8>);

impl Unread {
    /// Something has come.
    pub(crate) fn some(&self) {
        if self.0.load(Ordering::Relaxed) == READ {
            self.0.store(UNREAD, Ordering::Relaxed);
        }
    }

    /// A request and its content have come whole.
    pub(crate) fn none(&self) {
        if self.0.load(Ordering::Relaxed) == UNREAD {
            self.0.store(READ, Ordering::Relaxed);
        }
    }

    /// There will be no more requests: what comes is of another protocol.
    pub(crate) fn upgraded(&self) {
        self.0.store(UPGRADED, Ordering::Relaxed);
    }

    fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNREAD
    }
}

/// How much is read and dropped before a connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LingerLimits {
    /// `None`: nothing is.
    pub(crate) time: Option<Duration>,
    pub(crate) bytes: u64,
}

/// The end of one connection.
pub(crate) struct Linger {
    unread: Unread,
    limits: LingerLimits,
    host: Host,
    reading: Option<Reading>,
}

struct Reading {
    all: Timer,
    silence: Timer,
    left: u64,
    buffer: Box<[u8]>,
}

impl Linger {
    /// Whether what comes is of another protocol.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.unread.0.load(Ordering::Relaxed) == UPGRADED
    }

    pub(crate) fn new(unread: Unread, limits: LingerLimits, host: Host) -> Self {
        Linger { unread, limits, host, reading: None }
    }

    /// Something has come.
    pub(crate) fn heard(&self) {
        self.unread.some();
    }

    /// Ready when the stream, whose own direction has ended, can be closed without a loss, or has been read for
    /// long enough.
    pub(crate) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        let Some(time) = self.limits.time.filter(|_| self.unread.is_some()) else {
            return Poll::Ready(());
        };
        let (host, bytes) = (self.host, self.limits.bytes);
        let reading = self.reading.get_or_insert_with(|| Reading {
            all: host.timer(time),
            silence: host.timer(SILENCE.min(time)),
            left: bytes,
            buffer: vec![0; PIECE].into(),
        });
        if Pin::new(&mut reading.all).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        for _ in 0..ROUNDS {
            let mut buffer = ReadBuf::new(&mut reading.buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Pin::new(&mut reading.silence).poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let count = buffer.filled().len() as u64;
            reading.left = reading.left.saturating_sub(count);
            if count == 0 || reading.left == 0 {
                return Poll::Ready(());
            }
            reading.silence.reset(SILENCE.min(time));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
