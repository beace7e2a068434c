//! How often, and how often in all, a further target is tried: a budget keeps retries from making an
//! outage worse.

use super::options::RetryOptions;
use std::time::Duration;
use tokio::time::Instant;

/// Retries a second that are free, whatever the budget.
const FREE_PER_SECOND: f64 = 10.0;

/// The time over which unspent budget is kept.
const KEPT: Duration = Duration::from_secs(10);

/// What is left of a budget.
#[derive(Debug)]
pub struct Budget {
    percent: f64,
    /// Retries that may be made at once.
    left: f64,
    /// Of that, what sessions have paid in; it fades.
    earned: f64,
    at: Instant,
    refused: u64,
}

impl Budget {
    /// A full budget.
    pub fn new(options: &RetryOptions, now: Instant) -> Self {
        let free = FREE_PER_SECOND * KEPT.as_secs_f64();
        Budget {
            percent: f64::from(options.budget_percent),
            left: free,
            earned: 0.0,
            at: now,
            refused: 0,
        }
    }

    fn pass(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let kept = KEPT.as_secs_f64();
        self.earned *= (1.0 - seconds / kept).max(0.0);
        let most = FREE_PER_SECOND * kept;
        self.left = (self.left + FREE_PER_SECOND * seconds).min(most);
    }

    /// A session is asked for.
    pub fn asked(&mut self, now: Instant) {
        self.pass(now);
        self.earned += self.percent / 100.0;
    }

    /// Takes a retry out of the budget; `false` if nothing is left.
    pub fn take(&mut self, now: Instant) -> bool {
        self.pass(now);
        let from = if self.earned >= 1.0 { &mut self.earned } else { &mut self.left };
        if *from < 1.0 {
            self.refused += 1;
            return false;
        }
        *from -= 1.0;
        true
    }

    /// Retries refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One session each millisecond for a minute, all of which fail at once.
    fn retries_of_60_000(percent: u32) -> usize {
        let start = Instant::now();
        let options = RetryOptions { budget_percent: percent, ..RetryOptions::default() };
        let mut budget = Budget::new(&options, start);
        (1..=60_000)
            .filter(|millis| {
                let now = start + Duration::from_millis(*millis);
                budget.asked(now);
                budget.take(now)
            })
            .count()
    }

    #[test]
    fn retries_stay_within_the_percentage_and_the_free_ones() {
        // 100 at once, 10 a second.
        let free = 100 + 600;
        assert!(retries_of_60_000(0).abs_diff(free) <= 1);
        assert!(retries_of_60_000(20).abs_diff(12_000 + free) <= 20);
        assert!(retries_of_60_000(100) >= 59_000);
    }

    #[test]
    fn few_sessions_may_always_be_retried() {
        let start = Instant::now();
        let mut budget = Budget::new(&RetryOptions::default(), start);
        for second in 1..1_000 {
            let now = start + Duration::from_secs(second);
            budget.asked(now);
            assert!((0..10).all(|_| budget.take(now)), "in second {second}");
        }
        assert_eq!(budget.refused(), 0);
    }

    #[test]
    fn what_was_earned_long_ago_is_gone() {
        let start = Instant::now();
        let mut budget = Budget::new(&RetryOptions::default(), start);
        (0..10_000).for_each(|_| budget.asked(start));
        let later = start + Duration::from_secs(20);
        let taken = (0..1_000).filter(|_| budget.take(later)).count();
        assert_eq!(taken, 100);
        assert_eq!(budget.refused(), 900);
    }
}
