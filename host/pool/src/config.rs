//! [`PoolOptions`]: the keys of `pool = { … }`, their defaults and limits.

use std::time::Duration;

use jackfield_plugin_api::{Error, Result};
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;

use jackfield_text::units::Timespan;

/// How large a pool is, how long its members live, and how long callers wait. Can be changed while
/// the pool works ([`Pool::set_options`](super::Pool::set_options)).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolOptions {
    /// Members kept open and unused, as far as `max_size` allows. Default: 0.
    pub min_idle: u32,
    /// Members kept open and unused at most; of more, the one that has been unused for longest is
    /// closed as soon as another comes back. At least `min_idle`. Default: 1048576, so that `max_size`
    /// decides.
    pub max_idle: u32,
    /// Members at most: unused, used and being opened together; at least 1. Default: 10.
    pub max_size: u32,
    /// A member unused for longer is closed, unless `min_idle` keeps it; `"0s"` never. Checked
    /// within a tenth of this time. Default: `"5m"`.
    pub max_idle_time: Timespan,
    /// An older member is closed as soon as it is not in use; `"0s"` never. Each member gets up to a
    /// tenth less, at random, so that they do not end all at once. Default: `"30m"`.
    pub max_lifetime: Timespan,
    /// How long a caller waits for a member, opening included; more than `"0s"`. Default: `"30s"`.
    pub acquire_timeout: Timespan,
    /// Callers that may wait while every member is in use; the next is refused. Those waiting for
    /// a member that is being opened for them do not count. Default: 1024.
    pub max_waiters: u32,
    /// Callers that may use one member at the same time, where its sessions carry several
    /// conversations; at least 1, which is exclusive use. Default: 1.
    pub share: u32,
    /// A member unused for longer is tested before it is handed out; `"0s"` tests always.
    /// Default: `"10s"`.
    pub test_idle: Timespan,
    /// How long that test, or the reset of a returned member, may take; more than `"0s"`. After it
    /// the member is closed. Default: `"5s"`.
    pub test_timeout: Timespan,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            min_idle: 0,
            max_idle: PoolOptions::MOST,
            max_size: 10,
            max_idle_time: Timespan::seconds(300),
            max_lifetime: Timespan::seconds(1800),
            acquire_timeout: Timespan::seconds(30),
            max_waiters: 1024,
            share: 1,
            test_idle: Timespan::seconds(10),
            test_timeout: Timespan::seconds(5),
        }
    }
}

impl PoolOptions {
    /// The most that a count of these options may be.
    pub const MOST: u32 = 1 << 20;

    /// Checks every value.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](jackfield_plugin_api::ErrorKind::Config), naming the first option at
    /// fault and what it may be.
    pub fn check(&self) -> Result<()> {
        match self.problems().into_iter().next() {
            Some(Problem { key, expected }) => Err(Error::option(&key, expected)),
            None => Ok(()),
        }
    }

    /// Every option that is out of range, and what it may be.
    pub fn problems(&self) -> Vec<Problem> {
        let counts = [
            ("min_idle", self.min_idle, 0, self.max_size),
            ("max_idle", self.max_idle, 0, Self::MOST),
            ("max_size", self.max_size, 1, Self::MOST),
            ("max_waiters", self.max_waiters, 0, Self::MOST),
            ("share", self.share, 1, Self::MOST),
        ];
        let mut found = Ranges::new();
        for (name, value, least, most) in counts {
            let text = if name == "min_idle" { "max_size".into() } else { most.to_string() };
            let expected = format!("expected {least} to {text}, not {value}");
            found = found.expect((least..=most).contains(&value), name, expected);
        }
        let expected = format!("expected at least min_idle, not {}", self.max_idle);
        found = found.expect(self.max_idle >= self.min_idle, "max_idle", expected);
        for (name, value) in
            [("acquire_timeout", self.acquire_timeout), ("test_timeout", self.test_timeout)]
        {
            found = found.expect(!value.is_zero(), name, "expected more than \"0s\"");
        }
        found.problems()
    }
}

/// The same in the units the state machine computes with.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) min_idle: usize,
    pub(super) max_idle: usize,
    pub(super) max_size: usize,
    pub(super) max_idle_time: Option<Duration>,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) acquire_timeout: Duration,
    pub(super) max_waiters: usize,
    pub(super) share: usize,
    pub(super) test_idle: Duration,
    pub(super) test_timeout: Duration,
}

impl From<&PoolOptions> for Bounds {
    fn from(options: &PoolOptions) -> Self {
        let count = |value| usize::try_from(value).unwrap_or(usize::MAX);
        let unless_zero = |span: Timespan| (!span.is_zero()).then_some(span.0);
        Self {
            min_idle: count(options.min_idle),
            max_idle: count(options.max_idle),
            max_size: count(options.max_size),
            max_idle_time: unless_zero(options.max_idle_time),
            max_lifetime: unless_zero(options.max_lifetime),
            acquire_timeout: options.acquire_timeout.0,
            max_waiters: count(options.max_waiters),
            share: count(options.share),
            test_idle: options.test_idle.0,
            test_timeout: options.test_timeout.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PoolOptions;
    use jackfield_text::units::Timespan;

    #[test]
    fn defaults_are_those_documented() {
        let documented = r#"{
            "min_idle": 0, "max_idle": 1048576, "max_size": 10, "max_idle_time": "5m", "max_lifetime": "30m",
            "acquire_timeout": "30s", "max_waiters": 1024, "share": 1, "test_idle": "10s",
            "test_timeout": "5s"
        }"#;
        for text in [documented, "{}"] {
            let parsed: PoolOptions = serde_json::from_str(text).unwrap();
            assert_eq!(parsed, PoolOptions::default());
        }
        PoolOptions::default().check().unwrap();
        assert!(serde_json::from_str::<PoolOptions>(r#"{ "max_sise": 3 }"#).is_err());
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let default = PoolOptions::default;
        let bad = [
            (PoolOptions { max_size: 0, ..default() }, "expected 1 to 1048576, not 0"),
            (PoolOptions { min_idle: 11, ..default() }, "expected 0 to max_size, not 11"),
            (
                PoolOptions { min_idle: 2, max_idle: 1, ..default() },
                "expected at least min_idle, not 1",
            ),
            (PoolOptions { share: 0, ..default() }, "expected 1 to 1048576, not 0"),
            (
                PoolOptions { acquire_timeout: Timespan::seconds(0), ..default() },
                "expected more than \"0s\"",
            ),
        ];
        let names = ["max_size", "min_idle", "max_idle", "share", "acquire_timeout"];
        for ((options, expected), name) in bad.iter().zip(names) {
            let error = options.check().unwrap_err();
            assert_eq!(error.message(), *expected);
            assert_eq!(error.context().next(), Some(("option", name)));
        }
    }
}
