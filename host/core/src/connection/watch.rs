//! Watching an open session: commands, events, keepalive, the idle time, and its dispatcher, all at once.

use super::command::ConnectionCommand;
use super::dispatcher::{Dispatcher, KeptAlive};
use super::info::millis;
use super::live::Live;
use super::record::Decider;
use super::state::State;
use crate::events::{Cause, EventKind};
use crate::session::SessionExt;
use jackfield_plugin_api::{Error, ErrorKind, Event, Facets, Result, Session};
use jackfield_timers::{sleep_until, timeout};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::error::Elapsed;

/// How long a session whose data has ended may take to tell what belongs to that, such as the exit status of
/// a program: it is told before the loss.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How a session's watch ended.
pub(super) enum WatchEnd {
    Lost(Decider, Cause),
    Ended,
}

type Carrying = Pin<Box<dyn Future<Output = (Cause, KeptAlive)> + Send>>;
type PingFuture = Pin<Box<dyn Future<Output = Result<Duration>> + Send>>;

/// Everything that runs beside an open session. Dropping it lets go of the session.
struct Watch {
    session: Arc<Session>,
    carrying: Carrying,
    asking: Option<PingFuture>,
    ask_at: Option<Instant>,
    missed: u32,
    idle: Option<Instant>,
    /// The activity that the idle event was about.
    warned: Option<u64>,
    events: bool,
}

/// Watches an open session until it is lost or the life has ended.
pub(super) async fn watch_session(
    weak: &Weak<Live>,
    session: Arc<Session>,
    commands: &mut watch::Receiver<ConnectionCommand>,
) -> WatchEnd {
    let Some(mut watch) = weak.upgrade().map(|live| Watch::new(&live, session)) else {
        return WatchEnd::Ended;
    };
    loop {
        tokio::select! {
            biased;
            changed = commands.changed() => {
                let command = if changed.is_err() { ConnectionCommand::Abort("all its handles were dropped".to_owned()) }
                    else { commands.borrow_and_update().clone() };
                let Some(live) = weak.upgrade() else { return WatchEnd::Ended };
                match command {
                    ConnectionCommand::Lost(generation, cause) if generation == live.generation() => {
                        return WatchEnd::Lost(Decider::Session, cause);
                    }
                    ConnectionCommand::Run | ConnectionCommand::Lost(..) => {}
                    command => {
                        watch.finish(&live, commands, command, Decider::Call).await;
                        return WatchEnd::Ended;
                    }
                }
            }
            (cause, _kept) = &mut watch.carrying => {
                // No more than that either way: it may have been told already, or never be.
                let _ = timeout(LAST_WORDS, watch.last_events(weak)).await;
                return WatchEnd::Lost(Decider::Session, cause);
            }
            event = watch.session.next_event(), if watch.events => {
                let Some(live) = weak.upgrade() else { return WatchEnd::Ended };
                watch.events = tell(&live, event);
                watch.ask_after_events(&live);
            }
            () = moment(watch.ask_at), if watch.asking.is_none() && watch.ask_at.is_some() => {
                let Some(live) = weak.upgrade() else { return WatchEnd::Ended };
                watch.asking = Some(ask(Arc::clone(&watch.session), live.spec.policy.keepalive_timeout));
            }
            answer = answer(&mut watch.asking), if watch.asking.is_some() => {
                let Some(live) = weak.upgrade() else { return WatchEnd::Ended };
                if let Some(lost) = watch.note_answer(&live, &answer) {
                    return lost;
                }
            }
            () = moment(watch.idle), if watch.idle.is_some() => {
                let Some(live) = weak.upgrade() else { return WatchEnd::Ended };
                if let Some(reason) = watch.note_idle(&live) {
                    let command = ConnectionCommand::Close { code: 0, reason };
                    watch.finish(&live, commands, command, Decider::IdleTimeout).await;
                    return WatchEnd::Ended;
                }
            }
        }
    }
}

async fn moment(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn ask(session: Arc<Session>, limit: Duration) -> PingFuture {
    Box::pin(async move {
        let unable = || Err(Error::unsupported("ping"));
        session.ping_within(limit).await.unwrap_or_else(unable)
    })
}

async fn answer(asking: &mut Option<PingFuture>) -> Result<Duration> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Whether more may come.
fn tell(live: &Live, event: Result<Option<Event>>) -> bool {
    match event {
        Ok(Some(event)) => {
            live.record_activity();
            live.tell(EventKind::Driver { name: event.name, data: event.data });
            true
        }
        Ok(None) => false,
        Err(error) => {
            live.report(live.generation(), &error);
            false
        }
    }
}

impl Watch {
    fn new(live: &Arc<Live>, session: Arc<Session>) -> Self {
        let policy = &live.spec.policy;
        let dispatcher = Dispatcher {
            live: Arc::downgrade(live),
            outbox: Arc::clone(&live.outbox),
            handler: live.handler.subscribe(),
            traffic: Arc::clone(&live.traffic),
        };
        let facets = session.facets();
        let asks = facets.contains(Facets::PING);
        let mut watch = Watch {
            carrying: Box::pin(dispatcher.run(Arc::clone(&session))),
            asking: None,
            ask_at: None,
            missed: 0,
            idle: None,
            warned: None,
            events: facets.contains(Facets::EVENTS),
            session,
        };
        if asks {
            watch.ask_again(live);
        }
        watch.idle_again(live, policy.idle_timeout.saturating_sub(live.idle()));
        watch
    }

    /// Asks a session once that has no more events: where nobody takes its messages, nothing else shows its end.
    fn ask_after_events(&mut self, live: &Live) {
        let asks = !self.events && self.asking.is_none();
        if asks && self.session.facets().contains(Facets::PING) {
            self.asking = Some(ask(Arc::clone(&self.session), live.spec.policy.keepalive_timeout));
        }
    }

    /// Tells events up to the last one.
    async fn last_events(&mut self, weak: &Weak<Live>) {
        while self.events {
            let event = self.session.next_event().await;
            let Some(live) = weak.upgrade() else { return };
            self.events = tell(&live, event);
        }
    }

    fn ask_again(&mut self, live: &Live) {
        if live.spec.policy.keepalive.is_zero() {
            return;
        }
        self.ask_at = Some(Instant::now() + live.spec.policy.keepalive);
        live.record().timer("keepalive", self.ask_at);
    }

    fn idle_again(&mut self, live: &Live, after: Duration) {
        let limited = !live.spec.policy.idle_timeout.is_zero();
        self.idle = limited.then(|| Instant::now() + after);
        live.record().timer("idle_timeout", self.idle);
    }

    /// Counts probes in a row without an answer.
    fn note_answer(&mut self, live: &Live, answer: &Result<Duration>) -> Option<WatchEnd> {
        self.asking = None;
        live.note_round_trip(answer);
        match answer {
            Ok(_) => self.missed = 0,
            // A session that says it is gone need not be asked again.
            Err(error) if error.kind() == ErrorKind::Closed => {
                return Some(WatchEnd::Lost(Decider::Keepalive, Cause::from(error)));
            }
            Err(_) => self.missed += 1,
        }
        if self.missed >= live.spec.policy.keepalive_count.max(1) {
            let text = format!("{} keepalives without an answer", self.missed);
            let error = Error::new(ErrorKind::TimedOut, text);
            let cause = Cause { text: error.message().to_owned(), ..Cause::from(&error) };
            return Some(WatchEnd::Lost(Decider::Keepalive, cause));
        }
        self.ask_again(live);
        None
    }

    /// First the event; then, after as long again without activity, the reason to close.
    fn note_idle(&mut self, live: &Live) -> Option<String> {
        let (limit, idle) = (live.spec.policy.idle_timeout, live.idle());
        let beats = live.traffic.beats();
        if self.warned == Some(beats) {
            return Some(format!("idle for {idle:?}"));
        }
        if idle < limit {
            self.warned = None;
            self.idle_again(live, limit.saturating_sub(idle));
            return None;
        }
        self.warned = Some(beats);
        self.idle_again(live, limit);
        live.idle_notices.fetch_add(1, Ordering::Relaxed);
        live.tell(EventKind::Idle { for_ms: millis(idle) });
        None
    }

    /// Ends the session as commanded; a stronger command cuts it short.
    async fn finish(
        mut self,
        live: &Live,
        commands: &mut watch::Receiver<ConnectionCommand>,
        command: ConnectionCommand,
        by: Decider,
    ) {
        let (command, by) = match command {
            ConnectionCommand::Drain(limit) => self.drain(live, commands, limit).await,
            command => (command, by),
        };
        let Watch { session, carrying, .. } = self;
        // The streams go first, so that nothing is open when the life counts as ended.
        drop(carrying);
        let cause = match command {
            ConnectionCommand::Close { code, reason } => {
                live.closing(code, &reason);
                let closing = async {
                    if let Err(error) = live.spec.leave.run(&session).await {
                        tracing::warn!(connection = &*live.name, %error, "before closing");
                        live.note_error(&error);
                    }
                    session.close(code, &reason).await
                };
                let limit = live.spec.policy.call_timeout;
                tokio::select! {
                    closed = timeout(limit, closing) => note_close(live, limit, closed),
                    _ = stronger(commands) => {}
                }
                Cause::of(reason).with_code(code)
            }
            ConnectionCommand::Abort(reason) => Cause::of(reason),
            ConnectionCommand::Drain(_) | ConnectionCommand::Run | ConnectionCommand::Lost(..) => {
                Cause::of("drained")
            }
        };
        live.session.store(None);
        drop(session);
        live.end(State::Closed, by, cause);
    }

    /// Lets what runs finish; what has not in time is cut off.
    async fn drain(
        &mut self,
        live: &Live,
        commands: &mut watch::Receiver<ConnectionCommand>,
        limit: Duration,
    ) -> (ConnectionCommand, Decider) {
        let text = format!("{} is draining and accepts no new work", live.name);
        live.outbox.stop(Error::new(ErrorKind::Closed, text));
        live.step(State::Draining, Decider::Call, "drain", EventKind::Draining);
        let close = |reason: &str| ConnectionCommand::Close { code: 0, reason: reason.to_owned() };
        let session = Arc::clone(&self.session);
        let work = async {
            tokio::join!(live.outbox.flushed(), live.calls.idle());
            // What it says about its end is of no use any more.
            let _ = session.drain().await;
        };
        tokio::select! {
            done = timeout(limit, work) => match done {
                Ok(()) => (close("drained"), Decider::Call),
                Err(_) => (close("cut off at the drain's deadline"), Decider::DrainDeadline),
            },
            (cause, _) = &mut self.carrying => (close(&cause.text), Decider::Session),
            command = stronger(commands) => (command, Decider::Call),
        }
    }
}

/// Reports a polite close that has failed; the session is let go of all the same. One that the peer has closed in the
/// same moment is closed.
fn note_close(live: &Live, limit: Duration, closed: Result<Result<()>, Elapsed>) {
    let error = match closed {
        Ok(Ok(())) => return,
        Ok(Err(error)) if error.kind() == ErrorKind::Closed => {
            return tracing::debug!(connection = &*live.name, %error, "closing");
        }
        Ok(Err(error)) => error,
        Err(_) => {
            let text = format!("the close was not done within {limit:?}");
            Error::new(ErrorKind::TimedOut, text)
        }
    };
    tracing::warn!(connection = &*live.name, %error, "closing");
    live.note_error(&error);
}

/// The next command that is stronger than the one seen last.
async fn stronger(commands: &mut watch::Receiver<ConnectionCommand>) -> ConnectionCommand {
    match commands.changed().await {
        Ok(()) => commands.borrow_and_update().clone(),
        Err(_) => ConnectionCommand::Abort("all its handles were dropped".to_owned()),
    }
}

impl Live {
    /// Remembers a check's result; a change of mind is an event.
    pub(super) fn note_round_trip(&self, answer: &Result<Duration>) {
        let healthy = answer.is_ok();
        let mut round_trip_ms = None;
        match answer {
            Ok(round_trip) => {
                let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
                self.round_trip_nanos.store(nanos.max(1), Ordering::Relaxed);
                round_trip_ms = Some(round_trip.as_secs_f64() * 1e3);
            }
            Err(error) => self.note_error(error),
        }
        if self.healthy.swap(healthy, Ordering::Relaxed) != healthy {
            self.tell(EventKind::Health { healthy, round_trip_ms });
        }
    }
}
