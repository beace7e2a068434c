//! [`LineIo`]: the bytes of a line.

use crate::line::Line;
use jackfield_plugin_api::{Error, ErrorKind, FdStream, Host, Timer};
use rustix::io::Errno;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of the bytes that are written, for operations beside them.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<Writing>);

#[derive(Debug, Default)]
struct Writing {
    /// Bytes that wait to be written because the line takes none, and who waits.
    waiting: usize,
    waker: Option<Waker>,
    /// Bytes of those that are to be thrown away.
    discard: usize,
    /// When the line has last taken some.
    last: Option<Duration>,
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the line has last taken bytes, in the time of the host.
    pub(crate) fn last(&self) -> Option<Duration> {
        self.lock().last
    }

    /// Throws away what waits to be written: it belongs to the queue that was emptied.
    pub(crate) fn discard(&self) {
        let mut writing = self.lock();
        writing.discard = std::mem::take(&mut writing.waiting);
        if let Some(waker) = writing.waker.take() {
            waker.wake();
        }
    }
}

/// What the kernel says of a line that is not there any more, as its end.
fn unplugged(error: io::Error) -> io::Error {
    let gone = [Errno::IO, Errno::NXIO, Errno::NODEV].map(Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|code| gone.contains(&code)) {
        return self::gone();
    }
    error
}

fn gone() -> io::Error {
    Error::new(ErrorKind::Closed, "the line is gone").into_io()
}

/// The bytes of a line, which is restored when they and the session are gone.
pub(crate) struct LineIo {
    io: FdStream,
    host: Host,
    written: Arc<Written>,
    line: Arc<Line>,
    draining: Option<Draining>,
}

/// Our end, which waits until the line has sent what it has.
struct Draining {
    until: Duration,
    look: Timer,
}

/// The longest that the end waits for a line, beside the time that its bytes need.
const LAST: Duration = Duration::from_secs(1);
/// The longest altogether.
const MOST: Duration = Duration::from_secs(60);

impl LineIo {
    pub(crate) fn new(io: FdStream, host: Host, line: Arc<Line>, written: Arc<Written>) -> Self {
        LineIo { io, host, written, line, draining: None }
    }

    /// Waits until what was written is on the line; one that takes nothing is not waited for.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (count, time) = self.line.unsent();
            let now = self.host.now();
            let look = time.clamp(Duration::from_millis(1), Duration::from_millis(100));
            let draining = self.draining.get_or_insert_with(|| Draining {
                until: now + time.saturating_add(LAST).min(MOST),
                look: self.host.timer(look),
            });
            if count == 0 || now >= draining.until {
                return Poll::Ready(());
            }
            ready!(Pin::new(&mut draining.look).poll(cx));
            draining.look.reset(look);
        }
    }
}

impl AsyncRead for LineIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(&mut self.io).poll_read(cx, buf)).map_err(unplugged)?;
        if room > 0 && buf.filled().len() == before {
            // A line does not end: it is gone.
            return Poll::Ready(Err(gone()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Arc::clone(&self.written);
        let mut writing = written.lock();
        if writing.discard > 0 && !bytes.is_empty() {
            let count = writing.discard.min(bytes.len());
            writing.discard -= count;
            return Poll::Ready(Ok(count));
        }
        let wrote = Pin::new(&mut self.io).poll_write(cx, bytes).map_err(unplugged);
        match &wrote {
            Poll::Pending => {
                writing.waiting = bytes.len();
                writing.waker = Some(cx.waker().clone());
            }
            Poll::Ready(_) => {
                writing.waiting = 0;
                writing.last = Some(self.host.now());
            }
        }
        wrote
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    /// A line knows no half-close; its end is delayed from when the last byte was sent.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx));
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
