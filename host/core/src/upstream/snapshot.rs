//! Upstreams as others read them.

use super::call::CallsSnapshot;
use crate::pool::{CloseCause, Stats};
use jackfield_balancer::TargetStatus;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

/// An upstream at one moment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
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

/// A target at one moment; its name is the URI without a password.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetSnapshot {
    /// As its balancer knows it.
    #[serde(flatten)]
    pub status: TargetStatus,
    /// Its pool, or without one the sessions that requests share; `None` while none was needed.
    pub pool: Option<PoolSnapshot>,
}

impl Deref for TargetSnapshot {
    type Target = TargetStatus;

    fn deref(&self) -> &TargetStatus {
        &self.status
    }
}

/// The pool of a target at one moment. Counters run from its making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolSnapshot {
    /// Open sessions that are unused.
    pub idle: usize,
    /// Open sessions in use.
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
    /// of two up to 2^26, and `None` for the rest. Empty buckets are left out.
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
