//! [`Link`]: an [`Engine`] over a byte stream, moved by a task of its own, so that answers and pings come whether or
//! not anybody reads messages.

use crate::engine::{Engine, Received};
use crate::mover::run;
use crate::outgoing::Told;
use crate::packet::{Filter, Publication};
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::sync::{Notify, oneshot};
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Host, Result, Stream};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the goodbye may take to leave, and the peer to end after it.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);

/// One connection. Dropped, it ends at once.
pub(crate) struct Link {
    shared: Arc<Shared>,
    /// Runs while this is held.
    _task: Op<()>,
}

pub(crate) struct Shared {
    /// Held for single steps only; never across an await.
    pub(crate) engine: Mutex<Engine>,
    pub(crate) host: Host,
    pub(crate) events: Arc<EventQueue>,
    /// The task that reads and writes.
    pub(crate) mover: AtomicWaker,
    /// Who takes what is received.
    pub(crate) reader: AtomicWaker,
    /// Who sends messages.
    pub(crate) writer: AtomicWaker,
    /// Something has come, or has left.
    pub(crate) changed: Notify,
    /// Nothing is read, because what came was not taken yet.
    pub(crate) paused: AtomicBool,
    /// The goodbye has left.
    pub(crate) gone: AtomicBool,
    /// The peer has ended too, or had its time for that.
    pub(crate) over: AtomicBool,
}

impl Shared {
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self) {
        self.reader.wake();
        self.writer.wake();
        self.changed.notify_waiters();
    }
}

impl Link {
    /// Moves `engine` over `stream` from here on. What happens beside its messages is told to `events`.
    pub(crate) fn start(
        engine: Engine,
        stream: Stream,
        host: Host,
        events: Arc<EventQueue>,
    ) -> Self {
        let shared = Arc::new(Shared {
            engine: Mutex::new(engine),
            host,
            events,
            mover: AtomicWaker::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            changed: Notify::new(),
            paused: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            over: AtomicBool::new(false),
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

    /// Where what happens beside the messages is told.
    pub(crate) fn events(&self) -> Arc<EventQueue> {
        Arc::clone(&self.shared.events)
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

    /// All that came; `None` at the end. For one reader.
    pub(crate) fn poll_all_received(&self, cx: &Context<'_>) -> Poll<Option<VecDeque<Received>>> {
        self.shared.reader.register(cx.waker());
        self.with(|engine| {
            let received = engine.take_all();
            match received.is_empty() {
                false => Poll::Ready(Some(received)),
                true if engine.ended().is_some() => Poll::Ready(None),
                true => Poll::Pending,
            }
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
                engine.publish(publication, Told::Caller(tell), self.now()).map(|()| true)
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

    /// Whether a peer that has broken a rule is still to read that: a connection that is closed while the peer sends
    /// is reset, and our last words are lost. Who reads is woken when that is over, after five seconds at most.
    pub(crate) fn is_parting(&self) -> bool {
        let error =
            self.with(|engine| engine.ended().and_then(|it| it.error.as_ref()).map(Error::kind));
        let ours = matches!(error, Some(ErrorKind::Protocol | ErrorKind::Limit));
        ours && !self.shared.over.load(Ordering::Acquire)
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

pub(crate) fn over() -> Error {
    Error::new(ErrorKind::Closed, "the connection has ended")
}
