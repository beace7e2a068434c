//! [`Shared`]: the carrier and the [`Engine`] over it, used by the stream and by calls at the same time.

use crate::engine::Engine;
use crate::wakers::Wakers;
use bytes::{Buf, BytesMut};
use futures_util::task::{WakerRef, waker_ref};
use jackfield_plugin_api::EventQueue;
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Stream, Timer};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// Over so many bytes that wait to be sent, no more are taken.
const FULL: usize = 32 * 1024;

/// Over so many, nothing is read that would have to be answered. More than data comes to, of which each byte may be
/// sent as two: data that waits stops no reading, or two ends that both send would wait for each other.
const ANSWERS: usize = FULL + 2 * PIECE + FULL;

/// How long data waits for an operation that a route may do.
const PATIENCE: Duration = Duration::from_secs(65);

/// How long it waits if no event was fetched so far.
const UNHEEDED: Duration = Duration::from_secs(1);

/// How much a call may read ahead of the reader.
const AHEAD: usize = 64 * 1024;

mod data;

pub(crate) use data::TelnetIo;

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
    /// Somebody fetches events, and may do as they ask.
    heeded: bool,
    /// Somebody takes the data.
    is_read: bool,
    /// How long data still waits for an operation that was asked for.
    patience: Option<Timer>,
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
        if self.out.len() > ANSWERS {
            // Whoever does not take our answers is not asked for more.
            self.send_on(cx);
            if self.out.len() > ANSWERS {
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
            heeded: false,
            is_read: false,
            patience: None,
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
        self.tell(core);
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
        if !core.is_read {
            self.ask_due(core);
        }
        Poll::Ready(filled.map(drop))
    }

    fn tell(&self, core: &mut Core) {
        for event in core.engine.events.drain(..) {
            self.news.tell(&event.name, event.data);
        }
    }

    /// Asks for the operation at which data has come to a stop.
    fn ask_due(&self, core: &mut Core) {
        if let Some(event) = core.engine.held.due() {
            // Without a listener for events no one will do it.
            core.patience = Some(self.host.timer(if core.heeded { PATIENCE } else { UNHEEDED }));
            self.news.tell(&event.name, event.data);
        }
    }

    /// Sees to the operation at which data has come to a stop: asked for once the reader is back, which then has
    /// delivered all that came before. Ready when data may go on.
    fn poll_stop(&self, core: &mut Core, cx: &mut Context<'_>) -> Poll<()> {
        while core.engine.held.stopped() {
            self.ask_due(core);
            if let Some(patience) = &mut core.patience {
                ready!(Pin::new(patience).poll(cx));
            }
            core.patience = None;
            if let Some(id) = core.engine.held.awaited() {
                let Core { engine, out, .. } = &mut *core;
                engine.answered(id, None, out);
                self.tell(core);
                core.send_on(&mut Context::from_waker(&waker_ref(&self.wakers)));
            }
        }
        core.patience = None;
        Poll::Ready(())
    }

    /// An operation was done.
    pub(crate) fn go_on(&self) {
        let mut core = self.core();
        self.tell(&mut core);
        core.patience = None;
        if core.is_read {
            self.wakers.read.wake();
        } else {
            self.ask_due(&mut core);
        }
    }

    /// Events are fetched from now on.
    pub(crate) fn heed(&self) {
        let mut core = self.core();
        core.heeded = true;
        if let Some(patience) = &mut core.patience {
            patience.reset(PATIENCE);
        }
    }

    /// Reads input although there may be no reader, as far as there is room, until the end. Cancel safe.
    pub(crate) async fn read_ahead(&self) {
        let end: Result<()> = self.until(true, |_| None).await;
        drop(end);
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
