//! What a pool counts, and why members are closed.

use std::fmt;
use std::time::Duration;

/// Why the pool closed a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCause {
    /// Unused for longer than `max_idle_time`, or than its next user bears.
    Idle,
    /// Older than `max_lifetime`.
    Lifetime,
    /// Found closed when it was handed out or returned.
    Dead,
    /// A test failed, of this member or of one that was used later than it.
    Invalid,
    /// It could not be reset after use.
    ResetFailed,
    /// Its user said so, or gave up in the middle of a test, or panicked.
    Discarded,
    /// More were unused than `max_idle`, or `max_size` was lowered.
    Surplus,
    /// The pool was drained or dropped.
    Drained,
    /// It was in use when the drain's deadline passed.
    Abandoned,
    /// Its user took it out of the pool; the pool did not close it.
    Detached,
}

impl CloseCause {
    /// Every cause, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Idle,
        Self::Lifetime,
        Self::Dead,
        Self::Invalid,
        Self::ResetFailed,
        Self::Discarded,
        Self::Surplus,
        Self::Drained,
        Self::Abandoned,
        Self::Detached,
    ];

    /// The name in logs, metrics and snapshots.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Dead => "dead",
            Self::Invalid => "invalid",
            Self::ResetFailed => "reset_failed",
            Self::Discarded => "discarded",
            Self::Surplus => "surplus",
            Self::Drained => "drained",
            Self::Abandoned => "abandoned",
            Self::Detached => "detached",
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pool at one moment. Counters run from the pool's making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Open members that are unused.
    pub idle: usize,
    /// Open members in use.
    pub in_use: usize,
    /// Guards that are out; more than `in_use` where members are shared.
    pub users: usize,
    /// Members being opened.
    pub opening: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// `max_size` as it is set now.
    pub max_size: usize,
    /// The counters.
    pub totals: PoolTotals,
}

/// What happened since the pool was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolTotals {
    /// Members opened.
    pub opened: u64,
    /// Members that left the pool, by [`CloseCause::ALL`].
    pub closed: [u64; CloseCause::ALL.len()],
    /// Openings that failed.
    pub open_failed: u64,
    /// Callers served without waiting.
    pub direct: u64,
    /// Callers served after they waited.
    pub handed_over: u64,
    /// Callers whose time was up.
    pub timed_out: u64,
    /// Callers refused because too many waited.
    pub refused: u64,
    /// Callers that stopped waiting by themselves.
    pub cancelled: u64,
    /// How long those handed over waited.
    pub waits: Waits,
}

impl PoolTotals {
    /// Members that left the pool, for one cause.
    pub fn closed_by(&self, cause: CloseCause) -> u64 {
        self.closed[cause as usize]
    }

    /// Members that left the pool.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(super) fn close(&mut self, cause: CloseCause) {
        self.closed[cause as usize] += 1;
    }
}

/// A histogram of waiting times in powers of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    buckets: [u64; Waits::BUCKETS],
    longest: Duration,
    total: Duration,
}

impl Waits {
    /// Number of buckets; the last one has no upper bound.
    pub const BUCKETS: usize = 28;

    /// The longest of all.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// All together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Upper bounds (exclusive; `None` for the last) and how many waits fell below each and not
    /// below the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        self.buckets.iter().enumerate().map(|(index, count)| {
            let bound = (index + 1 < Self::BUCKETS).then(|| Duration::from_micros(1 << index));
            (bound, *count)
        })
    }

    pub(super) fn record(&mut self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let bits = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bits.min(Self::BUCKETS - 1)] += 1;
        self.longest = self.longest.max(wait);
        self.total = self.total.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CloseCause, PoolTotals, Waits};

    #[test]
    fn waits_fall_into_the_bucket_that_bounds_them() {
        for (micros, bound) in [(0, 1), (1, 2), (3, 4), (4, 8), (1000, 1024), (1024, 2048)] {
            let mut waits = Waits::default();
            waits.record(Duration::from_micros(micros));
            let (found, _) = waits.buckets().find(|(_, count)| *count == 1).unwrap();
            assert_eq!(found, Some(Duration::from_micros(bound)), "{micros}");
        }
        let mut waits = Waits::default();
        waits.record(Duration::from_secs(86_400));
        assert_eq!(waits.buckets().last(), Some((None, 1)));
    }

    #[test]
    fn causes_are_counted_apart() {
        let mut totals = PoolTotals::default();
        for cause in CloseCause::ALL {
            totals.close(cause);
            assert_eq!(totals.closed_by(cause), 1, "{cause}");
        }
        assert_eq!(totals.closed_total(), 10);
    }
}
