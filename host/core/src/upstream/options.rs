//! [`UpstreamOptions`]: how an upstream serves, as files and programs say it.

use crate::connection::{KeepAlive, Policy};
use crate::pool::PoolOptions;
use crate::units::Timespan;
use jackfield_balancer::{Balance, CheckOptions, HealthOptions, OutlierOptions, RetryOptions};
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How an upstream serves: keys of `[upstreams.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UpstreamOptions {
    /// How the next target is picked. Default: `"round_robin"`.
    pub balance: Balance,
    /// Until a session is open, over all layers and all targets tried; with a pool, for each session that is
    /// opened for it, and `acquire_timeout` is over all. Default: the sum of `host.timeouts.connect` and
    /// `host.timeouts.handshake`; 20 s for what a program makes itself.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub connect_timeout: Option<Duration>,
    /// The most that one operation may take, from asking for a session to its result, over all targets
    /// tried. Default: `"1m"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub call_timeout: Duration,
    /// The same for single operations, by their names: `{ exec = "5m" }`. Default: none.
    #[serde(with = "jackfield_text::with::durations")]
    #[schemars(with = "BTreeMap<String, Timespan>")]
    pub call_timeouts: BTreeMap<String, Duration>,
    /// A pool of sessions for each target. Default: none, so that each session is opened when it is
    /// asked for; `{}` is with the defaults below.
    pub pool: Option<PoolOptions>,
    /// How sessions are kept between two requests that are forwarded, where there is no pool.
    pub keepalive: KeepAlive,
    /// Active checks of the targets. Default: none; `{}` is with the defaults below.
    pub health: Option<CheckOptions>,
    /// When a target that fails is passed over.
    pub outlier: OutlierOptions,
    /// How often further targets are tried.
    pub retry: RetryOptions,
    /// How long a target that has recovered, or was added, takes to come to its whole share;
    /// `"0s"` at once. Default: `"0s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub slow_start: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        UpstreamOptions {
            balance: Balance::default(),
            connect_timeout: None,
            call_timeout: Policy::CALL_TIMEOUT,
            call_timeouts: BTreeMap::new(),
            pool: None,
            keepalive: KeepAlive::default(),
            health: None,
            outlier: OutlierOptions::default(),
            retry: RetryOptions::default(),
            slow_start: Duration::ZERO,
        }
    }
}

impl UpstreamOptions {
    /// The most that opening one session may take.
    pub fn connect_limit(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(20))
    }

    /// Values out of range, and those that have no effect.
    pub fn problems(&self) -> Vec<Problem> {
        let pool = self.pool.as_ref().map(PoolOptions::problems).unwrap_or_default();
        let health = self.health.as_ref().map(CheckOptions::problems).unwrap_or_default();
        let in_vain = self.pool.is_some() && self.keepalive != KeepAlive::default();
        Ranges::new()
            .duration("connect_timeout", self.connect_timeout.unwrap_or(Duration::MAX))
            .duration("call_timeout", self.call_timeout)
            .durations("call_timeouts", &self.call_timeouts)
            .below("pool", pool)
            .below("keepalive", self.keepalive.problems())
            .expect(
                !in_vain,
                "keepalive",
                "has no effect: with a pool, sessions are kept as the pool says",
            )
            .below("health", health)
            .below("outlier", self.outlier.problems())
            .below("retry", self.retry.problems())
            .problems()
    }

    /// What decides which targets serve.
    pub(super) fn health_options(&self) -> HealthOptions {
        HealthOptions {
            checks: self.health.clone().unwrap_or_default(),
            outlier: self.outlier.clone(),
            slow_start: self.slow_start,
        }
    }
}
