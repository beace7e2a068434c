//! [`KeepAlive`]: the keys of `keepalive = { … }`, their defaults and limits.

use crate::units::Timespan;
use schemars::JsonSchema;
use serde::Deserialize;

/// The most that `max_idle` may be.
const MOST: u32 = 1 << 20;

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
    /// Every option that is out of range, and what it may be.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.max_idle > MOST {
            let text = format!("expected 0 to {MOST}, not {}", self.max_idle);
            problems.push(("max_idle", text));
        }
        if self.max_idle_time.is_zero() {
            problems.push(("max_idle_time", "expected more than \"0s\"".to_owned()));
        }
        problems
    }
}
