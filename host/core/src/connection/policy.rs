//! What a connection does by itself: when it asks its peer, when it gives up, when it tries again.
//! Pure: time and chance come as arguments.

use crate::units::{ByteSize, Timespan};
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// `reconnect` of a connection: when a lost session, or one that could not be opened, is opened again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reconnect {
    /// Attempts in a row before giving up; 0 never, -1 (`None`) for ever. Default: 0.
    #[serde(with = "jackfield_text::with::minus_one_is_none")]
    #[schemars(with = "i64", range(min = -1, max = 4_294_967_295_i64))]
    pub attempts: Option<u32>,
    /// Wait before the first attempt. Default: `"1s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub first_delay: Duration,
    /// Each further wait is this many times the one before; 1 to 100. Default: 2.
    pub factor: f64,
    /// The longest wait. Default: `"1m"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub max_delay: Duration,
    /// The share of each wait that chance may take away, so that many do not come back at once; 0
    /// to 1. Default: 0.3.
    pub jitter: f64,
    /// All attempts after one loss end after so long; `"0s"` (`None`) never. Default: `"0s"`.
    #[serde(with = "jackfield_text::with::zero_is_none")]
    #[schemars(with = "Timespan")]
    pub total: Option<Duration>,
    /// Whether all this also applies when it cannot be opened the first time; what would fail the same
    /// way again, such as refused credentials, is not repeated. Default: `false`, so that the caller gets the
    /// error at once.
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

/// What a connection does by itself: keys of `[connections.NAME]` and of paths of devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Policy {
    /// Until a session is open, over all layers and `login`. Default: the sum of `host.timeouts.connect` and
    /// `host.timeouts.handshake`; 20 s for what a program makes itself.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub connect_timeout: Option<Duration>,
    /// The most that one operation on the session may take, waiting for the session included; also what is
    /// waited for a polite close. Default: `"1m"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub call_timeout: Duration,
    /// The same for single operations, by their names: `{ exec = "5m" }`. Default: none.
    #[serde(with = "jackfield_text::with::durations")]
    #[schemars(with = "BTreeMap<String, Timespan>")]
    pub call_timeouts: BTreeMap<String, Duration>,
    /// Interval between keepalive probes of the peer, where the driver can ping; `"0s"` never.
    /// Default: `"30s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub keepalive: Duration,
    /// Time for the answer to a probe. Default: `"5s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub keepalive_timeout: Duration,
    /// Unanswered probes in a row before the session counts as lost; at least 1. Default: 3.
    pub keepalive_count: u32,
    /// Time without activity before the shared session is closed: first there is an idle event, and after as
    /// long again the close, unless a subscriber objected; `"0s"` never. Default: `"0s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub idle_timeout: Duration,
    /// Posts that may wait to be sent; more are refused. At least 1. Default: 256.
    pub post_queue: usize,
    /// Bytes that those posts may have together. Default: `"1MiB"`.
    #[serde(with = "jackfield_text::with::size")]
    #[schemars(with = "ByteSize")]
    pub post_bytes: usize,
    /// Payloads that may wait for a program to take them by `receive`; then nothing more is read, and the
    /// peer is slowed down. At least 1. Default: 16.
    pub receive_queue: usize,
    /// Bytes that those payloads may have together before nothing more is read; one that is longer is
    /// still given. Default: `"1MiB"`.
    #[serde(with = "jackfield_text::with::size")]
    #[schemars(with = "ByteSize")]
    pub receive_bytes: usize,
    /// The low water mark, in percent of the four above: a queue that was full must be down to it before
    /// it is told that posts are taken again (`writable`), and before reading goes on. 0 to 99.
    /// Default: 50.
    pub low_water: u32,
    /// When a lost session is opened again by itself; when next needed, it is opened in any case.
    pub reconnect: Reconnect,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            connect_timeout: None,
            call_timeout: Policy::CALL_TIMEOUT,
            call_timeouts: BTreeMap::new(),
            keepalive: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(5),
            keepalive_count: 3,
            idle_timeout: Duration::ZERO,
            post_queue: 256,
            post_bytes: 1 << 20,
            receive_queue: 16,
            receive_bytes: 1 << 20,
            low_water: 50,
            reconnect: Reconnect::default(),
        }
    }
}

impl Policy {
    /// The default of `call_timeout`, here and of upstreams.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);

    /// The most that opening a session may take.
    pub fn connect_limit(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(20))
    }

    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        let Policy { reconnect, post_queue, .. } = self;
        let again = Ranges::new()
            .expect((1.0..=100.0).contains(&reconnect.factor), "factor", "expected 1 to 100")
            .expect((0.0..=1.0).contains(&reconnect.jitter), "jitter", "expected 0 to 1");
        let connect = self.connect_timeout.unwrap_or(Duration::MAX);
        Ranges::new()
            .duration("connect_timeout", connect)
            .duration("call_timeout", self.call_timeout)
            .durations("call_timeouts", &self.call_timeouts)
            .duration("keepalive_timeout", self.keepalive_timeout)
            .at_least_one("keepalive_count", self.keepalive_count)
            .at_least_one("post_queue", u32::try_from(*post_queue).unwrap_or(u32::MAX))
            .expect(self.post_bytes > 0, "post_bytes", "expected a size of at least 1B")
            .at_least_one("receive_queue", u32::try_from(self.receive_queue).unwrap_or(u32::MAX))
            .expect(self.receive_bytes > 0, "receive_bytes", "expected a size of at least 1B")
            .expect(self.low_water < 100, "low_water", "expected a whole number from 0 to 99")
            .below("reconnect", again.problems())
            .problems()
    }

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
