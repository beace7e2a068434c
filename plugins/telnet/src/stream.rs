//! [`Shared`]: the carrier and the [`Engine`] over it, used by the stream and by calls at the same time.

use crate::engine::Engine;
use crate::wakers::Wakers;
use bytes::{Buf, BytesMut};
use futures_util::task::{ArcWake, WakerRef, waker_ref};
use jackfield_plugin_api::EventQueue;
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Stream};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// Over so many bytes that wait to be sent, no more are taken, nor is anything read that would have to
/// be answered.
const FULL: usize = 32 * 1024;

/// How much a call may read ahead of whoever takes the data.
const AHEAD: usize = 64 * 1024;

/// What stream and calls share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    wakers: Arc<Wakers>,
    pub(crate) news: EventQueue,
    host: Host,
}

pub(crate) struct Core {
    carrier: Stream,
    pub(crate) engine: Engine,
    /// Encoded, not yet sent.
    pub(crate) out: BytesMut,
    /// Decoded, not yet taken.
    inbox: BytesMut,
    unflushed: bool,
    ended: bool,
    closing: bool,
    failed: Option<Error>,
}

impl Core {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(Pin::new(&mut self.carrier).poll_write(cx, &self.out))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(count);
            self.unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.carrier).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is left and ends our direction.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            let Core { engine, out, .. } = self;
            engine.settle(out);
        }
        ready!(self.poll_drain(cx))?;
        self.closing = true;
        Pin::new(&mut self.carrier).poll_shutdown(cx)
    }

    /// Sends what can be sent now. A peer that takes nothing any more may still have sent something.
    fn send_on(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            self.out.clear();
            self.unflushed = false;
        }
    }

    /// Reads once; tells whether there was more than data.
    fn poll_fill(&mut self, cx: &mut Context<'_>, host: Host) -> Poll<Result<bool>> {
        if self.out.len() > FULL {
            // Whoever does not take our answers is not asked for more.
            self.send_on(cx);
            if self.out.len() > FULL {
                return Poll::Pending;
            }
        }
        let mut room = [MaybeUninit::<u8>::uninit(); PIECE];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.carrier).poll_read(cx, &mut room))?;
        let bytes = room.filled();
        if bytes.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(true));
        }
        let Core { engine, inbox, out, .. } = self;
        let some = engine.receive(bytes, host.now(), inbox, out)?;
        if self.closing {
            self.out.clear();
        }
        if some {
            self.send_on(cx);
        }
        Poll::Ready(Ok(some))
    }
}

impl Shared {
    pub(crate) fn new(carrier: Stream, engine: Engine, events: usize, host: Host) -> Arc<Self> {
        let core = Core {
            carrier,
            engine,
            out: BytesMut::new(),
            inbox: BytesMut::new(),
            unflushed: false,
            ended: false,
            closing: false,
            failed: None,
        };
        let (core, wakers) = (Mutex::new(core), Arc::default());
        Arc::new(Shared { core, wakers, news: EventQueue::new(events), host })
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads once, under the lock; the news of it go where they are waited for.
    fn poll_fill(&self, core: &mut Core) -> Poll<Result<()>> {
        let waker: WakerRef<'_> = waker_ref(&self.wakers);
        let filled = ready!(core.poll_fill(&mut Context::from_waker(&waker), self.host));
        for event in core.engine.events.drain(..) {
            self.news.tell(&event.name, event.data);
        }
        if core.ended || filled.is_err() {
            self.news.end();
        }
        if !matches!(filled, Ok(false)) {
            self.wakers.calls.notify_waiters();
            // Room, or leave to send again.
            self.wakers.write.wake();
        }
        if let Err(error) = &filled {
            core.failed = Some(error.clone());
        }
        Poll::Ready(filled.map(drop))
    }

    /// Does something with the engine and sees to it that what it writes is sent.
    ///
    /// # Errors
    /// The session has failed or is closed.
    pub(crate) async fn send(&self, work: impl FnOnce(&mut Engine, &mut BytesMut)) -> Result<()> {
        {
            let mut core = self.core();
            if core.closing {
                return Err(Error::new(ErrorKind::Closed, "the session is closed"));
            }
            let Core { engine, out, .. } = &mut *core;
            work(engine, out);
        }
        self.until(false, |core| core.out.is_empty().then_some(Ok(()))).await
    }

    /// Waits for `check` to give something, sending meanwhile and, with `reading`, receiving. Cancel
    /// safe.
    ///
    /// # Errors
    /// What `check` gives; the end of the session.
    pub(crate) async fn until<T>(
        &self,
        reading: bool,
        mut check: impl FnMut(&mut Core) -> Option<Result<T>>,
    ) -> Result<T> {
        loop {
            // Enabled before the look, so that nothing in between is missed.
            let mut woken = std::pin::pin!(self.wakers.calls.notified());
            woken.as_mut().enable();
            if let Some(answer) = self.look(reading, &mut check) {
                return answer;
            }
            woken.await;
        }
    }

    /// Sends what is left and ends our direction; nothing is sent after that. Cancel safe.
    ///
    /// # Errors
    /// The peer takes no more.
    pub(crate) async fn close(&self) -> Result<()> {
        loop {
            let mut woken = std::pin::pin!(self.wakers.calls.notified());
            woken.as_mut().enable();
            {
                let mut core = self.core();
                if core.closing {
                    return Ok(());
                }
                let waker: WakerRef<'_> = waker_ref(&self.wakers);
                if let Poll::Ready(ended) = core.poll_end(&mut Context::from_waker(&waker)) {
                    return ended.map_err(Error::from);
                }
            }
            woken.await;
        }
    }

    /// Forgets what could not be sent; nothing is sent after that.
    pub(crate) fn abandon(&self) {
        let mut core = self.core();
        core.out.clear();
        core.closing = true;
    }

    fn look<T>(
        &self,
        reading: bool,
        check: &mut impl FnMut(&mut Core) -> Option<Result<T>>,
    ) -> Option<Result<T>> {
        let mut core = self.core();
        let waker: WakerRef<'_> = waker_ref(&self.wakers);
        if let Poll::Ready(Err(error)) = core.poll_flush(&mut Context::from_waker(&waker)) {
            return Some(Err(error.into()));
        }
        loop {
            if let Some(answer) = check(&mut core) {
                return Some(answer);
            }
            if let Some(error) = &core.failed {
                return Some(Err(error.clone()));
            }
            if core.ended && reading {
                return Some(Err(closed()));
            }
            if !reading || core.inbox.len() >= AHEAD || self.poll_fill(&mut core).is_pending() {
                return None;
            }
            self.wakers.read.wake();
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the peer has ended the session")
}

/// The bytes of a session.
pub(crate) struct TelnetIo(pub(crate) Arc<Shared>);

impl Drop for TelnetIo {
    fn drop(&mut self) {
        Wakers::wake_by_ref(&self.0.wakers);
    }
}

impl AsyncRead for TelnetIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.0;
        shared.wakers.read.register(cx.waker());
        let mut core = shared.core();
        loop {
            if core.inbox.has_remaining() {
                let count = core.inbox.len().min(buf.remaining());
                if core.inbox.len() >= AHEAD {
                    shared.wakers.calls.notify_waiters();
                }
                buf.put_slice(&core.inbox.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &core.failed {
                return Poll::Ready(Err(error.clone().into_io()));
            }
            if core.ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(shared.poll_fill(&mut core)).map_err(Error::into_io)?;
        }
    }
}

impl AsyncWrite for TelnetIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let mut core = shared.core();
        if let Some(error) = &core.failed {
            return Poll::Ready(Err(error.clone().into_io()));
        }
        if core.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if core.engine.com.suspended {
            return Poll::Pending;
        }
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        let mut all = Context::from_waker(&waker);
        if core.out.len() >= FULL {
            ready!(core.poll_drain(&mut all))?;
        }
        let count = bytes.len().min(PIECE);
        let Core { engine, out, .. } = &mut *core;
        engine.data(&bytes[..count], out);
        if let Poll::Ready(Err(error)) = core.poll_drain(&mut all) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let mut core = shared.core();
        let Core { engine, out, .. } = &mut *core;
        engine.settle(out);
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        core.unflushed = true;
        core.poll_flush(&mut Context::from_waker(&waker))
    }

    /// A server may send for as long as it likes after its end. To servers the end of one direction is that
    /// of the session, and consoles do not look at it at all: a client sends what is left and is dropped when
    /// the answers have come.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        let mut all = Context::from_waker(&waker);
        let mut core = shared.core();
        if core.engine.is_server() {
            return core.poll_end(&mut all);
        }
        let Core { engine, out, .. } = &mut *core;
        engine.settle(out);
        core.unflushed = true;
        ready!(core.poll_flush(&mut all))?;
        Poll::Ready(
            Err(Error::unsupported("the end of one direction of a telnet client").into_io()),
        )
    }
}
