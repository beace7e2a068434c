//! Upstreams as others read them.

use super::call::CallsSnapshot;
use super::health::Standing;
use super::target_set::Entry;
use crate::pool::{CloseCause, Stats};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// An upstream at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamSnapshot {
    /// Its name.
    pub name: String,
    /// Its strategy.
    pub balance: &'static str,
    /// Whether no target is healthy, so that all that are not drained serve.
    pub panic: bool,
    /// Attempts at a further target that the retry budget refused.
    pub retries_refused: u64,
    /// Operations run on its targets.
    pub calls: CallsSnapshot,
    /// Its targets, in the order they were given.
    pub targets: Vec<TargetSnapshot>,
}

/// A target at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct TargetSnapshot {
    /// Its name: the URI without a password.
    pub name: String,
    /// `up`, `starting`, `half_open`, `ejected`, `down`, or `draining` when its weight is 0.
    pub state: &'static str,
    /// Its part of the sessions.
    pub weight: u32,
    /// 0 serves first.
    pub priority: u32,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Sessions that live or are being opened.
    pub in_flight: u32,
    /// Sessions opened.
    pub successes: u64,
    /// Attempts and sessions that failed.
    pub failures: u64,
    /// Failures in a row.
    pub failures_in_a_row: u32,
    /// Moving latency of opening a session, in microseconds; `None` until measured.
    pub latency_us: Option<u64>,
    /// Milliseconds until its ejection ends.
    pub ejected_for_ms: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Its pool, or without one the sessions that requests share; `None` while none was needed.
    pub pool: Option<PoolSnapshot>,
}

/// The pool of a target at one moment. Counters run from its making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolSnapshot {
    /// Open sessions that nobody uses.
    pub idle: usize,
    /// Open sessions that somebody uses.
    pub in_use: usize,
    /// Those that use them; more than `in_use` where sessions are shared.
    pub users: usize,
    /// Sessions being opened.
    pub opening: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Sessions at most.
    pub max_size: usize,
    /// Sessions opened.
    pub opened: u64,
    /// Openings that failed.
    pub open_failed: u64,
    /// Sessions that left the pool, by cause.
    pub closed: BTreeMap<&'static str, u64>,
    /// Callers served at once.
    pub served_at_once: u64,
    /// Callers served after they waited.
    pub served_after_wait: u64,
    /// Callers whose time was up.
    pub timed_out: u64,
    /// Callers refused because too many waited.
    pub refused: u64,
    /// The longest that a caller waited and was served, in microseconds.
    pub longest_wait_us: u64,
    /// How long those served after they waited did, all together, in microseconds.
    pub total_wait_us: u64,
    /// How many of them waited less than so many microseconds and not less than the bound before: powers
    /// of two up to 2^26, and `None` for the rest. Bounds that nobody fell under are left out.
    pub waits: Vec<(Option<u64>, u64)>,
}

impl PoolSnapshot {
    pub(super) fn of(stats: &Stats) -> Self {
        let totals = &stats.totals;
        let closed = CloseCause::ALL.map(|cause| (cause.as_str(), totals.closed_by(cause)));
        PoolSnapshot {
            idle: stats.idle,
            in_use: stats.in_use,
            users: stats.users,
            opening: stats.opening,
            waiting: stats.waiting,
            max_size: stats.max_size,
            opened: totals.opened,
            open_failed: totals.open_failed,
            closed: closed.into_iter().filter(|(_, count)| *count > 0).collect(),
            served_at_once: totals.direct,
            served_after_wait: totals.handed_over,
            timed_out: totals.timed_out,
            refused: totals.refused,
            longest_wait_us: whole_micros(totals.waits.longest()),
            total_wait_us: whole_micros(totals.waits.total()),
            waits: totals
                .waits
                .buckets()
                .filter(|(_, count)| *count > 0)
                .map(|(bound, count)| (bound.map(whole_micros), count))
                .collect(),
        }
    }
}

fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl TargetSnapshot {
    pub(super) fn of<T>(entry: &Entry<T>, standing: Standing, now: Instant, millis: u32) -> Self {
        let member = &entry.member;
        let (successes, failures) = member.load.counts();
        let latency = member.load.latency(millis);
        let ejected_for = match standing {
            Standing::Ejected(until) => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        TargetSnapshot {
            name: member.name.clone(),
            state: if entry.weight == 0 { "draining" } else { standing.as_str() },
            weight: entry.weight,
            priority: entry.priority,
            labels: member.labels.clone(),
            in_flight: member.load.in_flight(),
            successes,
            failures,
            failures_in_a_row: entry.health.failures(),
            latency_us: (latency > 0.0).then(|| micros(latency)),
            ejected_for_ms: ejected_for.map(millis),
            last_error: entry.last_error.clone(),
            pool: None,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a latency is positive, and far below 2^64 microseconds"
)]
fn micros(nanos: f32) -> u64 {
    (nanos / 1_000.0) as u64
}
