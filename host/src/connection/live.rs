//! [`Live`]: one life of a named connection, from its first attempt to its one `closed`.

use super::calls::Calls;
use super::counted::CountedStream;
use super::data::Data;
use super::handler::{SessionHandler, Slot};
use super::info::millis;
use super::lives::Lives;
use super::outbox::{Outbox, Payload, Receipt};
use super::record::{Decider, Record, Step};
use super::spec::Spec;
use super::state::{State, StateCell};
use super::supervisor;
use super::traffic::Traffic;
use crate::dialogue::Dialogue;
use crate::events::{Bus, EventKind, Subscription};
use arc_swap::ArcSwapOption;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::timeout;

/// What its supervisor is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    GoOn,
    /// The session numbered so is lost, as a call has found out.
    Lost(u64, String),
    Drain(Duration),
    Close {
        code: u64,
        reason: String,
    },
    Abort(String),
}

/// One life of a named connection.
#[derive(Debug)]
pub struct Live {
    /// Never used again in this process.
    pub id: u64,
    /// The name of the connection.
    pub name: Arc<str>,
    /// What happens to it.
    pub events: Bus,
    pub(super) spec: Arc<Spec>,
    pub(super) state: StateCell,
    pub(super) session: ArcSwapOption<Session>,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) changed: watch::Sender<State>,
    pub(super) handler: watch::Receiver<Slot>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) calls: Calls,
    /// With the session of that number, once somebody has begun it.
    pub(super) dialogue: tokio::sync::Mutex<Option<(u64, Dialogue<CountedStream>)>>,
    pub(super) reconnects: AtomicU32,
    pub(super) idle_notices: AtomicU32,
    pub(super) errors: AtomicU64,
    /// Counts sessions, so that a late complaint about an old one does no harm.
    pub(super) generation: AtomicU64,
    pub(super) round_trip_nanos: AtomicU64,
    pub(super) healthy: AtomicBool,
    pub(super) created_at: u64,
    data: Data,
    record: Mutex<Record>,
    to_handler: OnceLock<Subscription>,
}

impl Live {
    /// Begins a life: its supervisor opens the first session at once, and ends when the life does or
    /// when nobody holds it any more.
    pub(super) fn begin(spec: Arc<Spec>) -> Arc<Self> {
        let (wish, wishes) = watch::channel(Wish::GoOn);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let policy = &spec.policy;
        let live = Arc::new(Live {
            id: super::next_id(),
            name: Arc::clone(&spec.name),
            events: Bus::default(),
            state: StateCell::new(State::Disconnected),
            session: ArcSwapOption::empty(),
            wish,
            changed: watch::channel(State::Disconnected).0,
            handler: spec.handler.subscribe(),
            outbox: Arc::new(Outbox::new(policy.post_queue, policy.post_bytes)),
            traffic: Arc::new(Traffic::new()),
            calls: Calls::default(),
            dialogue: tokio::sync::Mutex::default(),
            reconnects: AtomicU32::new(0),
            idle_notices: AtomicU32::new(0),
            errors: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            round_trip_nanos: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            created_at: millis(now),
            data: Data::default(),
            record: Mutex::default(),
            to_handler: OnceLock::new(),
            spec,
        });
        live.tell_handler();
        let entered = live.spec.lives.as_ref().map_or(Ok(()), |lives| lives.enter(&live));
        match (entered, &live.spec.lives) {
            (Ok(()), _) => drop(tokio::spawn(supervisor::run(Arc::downgrade(&live), wishes))),
            (Err(_), Some(lives)) if lives.waits() => {
                drop(tokio::spawn(begin_later(Arc::downgrade(&live), Arc::clone(lives), wishes)));
            }
            (Err(error), _) => live.refuse(&error),
        }
        live
    }

    /// There is no room for it.
    fn refuse(&self, error: &Error) {
        self.step(State::Connecting, Decider::Call, "connect", EventKind::Connecting);
        self.note_error(error);
        self.end(State::Error, Decider::Limit, &error.to_string());
    }

    /// Gives each event to the handler that is set at that moment.
    fn tell_handler(self: &Arc<Self>) {
        let (weak, slot): (Weak<Live>, _) = (Arc::downgrade(self), self.handler.clone());
        let told = self.events.on_event(move |event| {
            let handler = slot.borrow().0.clone();
            let (Some(handler), Some(live)) = (handler, weak.upgrade()) else { return };
            // A panic ends neither its subscription nor the connection.
            if catch_unwind(AssertUnwindSafe(|| handler.event(&live, event))).is_err() {
                live.note_error(&Error::new(ErrorKind::Panicked, "the session's handler panicked"));
            }
        });
        // Set once: the life has just begun.
        let _ = self.to_handler.set(told);
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// A program's own data, as long as this life.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Waits until it is connected, at most for `limit`. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Closed`] while it is draining; or the cause of its end.
    pub async fn wait_ready(&self, limit: Duration) -> Result<Arc<Session>> {
        let mut changes = self.changed.subscribe();
        let settled =
            |state: &State| matches!(state, State::Connected | State::Draining) || state.is_final();
        let settled = timeout(limit, changes.wait_for(settled)).await.map(|_| ());
        if settled.is_err() {
            let text = format!("{} is {} after {limit:?}", self.name, self.state());
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        if self.state() == State::Draining {
            let text = format!("{} is draining and takes nothing new", self.name);
            return Err(Error::new(ErrorKind::Closed, text));
        }
        self.session.load_full().ok_or_else(|| self.end_cause())
    }

    /// Waits for its end. Cancel safe.
    pub async fn wait_closed(&self) {
        // The sender is in here: it cannot be gone.
        let _ = self.changed.subscribe().wait_for(|state| state.is_final()).await;
    }

    /// Which session is open now; given back with [`Live::report`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Tells that something done with a session failed; if the error says that the session is gone,
    /// it is opened again by the policy.
    pub fn report(&self, generation: u64, error: &Error) {
        self.note_error(error);
        self.lose(generation, error);
    }

    /// Takes the session numbered so for lost, if the error says that.
    pub(super) fn lose(&self, generation: u64, error: &Error) {
        if error.kind() == ErrorKind::Closed {
            self.ask(Wish::Lost(generation, error.to_string()));
        }
    }

    /// Waits until the session numbered `generation` is no longer the one that is open. Cancel safe.
    pub async fn left(&self, generation: u64) {
        let gone = |state: &State| *state != State::Connected || self.generation() != generation;
        // The sender is in here: it cannot be gone.
        let _ = self.changed.subscribe().wait_for(gone).await;
    }

    /// Starts the idle time over: also the veto of whoever hears the idle event.
    pub fn record_activity(&self) {
        self.traffic.touch();
    }

    /// Time since the last activity.
    pub fn idle(&self) -> Duration {
        self.traffic.idle()
    }

    /// Queues a payload for the session and answers at once; the receipt tells when it was sent.
    /// While the session is being opened, posts wait for it; what was not begun when a session is
    /// lost goes over the next one.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the queue is full: nothing was taken. [`ErrorKind::Closed`] when it
    /// drains or has ended. [`ErrorKind::Unsupported`] when its sessions take no payload.
    pub fn post(&self, payload: impl Into<Payload>) -> Result<Receipt> {
        self.outbox.post(payload.into())
    }

    /// Puts `handler` in the place of the one that was set, for this life and later ones. What is
    /// being delivered at this moment stays with the old one; all that follows goes to the new one,
    /// each thing exactly once. Until a handler is set, nothing is read.
    pub fn set_handler(&self, handler: Arc<dyn SessionHandler>) -> Option<Arc<dyn SessionHandler>> {
        self.spec.set_handler(handler)
    }

    /// Ends it politely and waits for the end. Safe to repeat.
    pub async fn close(&self, code: u64, reason: &str) {
        self.ask(Wish::Close { code, reason: reason.to_owned() });
        self.wait_closed().await;
    }

    /// Takes nothing new, lets what runs finish, at most for `limit`, and ends it: calls, posts, and
    /// what its driver has under way.
    pub async fn drain(&self, limit: Duration) {
        self.ask(Wish::Drain(limit));
        self.wait_closed().await;
    }

    /// Ends it at once.
    pub fn abort(&self, reason: &str) {
        self.ask(Wish::Abort(reason.to_owned()));
    }

    /// A later wish counts only if it is stronger than the one before.
    fn ask(&self, next: Wish) {
        self.wish.send_if_modified(|wish| {
            let stronger = match wish {
                Wish::GoOn | Wish::Lost(..) => true,
                Wish::Drain(_) => matches!(next, Wish::Close { .. } | Wish::Abort(_)),
                Wish::Close { .. } => matches!(next, Wish::Abort(_)),
                Wish::Abort(_) => false,
            };
            if stronger {
                *wish = next;
            }
            stronger
        });
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_error(&self, error: &Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.record().cause = Some(error.clone());
    }

    pub(super) fn cause(&self) -> Option<Error> {
        self.record().cause.clone()
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        self.record().steps.iter().cloned().collect()
    }

    pub(super) fn last_session_info(&self) -> Option<Info> {
        self.record().info.clone()
    }

    fn end_cause(&self) -> Error {
        let closed = || Error::new(ErrorKind::Closed, "the connection was closed");
        // An error of long ago is not why it was closed.
        if self.state() == State::Closed {
            return closed();
        }
        self.cause().unwrap_or_else(closed)
    }

    /// Takes a legal step and tells of it; an illegal one is a bug and changes nothing.
    pub(super) fn step(&self, to: State, by: Decider, because: &str, event: EventKind) {
        let stepped = {
            let mut record = self.record();
            self.state.step(to).map(|_| record.step(self.traffic.age_ms(), to, by, because))
        };
        if let Err(illegal) = stepped {
            tracing::error!(connection = &*self.name, %illegal, "state");
            return;
        }
        tracing::info!(connection = &*self.name, id = self.id, state = %to, because, "connection");
        self.events.emit(event);
        self.changed.send_replace(to);
    }

    /// The last step: by then it is in no count any more, and every post has its answer.
    pub(super) fn end(&self, state: State, by: Decider, cause: &str) {
        self.session.store(None);
        self.end_dialogue();
        self.outbox.refuse(&Error::new(ErrorKind::Closed, format!("{}: {cause}", self.name)));
        if let Some(lives) = &self.spec.lives {
            lives.leave(self.id);
        }
        self.step(state, by, cause, EventKind::Closed { cause: cause.to_owned() });
    }
}

/// Begins when there is room for one more.
async fn begin_later(live: Weak<Live>, lives: Arc<Lives>, wishes: watch::Receiver<Wish>) {
    // What is wished meanwhile is for the supervisor to see.
    let entered = lives.enter_later(&live, &mut wishes.clone()).await;
    drop(lives);
    match entered {
        Ok(()) => supervisor::run(live, wishes).await,
        Err(error) => live.upgrade().iter().for_each(|live| live.refuse(&error)),
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.state().is_final() {
            self.end(State::Closed, Decider::Owner, "nobody holds it any more");
        }
    }
}
