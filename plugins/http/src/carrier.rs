//! [`Carrier`]: the byte stream below, with what was read of it already, and with an end to waiting
//! for a peer that takes nothing.

use crate::interim::{Insertion, Interim};
use crate::linger::Linger;
use crate::resets::Resets;
use crate::serving::Life;
use bytes::{Buf, Bytes};
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Error, ErrorKind, Host, Stream};
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Carrier {
    stream: Stream,
    /// Read before it was known what it is.
    first: Bytes,
    stall: Option<Stall>,
    /// Of HTTP/2.
    resets: Option<Resets>,
    role: Role,
}

struct Stall {
    limit: Duration,
    timer: Timer,
    waiting: bool,
}

/// What is done beyond carrying bytes.
enum Role {
    Client {
        /// Why nothing can be written any more. A server may have answered before it stopped reading, so its
        /// answer is looked for first (RFC 9112 §9.5), and only then the error is told.
        broken: Option<io::Error>,
    },
    Server {
        /// Of HTTP/1.1.
        old: Option<Box<Old>>,
        has_shut_down: bool,
    },
}

/// What a server of HTTP/1.1 does that hyper does not.
pub(crate) struct Old {
    linger: Linger,
    insertion: Insertion,
    life: Arc<Life>,
    half_close: Duration,
    /// Runs once the client has ended its direction while it waits for an answer.
    half_closed: Option<Timer>,
    /// When that was, or something of the answer was last written after it, on the host's clock.
    last: Duration,
    /// Something of the answer waits for room.
    waits: bool,
}

impl Old {
    pub(crate) fn new(
        linger: Linger,
        interim: Interim,
        life: Arc<Life>,
        half_close: Duration,
    ) -> Self {
        let insertion = Insertion::new(interim);
        let (half_closed, last, waits) = (None, Duration::ZERO, false);
        Old { linger, insertion, life, half_close, half_closed, last, waits }
    }

    /// A client that has ended its direction may have gone, or only have said that it asks nothing more
    /// (RFC 9112 §9.6); both look the same. hyper drops the request at once: it hears of the end when the request
    /// has been answered, or nothing of the answer has come for a while.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.is_upgraded() {
            return Poll::Ready(());
        }
        let (life, limit) = (&self.life, self.half_close);
        while life.is_busy() {
            let timer = self.half_closed.get_or_insert_with(|| {
                self.last = life.now();
                life.timer(limit)
            });
            ready!(Pin::new(&mut *timer).poll(cx));
            let silent =
                if self.waits { Duration::ZERO } else { life.now().saturating_sub(self.last) };
            if silent >= limit {
                break;
            }
            timer.reset(limit - silent);
        }
        Poll::Ready(())
    }
}

impl Carrier {
    /// To a server, with `resets` for HTTP/2.
    pub(crate) fn opened(
        stream: Stream,
        resets: Option<Resets>,
        host: Host,
        limit: Option<Duration>,
    ) -> Self {
        let role = Role::Client { broken: None };
        Carrier { stream, first: Bytes::new(), stall: Stall::new(host, limit), resets, role }
    }

    /// From a client, of which `first` was read before, with `old` for HTTP/1.1 and `resets` for HTTP/2.
    pub(crate) fn accepted(
        stream: Stream,
        first: Bytes,
        old: Option<Old>,
        resets: Option<Resets>,
        host: Host,
        limit: Option<Duration>,
    ) -> Self {
        let role = Role::Server { old: old.map(Box::new), has_shut_down: false };
        Carrier { stream, first, stall: Stall::new(host, limit), resets, role }
    }

    /// Fails a wait for the peer that takes too long.
    fn watch<T>(
        &mut self,
        result: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let Some(stall) = &mut self.stall else { return result };
        if result.is_ready() {
            stall.waiting = false;
            return result;
        }
        if !stall.waiting {
            stall.waiting = true;
            stall.timer.reset(stall.limit);
        }
        Pin::new(&mut stall.timer).poll(cx).map(|()| {
            reset(&mut self.stream);
            let text = format!("the peer has read nothing for {:?}", stall.limit);
            Err(Error::new(ErrorKind::TimedOut, text).into_io())
        })
    }

    /// Whether a server is known to read no more.
    fn is_broken(&self) -> bool {
        matches!(&self.role, Role::Client { broken: Some(_), .. })
    }

    /// Writes what comes before the next bytes of hyper's.
    fn before_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Role::Server { old: Some(old), .. } = &mut self.role else {
            return Poll::Ready(Ok(()));
        };
        let result = old.insertion.poll_before_write(&mut self.stream, cx);
        // The wait for the peer goes on in the write itself.
        if result.is_pending() { self.watch(result, cx) } else { result }
    }

    /// `length` bytes were to be written.
    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Role::Server { old: Some(old), .. } = &mut self.role {
            old.waits = result.is_pending();
            if old.half_closed.is_some() {
                old.last = old.life.now();
            }
        }
        self.sent(result, length, cx)
    }

    /// `length` bytes were to be written or flushed. What a server does not read any more is dropped.
    fn sent(
        &mut self,
        result: Poll<io::Result<usize>>,
        length: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match (&mut self.role, result) {
            (Role::Client { broken, .. }, Poll::Ready(Err(error))) => {
                *broken = Some(error);
                Poll::Ready(Ok(length))
            }
            (_, result) => self.watch(result, cx),
        }
    }

    /// `count` bytes have come, the last of `buffer`.
    fn heard(&mut self, buffer: &mut ReadBuf<'_>, count: usize) -> io::Result<()> {
        if let Some(resets) = &mut self.resets {
            let end = buffer.filled().len();
            resets.pass(&mut buffer.filled_mut()[end - count..]);
        }
        match &mut self.role {
            Role::Client { broken } => match broken.take_if(|_| count == 0) {
                Some(error) => Err(error),
                None => Ok(()),
            },
            Role::Server { old: Some(old), .. } if count > 0 => {
                old.linger.heard();
                Ok(())
            }
            Role::Server { .. } => Ok(()),
        }
    }
}

impl Stall {
    fn new(host: Host, limit: Option<Duration>) -> Option<Self> {
        limit.map(|limit| Stall { limit, timer: host.timer(limit), waiting: false })
    }
}

/// Ends a stream without what has not been taken of it. After a mere close the kernel would keep that,
/// and try on for as long as the peer says that it is there.
fn reset(stream: &mut Stream) {
    if let Some((socket, _)) = stream.take_fd() {
        // Where it is no TCP there is nothing of that kind.
        let _ = set_socket_linger(&socket, Some(Duration::ZERO));
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        } else {
            let count = self.first.len().min(room);
            buffer.put_slice(&self.first[..count]);
            self.first.advance(count);
        }
        let count = buffer.filled().len() - before;
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        if let (0, Role::Server { old: Some(old), .. }) = (count, &mut self.role) {
            ready!(old.poll_end(cx));
        }
        Poll::Ready(self.heard(buffer, count))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.before_write(cx))?;
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result, bytes.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.is_broken() {
            return Poll::Ready(Ok(length));
        }
        ready!(self.before_write(cx))?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result, length, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let mut result = Pin::new(&mut this.stream).poll_flush(cx);
        if let (Role::Server { old: Some(old), .. }, Poll::Ready(Ok(()))) =
            (&mut this.role, &result)
        {
            result = old.insertion.poll_after_flush(&mut this.stream, cx);
        }
        this.sent(result.map_ok(|()| 0), 0, cx).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Role::Server { has_shut_down: true, old: Some(old) } = &mut this.role {
            return old.linger.poll(&mut this.stream, cx).map(Ok);
        }
        let result = Pin::new(&mut this.stream).poll_shutdown(cx);
        ready!(this.watch(result, cx))?;
        match &mut this.role {
            Role::Server { has_shut_down, old: Some(old) } => {
                *has_shut_down = true;
                old.linger.poll(&mut this.stream, cx).map(Ok)
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
