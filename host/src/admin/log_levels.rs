//! [`LogLevels`]: what a program that has a log gives the admin API, so that its level can be changed for a time.

use serde::Serialize;
use std::time::Duration;

/// A level of the log for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelChange {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The driver whose lines it is for; `None`: all lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// How long.
    #[serde(skip)]
    pub within: Duration,
}

/// A log whose level can be changed while it is written.
pub trait LogLevels: Send + Sync {
    /// Puts a level in force for a time; after it the configured one is in force again. One more for the same driver
    /// takes the place of the one before.
    ///
    /// # Errors
    /// In words, if it cannot be.
    fn change(&self, change: &LevelChange) -> Result<(), String>;

    /// The level that is configured, and the changes in force, each with the milliseconds that are left to it.
    fn levels(&self) -> (String, Vec<(LevelChange, u64)>);
}
