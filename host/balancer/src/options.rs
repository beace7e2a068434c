//! The options of balancing, as files and programs write them: `outlier`, `health`, `retry` and `slow_start` of an
//! upstream.

use jackfield_text::range::{Problem, Ranges};
use jackfield_text::units::Timespan;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// `outlier`: when a target that fails is passed over.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierOptions {
    /// Failures in a row until a target is ejected; at least 1. Default: 5.
    pub consecutive_failures: u32,
    /// How long the first ejection lasts; each further one that long more, up to ten times.
    /// Then one session at a time tries the target. Default: `"30s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub base_ejection: Duration,
    /// The most of the targets that are ejected at a time, in percent; of two or more, one may be in any case.
    /// 0 ejects none. When no target is healthy, all serve. Default: 50.
    pub max_ejected_percent: u32,
}

impl Default for OutlierOptions {
    fn default() -> Self {
        OutlierOptions {
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(30),
            max_ejected_percent: 50,
        }
    }
}

impl OutlierOptions {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .at_least_one("consecutive_failures", self.consecutive_failures)
            .duration("base_ejection", self.base_ejection)
            .percent("max_ejected_percent", self.max_ejected_percent)
            .problems()
    }

    /// How many of so many targets may be ejected at a time.
    pub fn max_ejected(&self, targets: usize) -> usize {
        match (self.max_ejected_percent, targets) {
            // Without another target an ejection would not help.
            (0, _) | (_, 0 | 1) => 0,
            (percent, _) => (targets * percent.min(100) as usize / 100).max(1),
        }
    }
}

/// `health`: active checks of the targets, by a session of their own and, where the driver has one, a ping on it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOptions {
    /// From one check of a target to the next, at most; up to a tenth less. A target that can be
    /// checked again serves again after `rise` such times. Default: `"30s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub interval: Duration,
    /// Time for one check. Default: `"5s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub timeout: Duration,
    /// Passed checks in a row until a target that is down serves again; at least 1. Default: 2.
    pub rise: u32,
    /// Failed checks in a row until it does not; at least 1. Default: 3.
    pub fall: u32,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 3,
        }
    }
}

impl CheckOptions {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .duration("interval", self.interval)
            .duration("timeout", self.timeout)
            .at_least_one("rise", self.rise)
            .at_least_one("fall", self.fall)
            .problems()
    }
}

/// `retry`: how often further targets are tried for one session.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOptions {
    /// Targets tried for one session, the first included; at least 1. Default: 3.
    pub attempts: u32,
    /// Further targets tried, in percent of sessions asked for, over about 10 seconds; 10 a second are free.
    /// Default: 20.
    pub budget_percent: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        RetryOptions { attempts: 3, budget_percent: 20 }
    }
}

impl RetryOptions {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .at_least_one("attempts", self.attempts)
            .percent("budget_percent", self.budget_percent)
            .problems()
    }
}

/// When targets are passed over, and how they come back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthOptions {
    /// Of active checks, how many count.
    pub checks: CheckOptions,
    /// When a target that fails is ejected.
    pub outlier: OutlierOptions,
    /// How long a target that has recovered, or was added later, takes to come to its whole share;
    /// zero at once. Default: zero.
    pub slow_start: Duration,
}
