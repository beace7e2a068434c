//! [`Rate`]: how many a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Counts within each second, and says when there were enough.
pub(super) struct Rate {
    per_second: RateLimit,
    started: Instant,
    /// The second that is counted in the upper half, its count in the lower.
    counted: AtomicU64,
}

/// How many a second may pass, which may change.
pub(super) type RateLimit = Arc<AtomicU32>;

/// What is to be done with one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It passes.
    Passes,
    /// It passes as the last of this second.
    Last,
    /// It is one too many.
    Refused,
}

impl Rate {
    pub(super) fn new(per_second: RateLimit) -> Self {
        Rate { per_second, started: Instant::now(), counted: AtomicU64::new(0) }
    }

    pub(super) fn per_second(&self) -> u64 {
        self.per_second.load(Ordering::Relaxed).into()
    }

    pub(super) fn turn(&self) -> Turn {
        let most = self.per_second();
        match self.count(self.started.elapsed().as_secs()) {
            count if count > most => Turn::Refused,
            count if count == most => Turn::Last,
            _ => Turn::Passes,
        }
    }

    /// How many this second has, this one included.
    fn count(&self, second: u64) -> u64 {
        let next = |old: u64| if old >> 32 == second { old + 1 } else { (second << 32) + 1 };
        let old =
            self.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |o| Some(next(o)));
        next(old.unwrap_or(0)) & 0xffff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_second_starts_a_new_count() {
        let rate = Rate::new(RateLimit::new(2.into()));
        assert_eq!([rate.count(5), rate.count(5), rate.count(5)], [1, 2, 3]);
        assert_eq!(rate.count(6), 1);
    }
}
