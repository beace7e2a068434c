//! [`Live`]: one life of a named connection, from its first attempt to its one `closed`.

use super::policy::Policy;
use super::state::{State, StateCell};
use super::supervisor;
use super::target::Target;
use crate::events::{Bus, EventKind};
use arc_swap::ArcSwapOption;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session};
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

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
    pub(super) target: Arc<Target>,
    pub(super) policy: Policy,
    pub(super) state: StateCell,
    pub(super) session: ArcSwapOption<Session>,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) changed: watch::Sender<State>,
    pub(super) reconnects: AtomicU32,
    pub(super) errors: AtomicU64,
    /// Counts sessions, so that a late complaint about an old one does no harm.
    pub(super) generation: AtomicU64,
    pub(super) round_trip_nanos: AtomicU64,
    calls: AtomicU64,
    started: Instant,
    last_activity_ms: AtomicU64,
    steps: Mutex<VecDeque<Step>>,
    cause: Mutex<Option<Error>>,
}

/// A change of state, kept for finding out why.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Milliseconds since the life began.
    pub at_ms: u64,
    /// The state stepped to.
    pub to: &'static str,
    /// Which rule, timer or call decided.
    pub because: String,
}

/// A life as others read it.
#[derive(Clone, Debug, Serialize)]
pub struct LiveSnapshot {
    /// Its id.
    pub id: u64,
    /// `connecting`, `connected`, …
    pub state: &'static str,
    /// Facts of the session, while there is one.
    pub info: Option<Info>,
    /// Milliseconds of life.
    pub age_ms: u64,
    /// Milliseconds since the last activity.
    pub idle_ms: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls and attempts that failed.
    pub errors: u64,
    /// Times that it was opened again.
    pub reconnects: u32,
    /// Milliseconds of the last round trip, if there was one.
    pub round_trip_ms: Option<f64>,
    /// The last error.
    pub last_error: Option<String>,
    /// The last changes of state, oldest first.
    pub steps: Vec<Step>,
}

/// Steps kept.
const STEPS: usize = 16;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Live {
    /// Begins a life: its supervisor opens the first session at once, and ends when the life does or
    /// when nobody holds it any more.
    pub(super) fn begin(name: Arc<str>, target: Arc<Target>, policy: Policy) -> Arc<Self> {
        let (wish, wishes) = watch::channel(Wish::GoOn);
        let live = Arc::new(Live {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            events: Bus::default(),
            target,
            policy,
            state: StateCell::new(State::Disconnected),
            session: ArcSwapOption::empty(),
            wish,
            changed: watch::channel(State::Disconnected).0,
            reconnects: AtomicU32::new(0),
            errors: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            round_trip_nanos: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            started: Instant::now(),
            last_activity_ms: AtomicU64::new(0),
            steps: Mutex::default(),
            cause: Mutex::default(),
        });
        tokio::spawn(supervisor::run(Arc::downgrade(&live), wishes));
        live
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Waits until it is connected, at most for `limit`. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], or the cause of its end.
    pub async fn wait_ready(&self, limit: Duration) -> Result<Arc<Session>> {
        let mut changes = self.changed.subscribe();
        let settled = changes.wait_for(|state| *state == State::Connected || state.is_final());
        if timeout(limit, settled).await.is_err() {
            let text = format!("{} is {} after {limit:?}", self.name, self.state());
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        self.session.load_full().ok_or_else(|| self.end_cause())
    }

    /// Waits for its end. Cancel safe.
    pub async fn wait_closed(&self) {
        // The sender is in here: it cannot be gone.
        let _ = self.changed.subscribe().wait_for(|state| state.is_final()).await;
    }

    /// Runs an operation on its session, waiting for one if it is just being opened again.
    ///
    /// # Errors
    /// What the operation says; [`ErrorKind::TimedOut`] after the policy's call timeout.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let limit = self.policy.call_timeout;
        let session = self.wait_ready(limit).await?;
        let generation = self.generation();
        let called = timeout(limit, session.call(operation, params)).await;
        let late = || Error::new(ErrorKind::TimedOut, format!("{operation} took over {limit:?}"));
        let result = called.unwrap_or_else(|_| Err(late()));
        self.record_activity();
        if let Err(error) = &result {
            self.report(generation, error);
        }
        result
    }

    /// Which session is open now; given back with [`Live::report`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Tells that something done with a session failed; if the error says that the session is gone,
    /// it is opened again by the policy.
    pub fn report(&self, generation: u64, error: &Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.set_cause(error.clone());
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
        self.last_activity_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Ends it politely and waits for the end.
    pub async fn close(&self, code: u64, reason: &str) {
        self.ask(Wish::Close { code, reason: reason.to_owned() });
        self.wait_closed().await;
    }

    /// Lets what runs finish, at most for `limit`, and ends it.
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

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since the last activity.
    pub fn idle(&self) -> Duration {
        let last = self.last_activity_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.age_ms().saturating_sub(last))
    }

    pub(super) fn set_cause(&self, error: Error) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn end_cause(&self) -> Error {
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cause.unwrap_or_else(|| Error::new(ErrorKind::Closed, "the connection was closed"))
    }

    /// Takes a legal step and tells of it; an illegal one is a bug and changes nothing.
    pub(super) fn step(&self, to: State, because: &str, event: EventKind) {
        if let Err(illegal) = self.state.step(to) {
            tracing::error!(connection = &*self.name, %illegal, "state");
            return;
        }
        {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            let because = because.to_owned();
            steps.push_back(Step { at_ms: self.age_ms(), to: to.as_str(), because });
            if steps.len() > STEPS {
                steps.pop_front();
            }
        }
        tracing::info!(connection = &*self.name, id = self.id, state = %to, because, "connection");
        self.events.emit(event);
        self.changed.send_replace(to);
    }

    /// As others read it; its last steps say which timer, rule or call decided.
    pub fn snapshot(&self) -> LiveSnapshot {
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let nanos = self.round_trip_nanos.load(Ordering::Relaxed);
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        LiveSnapshot {
            id: self.id,
            state: self.state().as_str(),
            info: self.session.load().as_ref().map(|session| session.info()),
            age_ms: self.age_ms(),
            idle_ms: u64::try_from(self.idle().as_millis()).unwrap_or(u64::MAX),
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            reconnects: self.reconnects.load(Ordering::Relaxed),
            round_trip_ms: (nanos > 0).then(|| Duration::from_nanos(nanos).as_secs_f64() * 1e3),
            last_error: cause.as_ref().map(ToString::to_string),
            steps: steps.iter().cloned().collect(),
        }
    }
}
