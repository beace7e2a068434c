//! [`ListenerCounts`]: how many sessions a listener has had, and what passed in them. Counted where a session begins and
//! ends, so that nothing on the way of data knows of it.

use schemars::JsonSchema;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets of durations, in milliseconds.
pub const DURATIONS_MS: [u64; 16] = [
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
    3_600_000,
];

/// Counts of one listener, for all its life.
#[derive(Debug, Default)]
pub(super) struct ListenerCounts {
    accepted: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    duration_ms: AtomicU64,
    durations: [AtomicU64; DURATIONS_MS.len()],
}

/// What a listener has counted. Bytes and durations are those of sessions that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListenerTotals {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused: by address, by their number, or for want of room.
    pub refused: u64,
    /// Sessions that have ended without an error.
    pub ended: u64,
    /// Sessions that have ended with one.
    pub failed: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// How long the sessions lasted together, in milliseconds.
    pub duration_ms: u64,
    /// For each of [`DURATIONS_MS`], how many lasted at most so long.
    pub durations: [u64; DURATIONS_MS.len()],
}

fn add(to: &AtomicU64, more: u64) {
    to.fetch_add(more, Ordering::Relaxed);
}

impl ListenerCounts {
    pub(super) fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    /// A session has ended.
    pub(super) fn ended(&self, failed: bool, bytes: (u64, u64), duration_ms: u64) {
        add(if failed { &self.failed } else { &self.ended }, 1);
        add(&self.bytes_in, bytes.0);
        add(&self.bytes_out, bytes.1);
        add(&self.duration_ms, duration_ms);
        let at = DURATIONS_MS.partition_point(|bound| *bound < duration_ms);
        if let Some(bucket) = self.durations.get(at) {
            add(bucket, 1);
        }
    }

    pub(super) fn totals(&self) -> ListenerTotals {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut below = 0;
        let durations = std::array::from_fn(|at| {
            below += get(&self.durations[at]);
            below
        });
        ListenerTotals {
            accepted: get(&self.accepted),
            refused: get(&self.refused),
            ended: get(&self.ended),
            failed: get(&self.failed),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            duration_ms: get(&self.duration_ms),
            durations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let counts = ListenerCounts::default();
        for (failed, duration) in [(false, 5), (false, 6), (true, 3_600_001)] {
            counts.ended(failed, (10, 20), duration);
        }
        let totals = counts.totals();
        assert_eq!((totals.ended, totals.failed), (2, 1));
        assert_eq!((totals.bytes_in, totals.bytes_out), (30, 60));
        assert_eq!((totals.durations[0], totals.durations[1], totals.durations[15]), (1, 2, 2));
    }
}
