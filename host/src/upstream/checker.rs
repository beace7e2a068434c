//! Active checks: asks each target now and then whether it lives.

use super::balancer::Balancer;
use super::strategy::mix;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Checks under way at a time, so that thousands of targets do not take all sockets.
const AT_ONCE: usize = 64;

/// When targets are checked.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// From one check of a target to the next, more or less a tenth. Default: 30 s.
    pub interval: Duration,
    /// Time for one check. Default: 5 s.
    pub timeout: Duration,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { interval: Duration::from_secs(30), timeout: Duration::from_secs(5) }
    }
}

/// What can be asked whether it lives.
pub trait Probe: Send + Sync {
    /// Asks, within `limit`; answers how long that took. Cancel safe.
    fn probe(&self, limit: Duration) -> impl Future<Output = Result<Duration>> + Send;
}

/// Checks the targets of a balancer, new ones at once, until nobody else holds it. Dropping it stops
/// the checks.
pub async fn check<T: Probe + 'static>(balancer: Weak<Balancer<T>>, options: CheckOptions) {
    let mut due: HashMap<String, Instant> = HashMap::new();
    let mut running: JoinSet<()> = JoinSet::new();
    let mut count: u64 = 0;
    loop {
        let Some(strong) = balancer.upgrade() else { return };
        let members = strong.members();
        due.retain(|name, _| members.iter().any(|member| member.name == *name));
        let now = Instant::now();
        let mut next = now + options.interval;
        for member in members {
            let at = due.entry(member.name.clone()).or_insert(now);
            if *at <= now && running.len() < AT_ONCE {
                count += 1;
                *at = now + jittered(options.interval, count);
                let (balancer, limit) = (Weak::clone(&balancer), options.timeout);
                running.spawn(async move {
                    let answer = timeout(limit, member.target.probe(limit)).await;
                    let answer = answer.unwrap_or_else(|_| Err(late(limit)));
                    if let Some(balancer) = balancer.upgrade() {
                        balancer.checked(&member.load, answer.err().as_ref(), Instant::now());
                    }
                });
            }
            next = next.min(*at);
        }
        drop(strong);
        // With all places taken, the next thing to happen is the end of a check.
        let full = running.len() >= AT_ONCE;
        tokio::select! {
            Some(_) = running.join_next() => {}
            () = sleep_until(next), if !full => {}
        }
    }
}

fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("no answer to a check within {limit:?}"))
}

/// More or less a tenth, so that checks of many hosts do not beat together.
fn jittered(interval: Duration, count: u64) -> Duration {
    let thousandths = u32::try_from(mix(count) % 201).unwrap_or(0) + 900;
    interval * thousandths / 1000
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
