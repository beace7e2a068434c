//! [`TargetStatus`]: a target as others read it.

use super::health::Standing;
use super::target_set::{TargetEntry, TargetHandle};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A target at one moment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TargetStatus {
    /// Its name.
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
    /// Moving latency of opening a session, in microseconds: the slowest lately, fading, where a failed attempt counts as
    /// all the time that it had; `None` until measured.
    pub latency_us: Option<u64>,
    /// Milliseconds until its ejection ends.
    pub ejected_for_ms: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// What is read of a target under the lock that failures take, too: no more than has to be.
pub(super) struct TargetGlance<T> {
    handle: Arc<TargetHandle<T>>,
    weight: u32,
    priority: u32,
    failures_in_a_row: u32,
    standing: Standing,
    last_error: Option<String>,
}

impl<T> TargetGlance<T> {
    pub(super) fn of(entry: &TargetEntry<T>, standing: Standing) -> Self {
        TargetGlance {
            handle: Arc::clone(&entry.handle),
            weight: entry.weight,
            priority: entry.priority,
            failures_in_a_row: entry.health.failures(),
            standing,
            last_error: entry.last_error.clone(),
        }
    }

    pub(super) fn status(self, now: Instant, millis: u32) -> TargetStatus {
        let (handle, standing) = (&self.handle, self.standing);
        let (successes, failures) = handle.load.counts();
        let latency = handle.load.latency(millis);
        let ejected_for = match standing {
            Standing::Ejected(until) => Some(until.saturating_duration_since(now)),
            _ => None,
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        TargetStatus {
            name: handle.name.clone(),
            state: if self.weight == 0 { "draining" } else { standing.as_str() },
            weight: self.weight,
            priority: self.priority,
            labels: handle.labels.clone(),
            in_flight: handle.load.in_flight(),
            successes,
            failures,
            failures_in_a_row: self.failures_in_a_row,
            latency_us: (latency > 0.0).then(|| micros(latency)),
            ejected_for_ms: ejected_for.map(millis),
            last_error: self.last_error,
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
