//! [`KeepAlive`]: the keys of `keepalive = { … }`, their defaults and limits.

use crate::pool::PoolOptions;
use crate::units::Timespan;
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Sessions of a target that have answered a request and wait for the next one, of whichever peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepAlive {
    /// Sessions of one target that wait at most; the one that has waited longest makes room. 0 keeps
    /// none, so that each request gets a session of its own. Default: 128.
    pub max_idle: u32,
    /// One that has waited for longer is closed; more than `"0s"`. Best shorter than the time after
    /// which the target closes them. Default: `"30s"`.
    pub max_idle_time: Timespan,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive { max_idle: 128, max_idle_time: Timespan::seconds(30) }
    }
}

impl KeepAlive {
    /// A pool that keeps sessions so, and has as many as are wanted at once; opening one may take
    /// `connect_limit`. A session is neither tested nor too old: what may be asked twice is, if the session
    /// turns out to have gone, and what may not is sent over one that was in use a moment ago.
    pub(super) fn pool_options(self, connect_limit: Duration) -> PoolOptions {
        let never = Timespan(Duration::ZERO);
        PoolOptions {
            min_idle: 0,
            max_idle: self.max_idle,
            max_size: PoolOptions::MOST,
            max_idle_time: self.max_idle_time,
            max_lifetime: never,
            acquire_timeout: Timespan(connect_limit.max(Duration::from_millis(1))),
            max_waiters: PoolOptions::MOST,
            share: 1,
            test_idle: Timespan(Duration::MAX),
            ..PoolOptions::default()
        }
    }

    /// Every option that is out of range, and what it may be.
    pub fn problems(&self) -> Vec<Problem> {
        let most = PoolOptions::MOST;
        let expected = format!("expected 0 to {most}, not {}", self.max_idle);
        Ranges::new()
            .expect(self.max_idle <= most, "max_idle", expected)
            .expect(!self.max_idle_time.is_zero(), "max_idle_time", "expected more than \"0s\"")
            .problems()
    }
}
