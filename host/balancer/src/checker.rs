//! Active checks: probe each target at an interval.

use super::balancer::Balancer;
use super::options::CheckOptions;
use super::strategy::mix;
use super::target_set::TargetHandle;
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::{sleep_until, timeout};
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Checks under way at a time, so that thousands of targets do not take all sockets.
const AT_ONCE: usize = 64;

/// A target that can be probed.
pub trait Probe: Send + Sync {
    /// Probes it within `limit`; returns how long that took. Cancel safe.
    fn probe(&self, limit: Duration) -> impl Future<Output = Result<Duration>> + Send;
}

/// Checks the targets of a balancer, new ones at once, until all other handles of it were dropped. Dropping it stops
/// the checks.
pub async fn check<T: Probe + 'static>(balancer: Weak<Balancer<T>>, options: CheckOptions) {
    let Some(mut changes) = balancer.upgrade().map(|balancer| balancer.changes()) else { return };
    let mut plan = Schedule { due: BTreeMap::new(), count: 0 };
    let mut running: JoinSet<()> = JoinSet::new();
    changes.mark_changed();
    loop {
        if changes.has_changed().unwrap_or(false) {
            changes.mark_unchanged();
            let Some(balancer) = balancer.upgrade() else { return };
            plan.keep(balancer.handles(), Instant::now());
        }
        let now = Instant::now();
        while running.len() < AT_ONCE
            && let Some(handle) = plan.next(now, options.interval)
        {
            running.spawn(one(Weak::clone(&balancer), handle, options.timeout));
        }
        let next = plan.first().unwrap_or(now + options.interval);
        // With all places taken, the next thing to happen is the end of a check.
        let full = running.len() >= AT_ONCE;
        tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => changes.mark_changed(),
                Err(_) => return,
            },
            Some(_) = running.join_next() => {}
            () = sleep_until(next), if !full => {}
        }
    }
}

/// One check of one target.
async fn one<T: Probe>(balancer: Weak<Balancer<T>>, handle: Arc<TargetHandle<T>>, limit: Duration) {
    let probing = AssertUnwindSafe(handle.target.probe(limit)).catch_unwind();
    let answer = match timeout(limit, probing).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::new(ErrorKind::Panicked, "the check panicked")),
        Err(_) => Err(late(limit)),
    };
    if let Some(balancer) = balancer.upgrade() {
        balancer.checked(&handle.load, answer.err().as_ref(), Instant::now());
    }
}

/// Which target is to be checked when. A number makes equal times different.
struct Schedule<T> {
    due: BTreeMap<(Instant, u64), Arc<TargetHandle<T>>>,
    count: u64,
}

impl<T> Schedule<T> {
    /// Plans these and no others: those that were planned at their time, new ones now.
    fn keep(&mut self, handles: Vec<Arc<TargetHandle<T>>>, now: Instant) {
        let old = std::mem::take(&mut self.due).into_iter();
        let old: HashMap<_, _> =
            old.map(|((at, _), handle)| (Arc::as_ptr(&handle.load), at)).collect();
        for handle in handles {
            let at = old.get(&Arc::as_ptr(&handle.load)).copied().unwrap_or(now);
            self.plan(at, handle);
        }
    }

    fn plan(&mut self, at: Instant, handle: Arc<TargetHandle<T>>) {
        self.count += 1;
        self.due.insert((at, self.count), handle);
    }

    fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// A target that is due, which is planned again an interval later.
    fn next(&mut self, now: Instant, interval: Duration) -> Option<Arc<TargetHandle<T>>> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let handle = entry.remove();
        let at = now + jittered(interval, self.count);
        self.plan(at, Arc::clone(&handle));
        Some(handle)
    }
}

fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("no answer to a check within {limit:?}"))
}

/// Up to a tenth less, so that checks of many hosts do not beat together.
fn jittered(interval: Duration, count: u64) -> Duration {
    let thousandths = u32::try_from(mix(count) % 101).unwrap_or(0) + 900;
    interval * thousandths / 1000
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
