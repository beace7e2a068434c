//! The keys of `[upstreams.NAME]`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::connection::CALL_TIMEOUT;
use super::target::Target;
use crate::connection::KeepAlive;
use crate::pool::PoolOptions;
use crate::units::Timespan;
use crate::upstream::{STRATEGIES, StrategyInfo, strategy};

/// `[upstreams.NAME]`: a named set of targets.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Where sessions can be taken: URIs, names of connections and paths of devices, or tables with `uri`
    /// or `to`, `weight`, `priority`, `max_connections`, `labels` and, beside `uri`, `options`, `via`,
    /// `login` and `credentials`. At least one.
    pub targets: Vec<Target>,
    /// How the next target is picked. Default: `"round_robin"`.
    pub balance: Balance,
    /// What stands around the operations that are run on its targets, as for connections. Default: `[]`.
    pub interceptors: Vec<String>,
    /// Until a session is open, over all layers and all targets tried. Default: the sum of
    /// `host.timeouts.connect` and `host.timeouts.handshake`.
    pub connect_timeout: Option<Timespan>,
    /// The most that one operation may take, from asking for a session to its result, over all targets
    /// tried. Default: `"1m"`.
    pub call_timeout: Timespan,
    /// The same for single operations, by their names: `{ exec = "5m" }`. Default: none.
    pub call_timeouts: BTreeMap<String, Timespan>,
    /// A pool of sessions for each target. Default: none, so that each session is opened when it is
    /// asked for; `{}` is with the defaults below.
    pub pool: Option<PoolOptions>,
    /// How sessions are kept between two requests that are forwarded, where there is no pool.
    pub keepalive: KeepAlive,
    /// Active checks of the targets. Default: none; `{}` is with the defaults below.
    pub health: Option<HealthConfig>,
    /// When a target that fails is passed over.
    pub outlier: OutlierConfig,
    /// How often further targets are tried.
    pub retry: RetryConfig,
    /// How long a target that has recovered, or was added, takes to come to its whole share;
    /// `"0s"` at once. Default: `"0s"`.
    pub slow_start: Timespan,
}

/// `health`: active checks of an upstream's targets, by a session of their own and, where the
/// driver has one, a ping on it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// From one check of a target to the next. Default: `"30s"`.
    pub interval: Timespan,
    /// Time for one check. Default: `"5s"`.
    pub timeout: Timespan,
    /// Passed checks in a row until a target serves again. Default: 2.
    pub rise: u32,
    /// Failed checks in a row until it does not. Default: 3.
    pub fall: u32,
}

/// `outlier`: when a target that fails is passed over.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierConfig {
    /// Failures in a row until a target is ejected. Default: 5.
    pub consecutive_failures: u32,
    /// How long the first ejection lasts; each further one that long more, up to ten times.
    /// Then one session at a time tries the target. Default: `"30s"`.
    pub base_ejection: Timespan,
    /// The most of the targets that are ejected at a time; of two or more, one may be in any case.
    /// 0 ejects none. When no target is healthy, all serve. Default: 50.
    pub max_ejected_percent: u32,
}

/// `retry`: how often further targets are tried for one session.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Targets tried, the first included. Default: 3.
    pub attempts: u32,
    /// Further targets tried, in percent of sessions; 10 a second are free. Default: 20.
    pub budget_percent: u32,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            balance: Balance::default(),
            interceptors: Vec::new(),
            connect_timeout: None,
            call_timeout: CALL_TIMEOUT,
            call_timeouts: BTreeMap::new(),
            pool: None,
            keepalive: KeepAlive::default(),
            health: None,
            outlier: OutlierConfig::default(),
            retry: RetryConfig::default(),
            slow_start: Timespan::default(),
        }
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { interval: Timespan::seconds(30), timeout: Timespan::seconds(5), rise: 2, fall: 3 }
    }
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            base_ejection: Timespan::seconds(30),
            max_ejected_percent: 50,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { attempts: 3, budget_percent: 20 }
    }
}

/// How an upstream picks its next target: a name out of [`STRATEGIES`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance(pub &'static StrategyInfo);

impl Default for Balance {
    fn default() -> Self {
        Self(&STRATEGIES[0])
    }
}

static NAMES: LazyLock<Vec<&str>> =
    LazyLock::new(|| STRATEGIES.iter().map(|info| info.name).collect());

struct BalanceVisitor;

impl de::Visitor<'_> for BalanceVisitor {
    type Value = Balance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
        write!(f, "one of {}", quoted.join(", "))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Balance, E> {
        strategy::find(text).map(Balance).ok_or_else(|| E::unknown_variant(text, &NAMES))
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BalanceVisitor)
    }
}

impl JsonSchema for Balance {
    fn schema_name() -> Cow<'static, str> {
        "Balance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let each: Vec<Schema> = STRATEGIES
            .iter()
            .map(|info| json_schema!({ "const": info.name, "description": info.summary }))
            .collect();
        json_schema!({ "oneOf": each })
    }
}
