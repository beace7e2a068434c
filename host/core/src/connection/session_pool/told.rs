//! [`PoolEvents`]: what happens to a pool, as events of the host.

use crate::events::{Bus, Cause, EventKind};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::Error;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// From telling of something to telling of it again.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells what happens to the pool of one target: what goes on and on, every ten seconds at most.
#[derive(Debug)]
pub struct PoolEvents {
    upstream: Arc<str>,
    target: String,
    events: Bus,
    told: Mutex<ToldOfPool>,
}

#[derive(Debug, Default)]
struct ToldOfPool {
    /// Whether openings fail.
    is_failing: bool,
    failed: Option<Instant>,
    exhausted: Option<Instant>,
}

/// Whether something is to be told now, after the time that it was told last.
fn is_due(last: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
    if is_due {
        *last = Some(now);
    }
    is_due
}

impl PoolEvents {
    /// Of the pool of a target of an upstream.
    pub fn new(upstream: &Arc<str>, target: &str, events: Bus) -> Self {
        let (upstream, target) = (Arc::clone(upstream), target.to_owned());
        PoolEvents { upstream, target, events, told: Mutex::default() }
    }

    fn told(&self) -> MutexGuard<'_, ToldOfPool> {
        self.told.lock().ignore_poison()
    }

    fn names(&self) -> (String, String) {
        (self.upstream.to_string(), self.target.clone())
    }

    /// A session was opened.
    pub(super) fn opened(&self) {
        let mut told = self.told();
        let was_failing = std::mem::take(&mut told.is_failing);
        if was_failing {
            told.failed = None;
            let (upstream, target) = self.names();
            self.events.announce_later(EventKind::PoolRecovered { upstream, target });
        }
        drop(told);
        if was_failing {
            self.events.deliver();
        }
    }

    /// No session could be opened.
    pub(super) fn open_failed(&self, error: &Error) {
        let mut told = self.told();
        told.is_failing = true;
        if is_due(&mut told.failed) {
            let ((upstream, target), cause) = (self.names(), Cause::from(error));
            self.events.announce_later(EventKind::PoolOpenFailed { upstream, target, cause });
        }
        drop(told);
        self.events.deliver();
    }

    /// All sessions are in use, and so many callers wait.
    pub(super) fn exhausted(&self, max_size: usize, waiting: usize) {
        if is_due(&mut self.told().exhausted) {
            let (upstream, target) = self.names();
            let kind = EventKind::PoolExhausted { upstream, target, max_size, waiting };
            self.events.announce(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_told_once_and_its_end_too() {
        let events = Bus::lasting();
        let pool = PoolEvents::new(&"u".into(), "tcp://h:1", events.clone());
        let error = Error::new(ErrorKind::Unreachable, "refused");
        pool.opened();
        (0..3).for_each(|_| pool.open_failed(&error));
        tokio::time::sleep(PAUSE).await;
        pool.open_failed(&error);
        (0..2).for_each(|_| pool.opened());
        pool.open_failed(&error);
        (1..4).for_each(|waiting| pool.exhausted(2, waiting));
        let told: Vec<_> = events.history().iter().map(|event| event.kind.name()).collect();
        let (failed, recovered) = ("pool_open_failed", "pool_recovered");
        assert_eq!(told, [failed, failed, recovered, failed, "pool_exhausted"]);
    }
}
