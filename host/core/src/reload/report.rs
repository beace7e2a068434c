//! What a reload came to, and which versions there are.

use super::Version;
use crate::config::ConfigErrors;
use crate::config::diff::Changes;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What asked for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadCause {
    /// The start of the host.
    Start,
    /// SIGHUP.
    Signal,
    /// A file has changed.
    Watch,
    /// A program, or a person by way of one.
    Call,
    /// A plugin that something waited for is there.
    Plugin,
    /// A version that was in force before.
    Rollback {
        /// Its number.
        to: u64,
    },
}

impl ReloadCause {
    /// Whether plugin files are looked at first: whoever asks for a reload means all that there is.
    pub(super) fn looks_at_plugins(self) -> bool {
        matches!(self, ReloadCause::Signal | ReloadCause::Call)
    }
}

impl fmt::Display for ReloadCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadCause::Start => f.write_str("start"),
            ReloadCause::Signal => f.write_str("SIGHUP"),
            ReloadCause::Watch => f.write_str("a file has changed"),
            ReloadCause::Call => f.write_str("call"),
            ReloadCause::Plugin => f.write_str("a plugin is there"),
            ReloadCause::Rollback { to } => write!(f, "rollback to version {to}"),
        }
    }
}

impl Serialize for ReloadCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a reload came to. `Display` writes one line for each object that is different, as the log has them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version in force now.
    pub version: u64,
    /// What asked for it.
    pub cause: ReloadCause,
    /// Whether nothing was changed in any case.
    pub dry_run: bool,
    /// What is different, and what taking it over does.
    pub changes: Changes,
    /// Plugin files that came, changed, went or were refused, a line for each.
    pub plugins: Vec<String>,
    /// The files of the version in force, in their order.
    pub files: Vec<PathBuf>,
    /// How long it took.
    #[serde(skip)]
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() && self.plugins.is_empty() {
            return f.write_str("nothing is different");
        }
        f.write_str(&self.plugins.join("\n"))?;
        if !self.changes.is_empty() && !self.plugins.is_empty() {
            writeln!(f)?;
        }
        self.changes.fmt(f)
    }
}

/// Why a reload has changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// Mistakes in the configuration, each with its place, or addresses that cannot be taken.
    Config(ConfigErrors),
    /// There is no such version.
    NoVersion {
        /// The one that was asked for.
        number: u64,
        /// Those that there are to go back to.
        known: Vec<u64>,
    },
    /// Another version is in force than was expected.
    OtherVersion {
        /// The one that was expected.
        expected: u64,
        /// The one in force.
        found: u64,
    },
    /// It could not be done at all.
    Failed(String),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Config(errors) => errors.fmt(f),
            ReloadError::NoVersion { number, known } if known.is_empty() => {
                write!(f, "expected an earlier version, and there is none yet, found {number}")
            }
            ReloadError::NoVersion { number, known } => {
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                write!(f, "expected one of the versions {}, found {number}", known.join(", "))
            }
            ReloadError::OtherVersion { expected, found } => {
                write!(
                    f,
                    "expected version {expected} of the configuration in force, found {found}"
                )
            }
            ReloadError::Failed(error) => write!(f, "the reload failed: {error}"),
        }
    }
}

impl std::error::Error for ReloadError {}

/// A version as others read it.
#[derive(Clone, Debug, Serialize)]
pub struct VersionSnapshot {
    /// Its number; the one of the start is 1.
    pub version: u64,
    /// Since when it is, or was, in force.
    #[serde(serialize_with = "seconds")]
    pub at: SystemTime,
    /// What asked for it.
    pub cause: ReloadCause,
    /// What was different to the one before.
    pub changes: Changes,
}

impl VersionSnapshot {
    pub(super) fn of(version: &Version) -> Self {
        let Version { number, at, cause, changes, .. } = version;
        VersionSnapshot { version: *number, at: *at, cause: *cause, changes: changes.clone() }
    }
}

/// Seconds since 1970.
fn seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_f64(since.as_secs_f64())
}
