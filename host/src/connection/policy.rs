//! What a connection does by itself: when it asks its peer, when it gives up, when it tries again.
//! Pure: time and chance come as arguments.

use std::collections::BTreeMap;
use std::time::Duration;

/// When a lost connection, or one that could not be opened, is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnect {
    /// Attempts in a row before giving up; `None`: for ever, 0: never. Default: 0.
    pub attempts: Option<u32>,
    /// Wait before the first attempt. Default: 1 s.
    pub first_delay: Duration,
    /// Each wait is this many times the one before. Default: 2.
    pub factor: f64,
    /// The longest wait. Default: 60 s.
    pub max_delay: Duration,
    /// Share of each wait that chance may take away, 0 to 1, so that many do not come back at once.
    /// Default: 0.3.
    pub jitter: f64,
    /// All attempts of one loss together end after so long. Default: never.
    pub total: Option<Duration>,
    /// Whether it also applies when the first attempt of all fails, unless it would fail the same way
    /// again, such as by refused credentials. Default: no, so that who connects hears it at once.
    pub initial: bool,
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect {
            attempts: Some(0),
            first_delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.3,
            total: None,
            initial: false,
        }
    }
}

impl Reconnect {
    /// The wait before attempt number `attempt` (from 1), or `None` to give up. `lost_for` is the time
    /// since the loss; `chance` is from 0 to 1.
    pub fn delay(&self, attempt: u32, lost_for: Duration, chance: f64) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt > most) {
            return None;
        }
        let steps = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first_delay.as_secs_f64() * self.factor.max(1.0).powi(steps.min(1024));
        let capped = grown.min(self.max_delay.as_secs_f64());
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
        let delay = Duration::try_from_secs_f64(capped * kept).unwrap_or(self.max_delay);
        match self.total {
            Some(total) if lost_for + delay > total => None,
            _ => Some(delay),
        }
    }
}

/// What a connection does by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Time for opening all layers. Default: 20 s.
    pub connect_timeout: Duration,
    /// The most that one call may take, waiting for the session included; also what is waited for a
    /// polite close. Default: 60 s.
    pub call_timeout: Duration,
    /// The same for single operations, by their names. Default: none.
    pub call_timeouts: BTreeMap<String, Duration>,
    /// Time between questions to the peer whether it is there; zero: never. Default: 30 s.
    pub keepalive: Duration,
    /// Time for the answer. Default: 5 s.
    pub keepalive_timeout: Duration,
    /// Unanswered questions in a row before the session counts as lost. Default: 3.
    pub keepalive_count: u32,
    /// Time without activity before the idle event, and again before the close that follows it if
    /// nobody objected; zero: never. Default: never.
    pub idle_timeout: Duration,
    /// Posts that may wait to be sent; more are refused. Default: 256.
    pub post_queue: usize,
    /// Bytes that those posts may have together. Default: 1 MiB.
    pub post_bytes: usize,
    /// When a lost session is opened again.
    pub reconnect: Reconnect,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            connect_timeout: Duration::from_secs(20),
            call_timeout: Duration::from_secs(60),
            call_timeouts: BTreeMap::new(),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(5),
            keepalive_count: 3,
            idle_timeout: Duration::ZERO,
            post_queue: 256,
            post_bytes: 1 << 20,
            reconnect: Reconnect::default(),
        }
    }
}

impl Policy {
    /// The most that one call of `operation` may take.
    pub fn call_limit(&self, operation: &str) -> Duration {
        self.call_timeouts.get(operation).copied().unwrap_or(self.call_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn waits_grow_to_the_cap_and_attempts_end() {
        let policy = Reconnect { attempts: Some(4), max_delay: seconds(5), ..Default::default() };
        let waits: Vec<_> = (1..=5).map(|n| policy.delay(n, Duration::ZERO, 0.0)).collect();
        let expected = [Some(1), Some(2), Some(4), Some(5), None].map(|wait| wait.map(seconds));
        assert_eq!(waits, expected);
    }

    #[test]
    fn an_operation_has_its_own_limit_or_that_of_all() {
        let call_timeouts = BTreeMap::from([("exec".to_owned(), seconds(300))]);
        let policy = Policy { call_timeout: seconds(5), call_timeouts, ..Policy::default() };
        assert_eq!([policy.call_limit("exec"), policy.call_limit("get")], [300, 5].map(seconds));
    }

    #[test]
    fn for_ever_is_for_ever_and_never_overflows() {
        let policy = Reconnect { attempts: None, ..Default::default() };
        assert_eq!(policy.delay(u32::MAX, Duration::ZERO, 0.0), Some(seconds(60)));
    }

    #[test]
    fn chance_takes_away_at_most_its_share() {
        let policy = Reconnect { attempts: None, jitter: 0.5, ..Default::default() };
        assert_eq!(policy.delay(1, Duration::ZERO, 1.0), Some(Duration::from_millis(500)));
        assert_eq!(policy.delay(1, Duration::ZERO, 7.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_total_bounds_all_attempts_of_one_loss() {
        let policy = Reconnect {
            attempts: None,
            total: Some(seconds(3)),
            jitter: 0.0,
            ..Default::default()
        };
        assert!(policy.delay(2, seconds(1), 0.0).is_some());
        assert_eq!(policy.delay(2, seconds(2), 0.0), None);
    }
}
