//! The task behind a [`Live`]: opens, watches, opens again, closes. It holds its connection only
//! weakly while it waits, so that a connection nobody holds ends by itself.

use super::live::{Live, Wish};
use super::state::State;
use crate::events::EventKind;
use jackfield_plugin_api::{Error, ErrorKind, Event, Facets, Result, Session};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How a session's watch ended.
enum Watched {
    Lost(String),
    Ended,
}

pub(super) async fn run(weak: Weak<Live>, mut wishes: watch::Receiver<Wish>) {
    let Some(live) = weak.upgrade() else { return };
    live.step(State::Connecting, "connect", EventKind::Connecting);
    let opened = tokio::select! {
        opened = live.target.open(live.policy.connect_timeout) => opened,
        () = told_to_end(&mut wishes) => return end(&live, State::Closed, "told to end"),
    };
    let mut session = match opened {
        Ok(session) => connected(&live, session, "opened"),
        Err(error) => {
            live.errors.fetch_add(1, Ordering::Relaxed);
            live.set_cause(error.clone());
            return end(&live, State::Error, &error.to_string());
        }
    };
    drop(live);
    loop {
        match watch_session(&weak, &session, &mut wishes).await {
            Watched::Ended => return,
            Watched::Lost(cause) => {
                drop(session);
                match again(&weak, &mut wishes, &cause).await {
                    Some(opened) => session = opened,
                    None => return,
                }
            }
        }
    }
}

fn connected(live: &Live, session: Session, because: &str) -> Arc<Session> {
    let session = Arc::new(session);
    live.generation.fetch_add(1, Ordering::Relaxed);
    live.session.store(Some(Arc::clone(&session)));
    live.record_activity();
    let peer = session.info().peer;
    live.step(State::Connected, because, EventKind::Connected { peer });
    session
}

fn end(live: &Live, state: State, cause: &str) {
    live.session.store(None);
    live.step(state, cause, EventKind::Closed { cause: cause.to_owned() });
}

/// Completes when the life is to end in whatever way; a sender that is gone means that nobody holds
/// the connection any more.
async fn told_to_end(wishes: &mut watch::Receiver<Wish>) {
    let ending = |wish: &Wish| !matches!(wish, Wish::GoOn | Wish::Lost(..));
    let _ = wishes.wait_for(ending).await;
}

/// Watches an open session until it is lost or the life has ended.
async fn watch_session(
    weak: &Weak<Live>,
    session: &Arc<Session>,
    wishes: &mut watch::Receiver<Wish>,
) -> Watched {
    let Some(policy) = weak.upgrade().map(|live| live.policy.clone()) else {
        return Watched::Ended;
    };
    let facets = session.facets();
    let mut ask = (!policy.keepalive.is_zero() && facets.has(Facets::PING))
        .then(|| Instant::now() + policy.keepalive);
    let mut events = facets.has(Facets::EVENTS);
    let mut missed = 0;
    let mut warned = None;
    loop {
        let idle = weak.upgrade().and_then(|live| idle_moment(&live, policy.idle_timeout));
        tokio::select! {
            changed = wishes.changed() => {
                let wish = if changed.is_err() { Wish::Abort("nobody holds it".to_owned()) }
                    else { wishes.borrow_and_update().clone() };
                let Some(live) = weak.upgrade() else { return Watched::Ended };
                match wish {
                    Wish::GoOn => {}
                    Wish::Lost(generation, cause) if generation == live.generation() => {
                        return Watched::Lost(cause);
                    }
                    Wish::Lost(..) => {}
                    wish => {
                        finish(&live, session, wish).await;
                        return Watched::Ended;
                    }
                }
            }
            event = session.next_event(), if events => {
                let Some(live) = weak.upgrade() else { return Watched::Ended };
                events = tell(&live, event);
            }
            () = moment(ask), if ask.is_some() => {
                let answer = ask_peer(session, policy.keepalive_timeout).await;
                let Some(live) = weak.upgrade() else { return Watched::Ended };
                missed = note_answer(&live, &answer, missed);
                if missed >= policy.keepalive_count.max(1) {
                    return Watched::Lost(format!("{missed} keepalives without an answer"));
                }
                ask = Some(Instant::now() + policy.keepalive);
            }
            () = moment(idle), if idle.is_some() => {
                let Some(live) = weak.upgrade() else { return Watched::Ended };
                if let Some(reason) = note_idle(&live, &mut warned) {
                    finish(&live, session, Wish::Close { code: 0, reason }).await;
                    return Watched::Ended;
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

fn idle_moment(live: &Live, limit: Duration) -> Option<Instant> {
    (!limit.is_zero()).then(|| Instant::now() + limit.saturating_sub(live.idle()))
}

/// First the event, then, if nobody objected for as long again, the reason to close.
fn note_idle(live: &Live, warned: &mut Option<Duration>) -> Option<String> {
    let (limit, idle) = (live.policy.idle_timeout, live.idle());
    if idle < limit {
        *warned = None;
        return None;
    }
    if warned.is_some() {
        return Some(format!("idle for {:?}", limit * 2));
    }
    *warned = Some(idle);
    // The next look comes after as long again.
    let for_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    live.record_activity();
    live.events.emit(EventKind::Idle { for_ms });
    None
}

/// Whether more may come.
fn tell(live: &Live, event: Result<Option<Event>>) -> bool {
    match event {
        Ok(Some(event)) => {
            live.record_activity();
            live.events.emit(EventKind::Driver { name: event.name, data: event.data });
            true
        }
        Ok(None) => false,
        Err(error) => {
            live.report(live.generation(), &error);
            false
        }
    }
}

async fn ask_peer(session: &Session, limit: Duration) -> Result<Duration> {
    let late = || Error::new(ErrorKind::TimedOut, format!("no answer to a ping in {limit:?}"));
    timeout(limit, session.ping()).await.unwrap_or_else(|_| Err(late()))
}

/// How many answers are missing in a row now.
fn note_answer(live: &Live, answer: &Result<Duration>, missed: u32) -> u32 {
    match answer {
        Ok(round_trip) => {
            let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
            live.round_trip_nanos.store(nanos.max(1), Ordering::Relaxed);
            if missed > 0 {
                let round_trip_ms = Some(round_trip.as_secs_f64() * 1e3);
                live.events.emit(EventKind::Health { healthy: true, round_trip_ms });
            }
            0
        }
        Err(error) => {
            live.errors.fetch_add(1, Ordering::Relaxed);
            live.set_cause(error.clone());
            if missed == 0 {
                live.events.emit(EventKind::Health { healthy: false, round_trip_ms: None });
            }
            // A session that says it is gone need not be asked again.
            if error.kind() == ErrorKind::Closed { u32::MAX } else { missed + 1 }
        }
    }
}

/// Ends an open session as wished, within the policy's call timeout.
async fn finish(live: &Live, session: &Arc<Session>, wish: Wish) {
    let (cause, polite) = match wish {
        Wish::Drain(limit) => {
            live.step(State::Draining, "drain", EventKind::Draining);
            // Running work that does not end in time is cut off.
            let _ = timeout(limit, session.drain()).await;
            ("drained".to_owned(), Some(0))
        }
        Wish::Close { code, reason } => (reason, Some(code)),
        Wish::Abort(reason) => (reason, None),
        Wish::GoOn | Wish::Lost(..) => return,
    };
    if let Some(code) = polite {
        let closing = timeout(live.policy.call_timeout, session.close(code, &cause)).await;
        if let Ok(Err(error)) = closing {
            tracing::debug!(connection = &*live.name, %error, "closing");
        }
    }
    end(live, State::Closed, &cause);
}

/// Opens a lost session again by the policy; `None` when the life has ended.
async fn again(
    weak: &Weak<Live>,
    wishes: &mut watch::Receiver<Wish>,
    cause: &str,
) -> Option<Arc<Session>> {
    let lost = Instant::now();
    {
        let live = weak.upgrade()?;
        live.session.store(None);
        live.events.emit(EventKind::Lost { cause: cause.to_owned() });
    }
    for attempt in 1.. {
        let live = weak.upgrade()?;
        let Some(delay) = live.policy.reconnect.delay(attempt, lost.elapsed(), chance()) else {
            end(&live, State::Error, cause);
            return None;
        };
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let event = EventKind::Reconnecting { attempt, delay_ms };
        if live.state() == State::Reconnecting {
            live.events.emit(event);
        } else {
            live.step(State::Reconnecting, cause, event);
        }
        let target = Arc::clone(&live.target);
        let limit = live.policy.connect_timeout;
        drop(live);
        let opening = async {
            sleep(delay).await;
            target.open(limit).await
        };
        let opened = tokio::select! {
            opened = opening => opened,
            () = told_to_end(wishes) => {
                end(&*weak.upgrade()?, State::Closed, "told to end");
                return None;
            }
        };
        let live = weak.upgrade()?;
        match opened {
            Ok(session) => {
                live.reconnects.fetch_add(1, Ordering::Relaxed);
                return Some(connected(&live, session, "opened again"));
            }
            Err(error) => {
                live.errors.fetch_add(1, Ordering::Relaxed);
                live.set_cause(error);
            }
        }
    }
    None
}

/// From 0 to 1, different enough for spreading attempts.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}
