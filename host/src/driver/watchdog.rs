//! [`Watchdog`]: a thread that sees calls into plugins that do not come back, keeps the runtime going
//! meanwhile, and tells of them.
//!
//! A worker of the runtime that is woken by the reactor runs what became ready itself; while that blocks,
//! nobody waits for the reactor until another worker is woken (tokio-rs/tokio#4730). So this thread wakes
//! one as soon as a call into a plugin, or a worker as such, was at the same spot at two looks in a row.
//! Asleep but for one look each 20 ms, it costs 0.05 % of a core.

use super::culprit::{Culprit, told};
use super::health::Health;
use jackfield_plugin_api::watch::{self, Mark, Owner};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Whose calls it tells of.
pub(super) type Watched = Vec<(Owner, Arc<Health>)>;

/// Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Watchdog {
    watched: Arc<Mutex<Watched>>,
    _end: Sender<()>,
}

impl Watchdog {
    /// Watches calls into `watched`, and keeps the current runtime going. `None` without a runtime, or
    /// where the system gives no thread.
    pub(super) fn start(watched: Watched) -> Option<Arc<Self>> {
        let runtime = Handle::try_current().ok()?;
        let (end, ended) = channel();
        let watched = Arc::new(Mutex::new(watched));
        let mut rounds = Rounds::new(runtime, Arc::clone(&watched));
        let run = move || rounds.run(&ended);
        match std::thread::Builder::new().name("jackfield-watchdog".to_owned()).spawn(run) {
            Ok(_) => Some(Arc::new(Watchdog { watched, _end: end })),
            Err(error) => {
                tracing::warn!(%error, "no thread for a watchdog: code that blocks is not seen");
                None
            }
        }
    }

    /// Watches one more.
    pub(super) fn add(&self, owner: Owner, health: &Arc<Health>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push((owner, Arc::clone(health)));
    }
}

/// The calls into plugins that run at this moment, by names: what holds up an end.
pub fn still_running() -> Vec<String> {
    watch::running().iter().map(|mark| Culprit::of(mark).to_string()).collect()
}

/// A call that was there at a look.
struct Call {
    mark: Mark,
    since: Instant,
    /// The file it is a call of, if that is watched.
    health: Option<Arc<Health>>,
    is_warned: bool,
    is_refused: bool,
}

struct Rounds {
    runtime: Handle,
    watched: Arc<Mutex<Watched>>,
    calls: HashMap<(usize, u64), Call>,
    /// Files with new sessions held back or refused.
    held: Vec<Arc<Health>>,
    /// How often each worker has gone to sleep and woken: odd while it sleeps.
    workers: Vec<u64>,
}

impl Rounds {
    fn new(runtime: Handle, watched: Arc<Mutex<Watched>>) -> Self {
        let (calls, held, workers) = (HashMap::new(), Vec::new(), Vec::new());
        Rounds { runtime, watched, calls, held, workers }
    }

    fn run(&mut self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            self.look(watch::running(), Instant::now());
        }
        self.held.iter().for_each(|health| health.release());
    }

    fn look(&mut self, running: Vec<Mark>, now: Instant) {
        let stood = self.a_worker_stood();
        let mut before = std::mem::take(&mut self.calls);
        let mut is_stuck = stood;
        for mark in running {
            let key = (mark.thread, mark.call);
            let call = match before.remove(&key) {
                Some(call) => {
                    is_stuck = true;
                    // Within one call of the host's another plugin may run now.
                    let health =
                        if call.mark.owner == mark.owner { call.health } else { self.health(mark) };
                    Call { mark, health, ..call }
                }
                None => Call {
                    health: self.health(mark),
                    mark,
                    since: now,
                    is_warned: false,
                    is_refused: false,
                },
            };
            self.calls.insert(key, call);
        }
        if is_stuck {
            // Whichever worker takes it waits for the reactor afterwards.
            drop(self.runtime.spawn(async {}));
        }
        before.into_values().filter(|call| call.is_warned).for_each(|call| came_back(&call, now));
        self.judge(now);
    }

    fn health(&self, mark: Mark) -> Option<Arc<Health>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let found = watched.iter().find(|(owner, _)| *owner == mark.owner);
        found.map(|(_, health)| Arc::clone(health))
    }

    /// Whether a worker is awake and has not slept since the last look.
    fn a_worker_stood(&mut self) -> bool {
        let metrics = self.runtime.metrics();
        let now: Vec<u64> =
            (0..metrics.num_workers()).map(|at| metrics.worker_park_unpark_count(at)).collect();
        let stood =
            now.iter().zip(&self.workers).any(|(now, before)| now == before && now % 2 == 0);
        self.workers = now;
        stood
    }

    /// Tells of calls that take long, and holds back or refuses new sessions of their files.
    fn judge(&mut self, now: Instant) {
        let mut held: Vec<Arc<Health>> = Vec::new();
        for call in self.calls.values_mut() {
            let Some(health) = &call.health else { continue };
            let (lasts, options) = (now.duration_since(call.since), health.options());
            let reached = |limit: Duration| !limit.is_zero() && lasts >= limit;
            if reached(options.stuck_warn) && !call.is_warned {
                call.is_warned = true;
                told!(WARN, Culprit::of(&call.mark), lasts = tracing::field::debug(lasts);
                    "a call into a plugin does not come back: it blocks a thread");
            }
            if reached(options.stuck_limit) {
                let culprit = Culprit::of(&call.mark);
                health.refuse(&culprit, options.stuck_limit);
                if !call.is_refused {
                    call.is_refused = true;
                    call.is_warned = true;
                    told!(ERROR, culprit, lasts = tracing::field::debug(lasts);
                        "the plugin gets no new sessions until this call comes back");
                }
            } else if !lasts.is_zero() && !options.stuck_limit.is_zero() {
                // It was there at the last look: each new session could keep one more worker.
                health.hold();
            } else {
                continue;
            }
            if !held.iter().any(|other| Arc::ptr_eq(other, health)) {
                held.push(Arc::clone(health));
            }
        }
        for health in &self.held {
            if !held.iter().any(|other| Arc::ptr_eq(other, health)) {
                health.release();
            }
        }
        self.held = held;
    }
}

fn came_back(call: &Call, now: Instant) {
    let took = now.duration_since(call.since);
    let (culprit, took) = (Culprit::of(&call.mark), tracing::field::debug(took));
    if call.is_refused {
        told!(INFO, culprit, took = took; "the call has come back: the plugin is used again");
    } else {
        told!(INFO, culprit, took = took; "the call has come back");
    }
}

#[cfg(test)]
mod tests {
    use super::super::circuit::QuarantineOptions;
    use super::*;
    use jackfield_plugin_api::watch::{Operation, OwnerName};

    fn mark(owner: Owner, call: u64) -> Mark {
        Mark { thread: 0, call, owner, operation: Operation::Read, label: 0 }
    }

    fn owner(name: &str) -> Owner {
        Owner::new(OwnerName { plugin: "p".into(), kind: "driver", name: name.into() })
    }

    #[tokio::test]
    async fn one_call_that_stays_refuses_new_sessions_at_its_limit_and_many_calls_do_not() {
        let options = QuarantineOptions::default();
        let health = Arc::new(Health::new("p", options.clone(), TICK));
        let here = owner("stays");
        let watched = Arc::new(Mutex::new(vec![(here, Arc::clone(&health))]));
        let mut rounds = Rounds::new(Handle::current(), watched);
        let start = Instant::now();
        for call in 0..1000 {
            rounds.look(vec![mark(here, call)], start + call as u32 * TICK);
        }
        assert_eq!(health.state(), "running");
        let start = start + 1000 * TICK;
        for tick in 0..=500 {
            assert_eq!(health.state(), "running", "after {tick} looks");
            rounds.look(vec![mark(here, 1000), mark(owner("another"), 5)], start + tick * TICK);
        }
        assert_eq!(health.state(), "stuck");
        rounds.look(vec![mark(here, 1001)], start + 501 * TICK);
        assert_eq!(health.state(), "running");
        assert!(health.admit().await.expect("it is back").is_none());
    }
}
