//! The task behind a [`Live`]: opens, watches, opens again, closes. It holds its connection only
//! weakly while it waits, so that a connection without a holder ends by itself.

use super::command::ConnectionCommand;
use super::info::millis;
use super::live::Live;
use super::record::Decider;
use super::state::State;
use super::target::Target;
use super::watch::{WatchEnd, watch_session};
use crate::addr::Addr;
use crate::events::{Cause, EventKind};
use crate::work::{self, OpeningStep};
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Result, Retry, Session};
use jackfield_timers::{sleep, timeout};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Runs a life to its end. A panic, in a program's own target or hook, ends that life and nothing
/// else, and is told as its cause.
pub(super) async fn run(weak: Weak<Live>, commands: watch::Receiver<ConnectionCommand>) {
    let id = weak.upgrade().map_or(0, |live| live.id);
    let living = std::pin::pin!(live(Weak::clone(&weak), commands));
    let ran = AssertUnwindSafe(work::under(id, living)).catch_unwind().await;
    let left = weak.upgrade().filter(|live| ran.is_err() && !live.state().is_final());
    if let Some(live) = left {
        let error = Error::new(ErrorKind::Panicked, "its target or its hook panicked");
        live.note_error(&error);
        live.end(State::Error, Decider::Target, Cause::from(&error));
    }
}

async fn live(weak: Weak<Live>, mut commands: watch::Receiver<ConnectionCommand>) {
    let begun = weak.upgrade().map(|live| {
        live.step(State::Connecting, Decider::Call, "connect", EventKind::Connecting);
        opening(&live)
    });
    let Some((target, limit)) = begun else { return };
    let opened = tokio::select! {
        opened = target.open(limit) => opened,
        command = told_to_end(&mut commands) => {
            if let Some(live) = weak.upgrade() {
                live.end(State::Closed, Decider::Call, Cause::of(command.reason()));
            }
            return;
        }
    };
    let opened = {
        let Some(live) = weak.upgrade() else { return };
        opened.map(|session| connected(&live, Arc::new(session), "opened"))
    };
    let mut session = match opened {
        Ok(session) => session,
        Err(error) => match opened_late(&weak, &mut commands, &error).await {
            Some(session) => session,
            None => return,
        },
    };
    loop {
        match watch_session(&weak, session, &mut commands).await {
            WatchEnd::Ended => return,
            WatchEnd::Lost(by, cause) => match opened_again(&weak, &mut commands, by, &cause).await
            {
                Some(opened) => session = opened,
                None => return,
            },
        }
    }
}

/// The first session, when the first attempt at it has failed: tried again if the policy says so, and
/// if it may go otherwise. `None` when the life has ended.
async fn opened_late(
    weak: &Weak<Live>,
    commands: &mut watch::Receiver<ConnectionCommand>,
    error: &Error,
) -> Option<Arc<Session>> {
    let cause = Cause::from(error);
    {
        let live = weak.upgrade()?;
        live.note_error(error);
        if !live.spec.policy.reconnect.initial || error.retry() == Retry::Never {
            live.end(State::Error, Decider::Target, cause);
            return None;
        }
    }
    again(weak, commands, Decider::Target, &cause, false).await
}

/// A session in the place of one that was lost; `None` when the life has ended.
async fn opened_again(
    weak: &Weak<Live>,
    commands: &mut watch::Receiver<ConnectionCommand>,
    by: Decider,
    cause: &Cause,
) -> Option<Arc<Session>> {
    {
        let live = weak.upgrade()?;
        live.session.store(None);
        live.tell(EventKind::Lost { cause: cause.clone() });
    }
    again(weak, commands, by, cause, true).await
}

fn opening(live: &Live) -> (Arc<Target>, Duration) {
    live.note_opening(OpeningStep::Connecting);
    (Arc::clone(&live.spec.target), live.spec.policy.connect_limit())
}

fn connected(live: &Live, session: Arc<Session>, because: &str) -> Arc<Session> {
    live.generation.fetch_add(1, Ordering::Relaxed);
    live.session.store(Some(Arc::clone(&session)));
    live.healthy.store(true, Ordering::Relaxed);
    live.record_activity();
    let info = session.info();
    let peer = info.peer.clone().map(Addr::from);
    if info.encrypted && !live.is_accepted() {
        live.tell(EventKind::Secured { identity: info.identity.clone() });
    }
    live.record().info = Some(info);
    live.step(State::Connected, Decider::Target, because, EventKind::Connected { peer });
    session
}

/// Completes when the life is to end in whatever way; a sender that is gone means that no handle holds
/// the connection any more.
async fn told_to_end(commands: &mut watch::Receiver<ConnectionCommand>) -> ConnectionCommand {
    match commands.wait_for(ConnectionCommand::ends).await {
        Ok(command) => command.clone(),
        Err(_) => ConnectionCommand::Abort("all its handles were dropped".to_owned()),
    }
}

/// Opens by the policy, and restores a session that was lost (`had`); `None` when the life has ended.
async fn again(
    weak: &Weak<Live>,
    commands: &mut watch::Receiver<ConnectionCommand>,
    by: Decider,
    cause: &Cause,
    had: bool,
) -> Option<Arc<Session>> {
    let lost = Instant::now();
    for attempt in 1.. {
        let live = weak.upgrade()?;
        let delay = live.spec.policy.reconnect.delay(attempt, lost.elapsed(), fastrand::f64());
        let Some(delay) = delay else {
            give_up(&live, by, cause, attempt - 1);
            return None;
        };
        announce(&live, by, cause, attempt, delay);
        let ((target, limit), spec) = (opening(&live), Arc::clone(&live.spec));
        drop(live);
        let opening = async {
            sleep(delay).await;
            let session = Arc::new(target.open(limit).await?);
            if had {
                let late =
                    || Error::new(ErrorKind::TimedOut, "restoring the session took too long");
                let restored = timeout(limit, spec.restore.run(&session)).await;
                restored.unwrap_or_else(|_| Err(late()))?;
            }
            Ok::<_, Error>(session)
        };
        let opened: Result<Arc<Session>> = tokio::select! {
            opened = opening => opened,
            command = told_to_end(commands) => {
                weak.upgrade()?.end(State::Closed, Decider::Call, Cause::of(command.reason()));
                return None;
            }
        };
        drop(spec);
        let live = weak.upgrade()?;
        match opened {
            Ok(session) if had => {
                live.reconnects.fetch_add(1, Ordering::Relaxed);
                return Some(connected(&live, session, "opened again"));
            }
            Ok(session) => return Some(connected(&live, session, "opened")),
            Err(error) => live.note_error(&error),
        }
    }
    None
}

fn give_up(live: &Live, by: Decider, cause: &Cause, attempts: u32) {
    if attempts == 0 {
        live.end(State::Error, by, cause.clone());
    } else {
        let text = format!("{cause}; {attempts} attempts to open it again failed");
        live.end(State::Error, Decider::Reconnect, Cause { text, ..cause.clone() });
    }
}

fn announce(live: &Live, by: Decider, cause: &Cause, attempt: u32, delay: Duration) {
    let event = EventKind::Reconnecting { attempt, delay_ms: millis(delay) };
    if live.state() == State::Reconnecting {
        live.tell(event);
    } else {
        live.step(State::Reconnecting, by, &cause.text, event);
    }
    live.record().timer("reconnect", Some(Instant::now() + delay));
}

/// How long, at most, an accepted session takes to send what is left once the program is done with it.
const FINISH: Duration = Duration::from_secs(10);

/// How long code of the program goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Until it is done, also after the end of its connection, which it sees.
    UntilDone,
    /// At most as long as its connection, of which it holds a part.
    WithLife,
}

/// Watches over an accepted session while `work`, code of the program, has it. When `work` is done, what it has
/// posted is still sent. A panic of it ends the session and nothing else.
pub(crate) async fn attend(
    live: &Arc<Live>,
    session: Arc<Session>,
    work: impl Future<Output = ()>,
    lasting: Lasting,
) {
    let mut commands = live.command.subscribe();
    // What was commanded before is to be seen.
    commands.mark_changed();
    live.tell_handler();
    let weak = Arc::downgrade(live);
    let session = connected(live, session, "accepted");
    let watching = async {
        if let WatchEnd::Lost(by, cause) = watch_session(&weak, session, &mut commands).await {
            let as_it_should = cause.kind.is_none() || cause.is(ErrorKind::Closed);
            let state = if as_it_should { State::Closed } else { State::Error };
            live.end(state, by, cause);
        }
    };
    let working = async {
        if AssertUnwindSafe(work).catch_unwind().await.is_ok() {
            live.drain(FINISH).await;
        } else {
            live.note_error(&Error::new(ErrorKind::Panicked, "the listener's handler panicked"));
            live.abort("its handler panicked");
        }
    };
    let mut watching = std::pin::pin!(watching);
    let mut working = std::pin::pin!(working);
    tokio::select! {
        () = &mut watching => if lasting == Lasting::UntilDone {
            working.await;
        },
        () = &mut working => watching.await,
    }
}
