//! [`DiscoverOptions`]: targets of an upstream that are found by name.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

use super::tree::Options;
use crate::stack::uri::StackUri;
use crate::units::Timespan;
use jackfield_text::range::{Problem, Ranges};

/// `discover` of an upstream: further targets, from SRV records (RFC 2782).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverOptions {
    /// Services, as URIs whose host is the name of one: `"http://_http._tcp.example.com"`. Each of its records is a
    /// target with the host, port and weight of the record; those of the best priority have priority 0. Default: none.
    pub services: Vec<StackUri>,
    /// Options of the drivers in the stacks of these targets. Default: none.
    pub options: Options,
    /// Targets of one service at most, those of the best priority; 1 to 1000. Default: 64.
    pub most: u32,
    /// The least time between two lookups, however short the TTL of the answer is. Default: `"5s"`.
    pub least_interval: Timespan,
    /// The longest time between two lookups, and that after one that has failed. Default: `"1m"`.
    pub most_interval: Timespan,
}

impl Default for DiscoverOptions {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            options: Options::default(),
            most: 64,
            least_interval: Timespan::seconds(5),
            most_interval: Timespan::seconds(60),
        }
    }
}

impl DiscoverOptions {
    /// Values out of range, but for those of single services.
    pub fn problems(&self) -> Vec<Problem> {
        let (least, most) = (self.least_interval.0, self.most_interval.0);
        Ranges::new()
            .expect(
                (1..=1000).contains(&self.most),
                "most",
                "expected a whole number from 1 to 1000",
            )
            .expect(!least.is_zero(), "least_interval", "expected a duration of at least 1ms")
            .expect(least <= most, "most_interval", "expected no less than least_interval")
            .problems()
    }

    /// When a service is looked up again whose records hold for `ttl`.
    pub fn interval(&self, ttl: Option<Duration>) -> Duration {
        let most = self.most_interval.0;
        ttl.unwrap_or(most).clamp(self.least_interval.0, most)
    }
}
