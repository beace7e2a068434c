//! [`Watchdog`]: a thread that sees calls into plugins that do not come back, keeps the runtime going
//! meanwhile, and tells of them.
//!
//! A worker of the runtime that is woken by the reactor runs what became ready itself; while that blocks,
//! nobody waits for the reactor until another worker is woken (tokio-rs/tokio#4730). So this thread looks
//! every 20 ms, and every 50 ms while nothing happens at all, and wakes a worker if one is awake or a call
//! into a plugin runs. A call that is there at two looks in a row is one that does not come back.

use super::culprit::{Culprit, told};
use super::health::FileHealth;
use crate::lock::IgnorePoison;
use jackfield_plugin_api::watch::{self, Mark, Owner};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// Between two looks while nothing happens.
const IDLE_TICK: Duration = Duration::from_millis(50);

/// Whose calls it tells of.
pub(super) type WatchedPlugins = Vec<(Owner, Arc<FileHealth>)>;

/// Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Watchdog {
    watched: Arc<Mutex<WatchedPlugins>>,
    _end: Sender<()>,
}

impl Watchdog {
    /// Watches calls into `watched`, and keeps the current runtime going. `None` without a runtime, or
    /// where the system gives no thread.
    pub(super) fn start(watched: WatchedPlugins) -> Option<Arc<Self>> {
        let runtime = Handle::try_current().ok()?;
        let (end, ended) = channel();
        let watched = Arc::new(Mutex::new(watched));
        let mut rounds = Rounds::new(runtime, Arc::clone(&watched));
        let run = move || rounds.run(&ended);
        match std::thread::Builder::new().name("jackfield-watchdog".to_owned()).spawn(run) {
            Ok(_) => Some(Arc::new(Watchdog { watched, _end: end })),
            Err(error) => {
                tracing::warn!(%error, "could not start the watchdog: plugin code that blocks is not detected");
                None
            }
        }
    }

    /// Watches one more.
    pub(super) fn add(&self, owner: Owner, health: &Arc<FileHealth>) {
        let mut watched = self.watched.lock().ignore_poison();
        watched.push((owner, Arc::clone(health)));
    }
}

/// The calls into plugins that run at this moment, by names: what holds up an end.
pub fn still_running() -> Vec<String> {
    watch::running().iter().map(|mark| Culprit::of(mark).to_string()).collect()
}

/// A call that was there at a look.
struct CallSeen {
    mark: Mark,
    since: Instant,
    /// The file it is a call of, if that is watched.
    health: Option<Arc<FileHealth>>,
    is_warned: bool,
    is_refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Workers {
    /// One is, and may be blocked.
    Awake,
    /// All are, but worked since the last look.
    Asleep,
    /// All are, and did nothing.
    Idle,
}

struct Rounds {
    runtime: Handle,
    watched: Arc<Mutex<WatchedPlugins>>,
    calls: HashMap<(usize, u64), CallSeen>,
    /// Files with new sessions held back or refused.
    held: Vec<Arc<FileHealth>>,
    /// How often each worker has gone to sleep and woken: odd while it sleeps.
    workers: Vec<u64>,
}

impl Rounds {
    fn new(runtime: Handle, watched: Arc<Mutex<WatchedPlugins>>) -> Self {
        let (calls, held, workers) = (HashMap::new(), Vec::new(), Vec::new());
        Rounds { runtime, watched, calls, held, workers }
    }

    fn run(&mut self, ended: &Receiver<()>) {
        let mut tick = TICK;
        while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
            let is_idle = self.look(watch::running(), Instant::now());
            tick = if is_idle { IDLE_TICK } else { TICK };
        }
        self.held.iter().for_each(|health| health.release());
    }

    /// Answers whether nothing has happened since the last look.
    fn look(&mut self, running: Vec<Mark>, now: Instant) -> bool {
        let workers = self.workers();
        if workers == Workers::Idle && running.is_empty() && self.calls.is_empty() {
            return true;
        }
        if workers == Workers::Awake || !running.is_empty() {
            // Whichever worker takes it waits for the reactor afterwards.
            drop(self.runtime.spawn(async {}));
        }
        let mut before = std::mem::take(&mut self.calls);
        for mark in running {
            let key = (mark.thread, mark.call);
            let call = match before.remove(&key) {
                Some(call) => {
                    // Within one call of the host's another plugin may run now.
                    let health =
                        if call.mark.owner == mark.owner { call.health } else { self.health(mark) };
                    CallSeen { mark, health, ..call }
                }
                None => CallSeen {
                    health: self.health(mark),
                    mark,
                    since: now,
                    is_warned: false,
                    is_refused: false,
                },
            };
            self.calls.insert(key, call);
        }
        before.into_values().filter(|call| call.is_warned).for_each(|call| came_back(&call, now));
        self.judge(now);
        false
    }

    fn health(&self, mark: Mark) -> Option<Arc<FileHealth>> {
        let watched = self.watched.lock().ignore_poison();
        let found = watched.iter().find(|(owner, _)| *owner == mark.owner);
        found.map(|(_, health)| Arc::clone(health))
    }

    /// What the workers do, and did since the last look.
    fn workers(&mut self) -> Workers {
        let metrics = self.runtime.metrics();
        let (mut is_awake, mut has_changed) = (false, false);
        self.workers.resize(metrics.num_workers(), 0);
        for (at, before) in self.workers.iter_mut().enumerate() {
            let count = metrics.worker_park_unpark_count(at);
            is_awake |= count.is_multiple_of(2);
            has_changed |= count != *before;
            *before = count;
        }
        match (is_awake, has_changed) {
            (true, _) => Workers::Awake,
            (false, true) => Workers::Asleep,
            (false, false) => Workers::Idle,
        }
    }

    /// Tells of calls that take long, and holds back or refuses new sessions of their files.
    fn judge(&mut self, now: Instant) {
        let mut held: Vec<Arc<FileHealth>> = Vec::new();
        for call in self.calls.values_mut() {
            let Some(health) = &call.health else { continue };
            let (lasts, options) = (now.duration_since(call.since), health.options());
            let reached = |limit: Duration| !limit.is_zero() && lasts >= limit;
            if reached(options.stuck_warn) && !call.is_warned {
                call.is_warned = true;
                told!(WARN, Culprit::of(&call.mark), lasts = tracing::field::debug(lasts);
                    "a call into a plugin has not returned: it blocks a thread");
            }
            if reached(options.stuck_limit) {
                let culprit = Culprit::of(&call.mark);
                health.refuse(&culprit, options.stuck_limit);
                if !call.is_refused {
                    call.is_refused = true;
                    call.is_warned = true;
                    told!(ERROR, culprit, lasts = tracing::field::debug(lasts);
                        "the plugin gets no new sessions until this call returns");
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

fn came_back(call: &CallSeen, now: Instant) {
    let took = now.duration_since(call.since);
    let (culprit, took) = (Culprit::of(&call.mark), tracing::field::debug(took));
    if call.is_refused {
        told!(INFO, culprit, took = took; "the call has returned: the plugin is used again");
    } else {
        told!(INFO, culprit, took = took; "the call has returned");
    }
}

#[cfg(test)]
mod tests {
    use super::super::circuit::SharedQuarantine;
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
        let health = Arc::new(FileHealth::new("p", SharedQuarantine::default(), TICK));
        let here = owner("stays");
        let watched = Arc::new(Mutex::new(vec![(here, Arc::clone(&health))]));
        let mut rounds = Rounds::new(Handle::current(), watched);
        let start = Instant::now();
        for call in 0..1000u32 {
            rounds.look(vec![mark(here, call.into())], start + call * TICK);
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
