//! [`Link`]: an [`Engine`] over a byte stream, moved by a task of its own, so that answers and pings come whether or
//! not anybody reads messages.

use crate::engine::{Engine, Received};
use crate::packet::{Filter, Publication};
use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::io::{AsyncRead, AsyncWrite, ReadBuf};
use jackfield_plugin_api::sync::{Notify, oneshot};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Stream, Timer};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes read at once.
const READ: usize = 16 << 10;

/// How long the goodbye may take to leave, and the peer to end after it.
const GOODBYE: Duration = Duration::from_secs(5);

/// One connection. Dropped, it ends at once.
pub(crate) struct Link {
    shared: Arc<Shared>,
    /// Runs while this is held.
    _task: Op<()>,
}

struct Shared {
    /// Held for single steps only; never across an await.
    engine: Mutex<Engine>,
    host: Host,
    /// The task that reads and writes.
    mover: AtomicWaker,
    /// Who takes what is received.
    reader: AtomicWaker,
    /// Who sends messages.
    writer: AtomicWaker,
    /// Something has come, or has left.
    changed: Notify,
    /// Nothing is read, because what came was not taken yet.
    paused: AtomicBool,
    /// The goodbye has left.
    gone: AtomicBool,
}

impl Shared {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.reader.wake();
        self.writer.wake();
        self.changed.notify_waiters();
    }
}

impl Link {
    /// Moves `engine` over `stream` from here on.
    pub(crate) fn start(engine: Engine, stream: Stream, host: Host) -> Self {
        let shared = Arc::new(Shared {
            engine: Mutex::new(engine),
            host,
            mover: AtomicWaker::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            changed: Notify::new(),
            paused: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        });
        let task = host.spawn(run(Arc::clone(&shared), stream));
        Link { shared, _task: task }
    }

    /// Looks at the engine or changes it; what it has to send then leaves.
    pub(crate) fn with<R>(&self, step: impl FnOnce(&mut Engine) -> R) -> R {
        let (result, moves) = {
            let mut engine = self.shared.engine();
            let result = step(&mut engine);
            (result, !engine.out.is_empty() || engine.ended().is_some())
        };
        if moves || self.shared.paused.load(Ordering::Acquire) {
            self.shared.mover.wake();
        }
        result
    }

    /// Wakes who waits for something that is not the engine's.
    pub(crate) fn tell(&self) {
        self.shared.tell();
    }

    /// The time that the engine is told.
    pub(crate) fn now(&self) -> Duration {
        self.shared.host.now()
    }

    /// What came next; `None` at the end. For one reader.
    pub(crate) fn poll_received(&self, cx: &Context<'_>) -> Poll<Option<Received>> {
        self.shared.reader.register(cx.waker());
        self.with(|engine| match engine.take() {
            Some(received) => Poll::Ready(Some(received)),
            None if engine.ended().is_some() => Poll::Ready(None),
            None => Poll::Pending,
        })
    }

    /// As [`Link::poll_received`]. Cancel safe.
    pub(crate) async fn received(&self) -> Option<Received> {
        poll_fn(|cx| self.poll_received(cx)).await
    }

    /// Ready when a message of this QoS may be sent, or never will. For one sender.
    pub(crate) fn poll_room(&self, qos: u8, cx: &Context<'_>) -> Poll<()> {
        self.shared.writer.register(cx.waker());
        let engine = self.shared.engine();
        let ready = engine.has_room(qos) || engine.ended().is_some();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready when all that was given is on its way.
    pub(crate) fn poll_sent(&self, cx: &Context<'_>) -> Poll<()> {
        self.shared.writer.register(cx.waker());
        let engine = self.shared.engine();
        let ready = engine.out.is_empty() || engine.ended().is_some();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Completes when `holds`. Cancel safe.
    pub(crate) async fn until(&self, holds: impl Fn(&Engine) -> bool) {
        loop {
            // Made before the look, so that nothing told in between is missed.
            let changed = self.shared.changed.notified();
            if holds(&self.shared.engine()) {
                return;
            }
            changed.await;
        }
    }

    /// Publishes a message, and gives the code of its last answer: of PUBACK for QoS 1, PUBCOMP or a refusing PUBREC
    /// for QoS 2. Dropped, the message goes its way all the same if it has left.
    ///
    /// # Errors
    /// The connection has ended, or the message is too long for the peer.
    pub(crate) async fn publish(&self, publication: Publication) -> Result<u8> {
        let (tell, told) = oneshot::channel();
        let mut waiting = Some((publication, tell));
        loop {
            let changed = self.shared.changed.notified();
            let sent = self.with(|engine| {
                let qos = waiting.as_ref().map_or(0, |(publication, _)| publication.qos);
                if !engine.has_room(qos.min(engine.max_qos)) && engine.ended().is_none() {
                    return Ok(false);
                }
                let Some((publication, tell)) = waiting.take() else { return Ok(true) };
                engine.publish(publication, Some(tell), self.now()).map(|()| true)
            })?;
            if sent {
                return told.await.map_err(|_| over())?;
            }
            changed.await;
        }
    }

    /// Subscribes, for the code of each filter. Dropped, the subscription stands if it has left.
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub(crate) async fn subscribe(&self, filters: Vec<Filter>) -> Result<Vec<u8>> {
        let (tell, told) = oneshot::channel();
        self.with(|engine| engine.subscribe(filters, tell, self.now()))?;
        told.await.map_err(|_| over())?
    }

    /// Ends subscriptions, for the code of each filter; by 3.1.1 there are none.
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub(crate) async fn unsubscribe(&self, filters: Vec<String>) -> Result<Vec<u8>> {
        let (tell, told) = oneshot::channel();
        self.with(|engine| engine.unsubscribe(filters, tell, self.now()))?;
        told.await.map_err(|_| over())?
    }

    /// One PINGREQ and its answer.
    ///
    /// # Errors
    /// As [`Link::publish`].
    pub(crate) async fn ping(&self) -> Result<Duration> {
        let (tell, told) = oneshot::channel();
        let before = self.now();
        self.with(|engine| engine.ping(tell, before))?;
        told.await.map_err(|_| over())??;
        Ok(self.now().saturating_sub(before))
    }

    /// Says goodbye with `code`, and completes when it has left.
    pub(crate) async fn leave(&self, code: u8) {
        self.with(|engine| engine.leave(code, None));
        self.gone().await;
    }

    /// Completes when the connection has ended and its goodbye, if there is one, has left.
    pub(crate) async fn gone(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.gone.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Closed, "the connection has ended")
}

/// Reads and writes until the end.
async fn run(shared: Arc<Shared>, stream: Stream) {
    let timer = shared.host.timer(Duration::from_secs(3600));
    let mut mover = Mover {
        shared: &shared,
        stream,
        pending: BytesMut::new(),
        unflushed: false,
        timer,
        due: None,
        leaving: None,
    };
    poll_fn(|cx| mover.poll_move(cx)).await;
    shared.gone.store(true, Ordering::Release);
    shared.tell();
    // A peer that still sends would otherwise be reset, and lose our last words.
    let _ = shared.host.timeout(GOODBYE, "", mover.drain()).await;
}

struct Mover<'a> {
    shared: &'a Shared,
    stream: Stream,
    /// Is being written.
    pending: BytesMut,
    unflushed: bool,
    timer: Timer,
    due: Option<Duration>,
    /// When waiting for the last bytes to leave ends.
    leaving: Option<Duration>,
}

impl Mover<'_> {
    /// Ready when the connection has ended and all has left, or cannot.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.mover.register(cx.waker());
        loop {
            let now = self.shared.host.now();
            let (wants_read, ended) = self.look(now);
            let wrote = match self.poll_write(now, cx) {
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Pending => false,
                Poll::Ready(Err(error)) => {
                    self.shared.engine().broken(error);
                    return Poll::Ready(());
                }
            };
            if ended {
                let left = self.pending.is_empty() && !self.unflushed;
                if left && self.shared.engine().out.is_empty() {
                    return Pin::new(&mut self.stream).poll_shutdown(cx).map(drop);
                }
                let until = *self.leaving.get_or_insert(now + GOODBYE);
                if self.poll_due(Some(until), now, cx) {
                    return Poll::Ready(());
                }
                if !wrote {
                    return Poll::Pending;
                }
                continue;
            }
            self.shared.paused.store(!wants_read, Ordering::Release);
            let read = wants_read && self.poll_read(now, cx);
            if read || wrote {
                continue;
            }
            let due = self.shared.engine().due();
            if !self.poll_due(due, now, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Lets time pass for the engine, and takes what it has to say.
    fn look(&mut self, now: Duration) -> (bool, bool) {
        let mut engine = self.shared.engine();
        engine.tick(now);
        if self.pending.is_empty() && !engine.out.is_empty() {
            std::mem::swap(&mut self.pending, &mut engine.out);
            engine.sent(now);
            drop(engine);
            self.shared.writer.wake();
            self.shared.changed.notify_waiters();
            engine = self.shared.engine();
        }
        let (wants_read, ended) = (engine.wants_read(), engine.ended().is_some());
        drop(engine);
        if ended {
            self.shared.tell();
        }
        (wants_read, ended)
    }

    /// Writes; ready with whether something has left.
    fn poll_write(&mut self, now: Duration, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let mut wrote = false;
        while !self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(over())),
                Poll::Ready(Ok(count)) => {
                    self.pending.advance(count);
                    (wrote, self.unflushed) = (true, true);
                    if self.pending.is_empty() {
                        // Its room is used again.
                        self.pending.clear();
                        let mut engine = self.shared.engine();
                        engine.sent(now);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(wrote))
    }

    /// Reads once; whether something came, or the end.
    fn poll_read(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) else {
            return false;
        };
        {
            let mut engine = self.shared.engine();
            match read {
                Ok(()) if buffer.filled().is_empty() => {
                    let text = "the peer ended the connection without a word";
                    engine.broken(Error::new(ErrorKind::Closed, text));
                }
                Ok(()) => engine.feed(buffer.filled(), now),
                Err(error) => engine.broken(error.into()),
            }
        }
        self.shared.tell();
        true
    }

    /// Whether it is `due`; else it wakes then.
    fn poll_due(&mut self, due: Option<Duration>, now: Duration, cx: &mut Context<'_>) -> bool {
        let Some(at) = due else { return false };
        if now >= at {
            return true;
        }
        // A later moment is looked at when the earlier one has come.
        if self.due.is_none_or(|set| set > at || set <= now) {
            self.timer.reset(at - now);
            self.due = Some(at);
        }
        if Pin::new(&mut self.timer).poll(cx).is_ready() {
            self.due = None;
            cx.waker().wake_by_ref();
        }
        false
    }

    /// Reads what comes, for nothing, until the end.
    async fn drain(&mut self) -> Result<()> {
        poll_fn(|cx| {
            loop {
                let mut room = [const { MaybeUninit::uninit() }; READ];
                let mut buffer = ReadBuf::uninit(&mut room);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }
}
