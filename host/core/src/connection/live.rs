//! [`Live`]: one life of a connection, from its first step to its one `closed`: a session that a listener
//! has accepted, or what a named connection has opened.

use super::command::ConnectionCommand;
use super::data::Data;
use super::handler::SessionHandler;
use super::info::millis;
use super::lives::Lives;
use super::machinery::Machinery;
use super::outbox::{Payload, Receipt};
use super::record::Decider;
use super::spec::ConnectionSpec;
use super::state::{State, StateCell};
use super::steps::only_requests;
use super::supervisor;
use crate::addr::Addr;
use crate::events::{Cause, EventKind};
use crate::relay::{Totals, Traffic};
use crate::traces::{AttemptSpans, SpanContext, Traces};
use crate::work::OpeningStep;
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use jackfield_timers::timeout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// One life of a connection, accepted or dialled. What it needs beyond its place in the table is in
/// [`Machinery`], which is made when it is first used.
#[derive(Debug)]
pub struct Live {
    /// Never used again in this process.
    pub id: u64,
    /// The name of the connection; of an accepted one that of its listener.
    pub name: Arc<str>,
    pub(super) spec: Arc<ConnectionSpec>,
    pub(super) state: StateCell,
    pub(super) traffic: Arc<Totals>,
    /// Milliseconds since 1970.
    pub(super) created_at: u64,
    /// Of an accepted one: where its peer is, and who it has proven to be.
    pub(super) peer: Option<Box<Addr>>,
    pub(super) identity: OnceLock<Box<str>>,
    pub(super) encrypted: AtomicBool,
    /// An [`OpeningStep`], while it is opened.
    pub(super) opening: AtomicU8,
    /// Of an accepted one: the client, where the peer is a proxy that tells who that is.
    pub(super) client: OnceLock<Box<Addr>>,
    /// Of an accepted one: the target of an upstream that it was joined to.
    target: OnceLock<Box<str>>,
    /// Of an accepted one: its place in a trace, once that was needed.
    span: OnceLock<Box<SpanContext>>,
    /// The task that serves it, where that is not a supervisor.
    pub(super) server: AtomicWaker,
    pub(super) machinery: OnceLock<Box<Machinery>>,
}

impl Live {
    /// A life that has not begun.
    pub(super) fn new(spec: Arc<ConnectionSpec>, peer: Option<Addr>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Live {
            id: super::next_id(),
            name: Arc::clone(&spec.name),
            state: StateCell::new(State::Disconnected),
            traffic: Arc::default(),
            created_at: millis(now),
            peer: peer.map(Box::new),
            identity: OnceLock::new(),
            encrypted: AtomicBool::new(false),
            opening: AtomicU8::new(OpeningStep::default() as u8),
            client: OnceLock::new(),
            target: OnceLock::new(),
            span: OnceLock::new(),
            server: AtomicWaker::new(),
            machinery: OnceLock::new(),
            spec,
        }
    }

    /// Begins a life: its supervisor opens the first session at once, and ends when the life does or
    /// when its last handle is dropped.
    pub(super) fn begin(spec: Arc<ConnectionSpec>) -> Arc<Self> {
        let live = Arc::new(Live::new(spec, None));
        let commands = live.command.subscribe();
        live.take_default_handler();
        live.tell_handler();
        live.tell_created();
        let entered = live.spec.lives.as_ref().map_or(Ok(()), |lives| lives.enter(&live));
        match (entered, &live.spec.lives) {
            (Ok(()), _) => drop(tokio::spawn(supervisor::run(Arc::downgrade(&live), commands))),
            (Err(_), Some(lives)) if lives.waits() => {
                drop(tokio::spawn(begin_later(Arc::downgrade(&live), Arc::clone(lives), commands)));
            }
            (Err(error), _) => live.refuse(&error),
        }
        live
    }

    /// There is no room for it.
    fn refuse(&self, error: &Error) {
        self.step(State::Connecting, Decider::Call, "connect", EventKind::Connecting);
        self.note_error(error);
        self.end(State::Error, Decider::Limit, Cause::from(error));
    }

    /// Gives each event to the handler that is set at that moment.
    pub(super) fn tell_handler(self: &Arc<Self>) {
        if self.to_handler.get().is_some() {
            return;
        }
        let (weak, slot): (Weak<Live>, _) = (Arc::downgrade(self), self.handler.subscribe());
        let told = self.events.on_event(move |event| {
            let handler = slot.borrow().told().cloned();
            let (Some(handler), Some(live)) = (handler, weak.upgrade()) else { return };
            // A panic ends neither its subscription nor the connection.
            if catch_unwind(AssertUnwindSafe(|| handler.event(&live, event))).is_err() {
                // Not told to the handler, which would panic again.
                live.keep_error(&Error::new(ErrorKind::Panicked, "the session's handler panicked"));
            }
        });
        // Set once: the life has just begun, and nobody else does so.
        let _ = self.to_handler.set(told);
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Whether it is being closed or drained, or has ended.
    pub fn is_closing(&self) -> bool {
        let told = self.machinery.get().is_some_and(|machinery| machinery.command.borrow().ends());
        told || self.state() == State::Draining || self.state().is_final()
    }

    /// The listener that has accepted it; `None` for one that was dialled.
    pub fn listener(&self) -> Option<&Arc<str>> {
        self.spec.inbound.as_ref().map(|inbound| &inbound.listener)
    }

    /// The peer's address of an accepted one, where its transport has addresses; the client's, where the peer is
    /// a proxy that tells who that is.
    pub fn peer(&self) -> Option<&Addr> {
        self.client.get().or(self.peer.as_ref()).map(|addr| &**addr)
    }

    /// The target of an upstream that an accepted one was joined to.
    pub fn target(&self) -> Option<&str> {
        self.target.get().map(|target| &**target)
    }

    pub(crate) fn note_target(&self, target: &str) {
        // The first one: there is only one.
        let _ = self.target.set(target.into());
    }

    /// Where spans of it go.
    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.spec.lives.as_ref().map(|lives| lives.traces())
    }

    /// Its place in a trace from now on, where there are traces.
    pub(crate) fn span(&self) -> Option<SpanContext> {
        let begun = self.traces()?.begin(None)?;
        Some(**self.span.get_or_init(|| Box::new(begun)))
    }

    /// What makes spans of attempts at what it is joined to, where there are traces.
    pub(crate) fn attempt_spans(&self) -> Option<Box<AttemptSpans<'_>>> {
        AttemptSpans::of(self.traces(), self.span())
    }

    /// What has passed so far.
    pub fn totals(&self) -> &Arc<Totals> {
        &self.traffic
    }

    /// Calls `hook` with the bytes and messages that pass from now on, in the place of the hook that was set: what is
    /// read from the peer and written to it by whoever has the session, requests and their answers, and streams that
    /// are opened over it. It is called where they pass and must not block; one that panics is removed. Where the
    /// kernel moves the bytes of a route, it is told in sums.
    pub fn on_traffic(&self, hook: impl Fn(Traffic) + Send + Sync + 'static) {
        self.traffic.set_hook(hook);
    }

    /// A program's own data, as long as this life.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Waits until it is connected, at most for `limit`. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Closed`] while it is draining; [`ErrorKind::Unsupported`] if the
    /// route of a listener has its session; or the cause of its end.
    pub async fn wait_ready(&self, limit: Duration) -> Result<Arc<Session>> {
        self.is_ours("using its session")?;
        let mut changes = self.changed.subscribe();
        let settled =
            |state: &State| matches!(state, State::Connected | State::Draining) || state.is_final();
        let settled = timeout(limit, changes.wait_for(settled)).await.map(|_| ());
        if settled.is_err() {
            let text = format!("{} is {} after {limit:?}", self.name, self.state());
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        if self.state() == State::Draining {
            let text = format!("{} is draining and accepts no new work", self.name);
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
            self.ask(ConnectionCommand::Lost(generation, Cause::from(error)));
        }
    }

    /// Waits until the session numbered `generation` is no longer the one that is open. Cancel safe.
    pub async fn left(&self, generation: u64) {
        let gone = |state: &State| *state != State::Connected || self.generation() != generation;
        // The sender is in here: it cannot be gone.
        let _ = self.changed.subscribe().wait_for(gone).await;
    }

    /// Starts the idle time over: also how a subscriber keeps an idle connection from being closed.
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
    /// drains or has ended. [`ErrorKind::Unsupported`] when its sessions take no payload, or the route of a
    /// listener has it.
    pub fn post(&self, payload: impl Into<Payload>) -> Result<Receipt> {
        self.is_ours("posting")?;
        self.outbox.post(payload.into())
    }

    /// The posts that wait to be sent, the next one first. Their bytes are shared, not copied; the one that is
    /// being sent is not among them.
    pub fn waiting_posts(&self) -> Vec<Payload> {
        self.machinery.get().map(|machinery| machinery.outbox.waiting()).unwrap_or_default()
    }

    /// Tells its handler and its other subscribers something, from anywhere: an event `program`, in order with
    /// the others. Nothing is sent to the peer. After its end it does nothing.
    pub fn notify(&self, name: impl Into<String>, data: impl Into<serde_json::Value>) {
        if !self.state().is_final() {
            self.tell(EventKind::Program { name: name.into(), data: data.into() });
        }
    }

    /// Completes with its end, or when all its handles were dropped; holds nothing of it.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut changed = self.changed.subscribe();
        async move {
            // A sender that is gone says the same.
            let _ = changed.wait_for(|state| state.is_final()).await;
        }
    }

    /// Puts `handler` in the place of the one that was set, for this life and, of a named connection, later
    /// ones. What is being delivered at this moment stays with the old one; all that follows goes to the new
    /// one, each thing exactly once. Until a handler is set, nothing is read.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if its session has requests, which a handler is not given, or is served by
    /// the route of its listener; the handler that was set stays.
    pub fn set_handler(
        &self,
        handler: Arc<dyn SessionHandler>,
    ) -> Result<Option<Arc<dyn SessionHandler>>> {
        self.takes_handler()?;
        Ok(super::handler::set(&self.handler, handler))
    }

    /// Whether its session is free for the program: not joined to the destination of a route.
    pub(super) fn is_ours(&self, doing: &str) -> Result<()> {
        match self.spec.inbound.as_ref().filter(|inbound| inbound.is_routed) {
            Some(inbound) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{doing} is not possible while its session is joined to {}", inbound.to),
            )),
            None => Ok(()),
        }
    }

    /// Whether what it receives can be given to a handler.
    pub(super) fn takes_handler(&self) -> Result<()> {
        self.is_ours("handling what is received")?;
        let session = self.machinery.get().and_then(|machinery| machinery.session.load_full());
        if session.is_some_and(|session| only_requests(&session)) {
            return Err(Error::unsupported("handling what is received: its session has requests"));
        }
        Ok(())
    }

    /// Reads nothing more from now on, so that its peer is slowed down, until [`Live::resume`]. What is being
    /// delivered at this moment still is.
    pub fn pause(&self) {
        self.handler.send_modify(|slot| slot.paused = true);
    }

    /// Reads again after [`Live::pause`].
    pub fn resume(&self) {
        self.handler.send_modify(|slot| slot.paused = false);
    }

    /// Ends it politely and waits for the end. Safe to repeat.
    pub async fn close(&self, code: u64, reason: &str) {
        self.ask(ConnectionCommand::Close { code, reason: reason.to_owned() });
        self.wait_closed().await;
    }

    /// Takes nothing new, lets what runs finish, at most for `limit`, and ends it: calls, posts, and
    /// what its driver has under way.
    pub async fn drain(&self, limit: Duration) {
        self.ask(ConnectionCommand::Drain(limit));
        self.wait_closed().await;
    }

    /// Ends it at once.
    pub fn abort(&self, reason: &str) {
        self.ask(ConnectionCommand::Abort(reason.to_owned()));
    }

    fn ask(&self, next: ConnectionCommand) {
        let asked = self.command.send_if_modified(|command| {
            let stronger = command.gives_way_to(&next);
            if stronger {
                *command = next;
            }
            stronger
        });
        if asked {
            self.server.wake();
        }
    }
}

/// Begins when there is room for one more.
async fn begin_later(
    live: Weak<Live>,
    lives: Arc<Lives>,
    commands: watch::Receiver<ConnectionCommand>,
) {
    // A command given meanwhile is for the supervisor to see.
    let entered = lives.enter_later(&live, &mut commands.clone()).await;
    drop(lives);
    match entered {
        Ok(()) => supervisor::run(live, commands).await,
        Err(error) => live.upgrade().iter().for_each(|live| live.refuse(&error)),
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.state().is_final() {
            self.end(State::Closed, Decider::Owner, Cause::of("all its handles were dropped"));
        }
    }
}
