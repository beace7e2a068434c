//! [`Recent`]: the time as it was read a moment ago, for steps that happen millions of times a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How old the time of a pool in use can be. Spans of a pool count in seconds; deadlines of callers
/// that wait are taken from the clock itself.
pub(super) const GRAIN: Duration = Duration::from_millis(50);

/// No reading: the pool is not in use.
const ASLEEP: u64 = u64::MAX;

/// A reading of the clock that is renewed while it is used, and only then: an idle pool wakes no task.
#[derive(Debug)]
pub(super) struct Recent {
    base: Instant,
    /// Nanoseconds from `base` to the reading.
    reading: AtomicU64,
    /// Somebody has asked since the last reading.
    asked: AtomicBool,
}

impl Recent {
    pub(super) fn new(now: Instant) -> Self {
        Self { base: now, reading: AtomicU64::new(ASLEEP), asked: AtomicBool::new(false) }
    }

    /// The last reading; `None` when there is none that is fresh.
    pub(super) fn get(&self) -> Option<Instant> {
        let reading = self.reading.load(Ordering::Relaxed);
        if reading == ASLEEP {
            return None;
        }
        // Most find it set; writing it each time would take the line from the other cores.
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
        self.base.checked_add(Duration::from_nanos(reading))
    }

    /// Notes a reading where there was none; returns whether so, and it has to be renewed from now on.
    pub(super) fn wake(&self, now: Instant) -> bool {
        self.reading.load(Ordering::Relaxed) == ASLEEP
            && self.reading.swap(self.nanos(now), Ordering::Relaxed) == ASLEEP
    }

    /// Renews the reading, if there is one.
    pub(super) fn refresh(&self, now: Instant) {
        if self.is_awake() {
            self.reading.store(self.nanos(now), Ordering::Relaxed);
        }
    }

    /// Renews the reading, or ends it if it was not read since the last; whether it is to be renewed
    /// again.
    pub(super) fn renew(&self, now: Instant) -> bool {
        let asked = self.asked.swap(false, Ordering::Relaxed);
        let reading = if asked { self.nanos(now) } else { ASLEEP };
        self.reading.store(reading, Ordering::Relaxed);
        asked
    }

    /// Whether there is a reading, which is to be renewed.
    pub(super) fn is_awake(&self) -> bool {
        self.reading.load(Ordering::Relaxed) != ASLEEP
    }

    fn nanos(&self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        u64::try_from(nanos).unwrap_or(ASLEEP - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{GRAIN, Recent};
    use std::time::Instant;

    #[test]
    fn a_reading_is_renewed_while_it_is_used_and_ends_when_it_is_not() {
        let start = Instant::now();
        let recent = Recent::new(start);
        assert_eq!(recent.get(), None);
        assert!(recent.wake(start + GRAIN), "the first has it renewed");
        assert!(!recent.wake(start + 2 * GRAIN), "the second need not");

        assert_eq!(recent.get(), Some(start + GRAIN));
        assert!(recent.renew(start + 3 * GRAIN));
        assert_eq!(recent.get(), Some(start + 3 * GRAIN));
        assert!(recent.renew(start + 4 * GRAIN));

        assert!(!recent.renew(start + 5 * GRAIN), "nobody asked");
        assert_eq!(recent.get(), None, "an old reading is no time");
        assert!(!recent.is_awake());
    }
}
