//! [`Rate`]: how many a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts within each second, and says when there were enough.
pub(super) struct Rate {
    pub(super) per_second: u64,
    started: Instant,
    /// The second that is counted in the upper half, its count in the lower.
    counted: AtomicU64,
}

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
    pub(super) fn new(per_second: u32) -> Self {
        Rate {
            per_second: u64::from(per_second),
            started: Instant::now(),
            counted: AtomicU64::new(0),
        }
    }

    pub(super) fn turn(&self) -> Turn {
        match self.count(self.started.elapsed().as_secs()) {
            count if count > self.per_second => Turn::Refused,
            count if count == self.per_second => Turn::Last,
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
        let rate = Rate::new(2);
        assert_eq!([rate.count(5), rate.count(5), rate.count(5)], [1, 2, 3]);
        assert_eq!(rate.count(6), 1);
    }
}
