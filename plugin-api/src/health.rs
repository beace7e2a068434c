//! [`Health`]: what a driver or handler says of its own state.

use serde::{Deserialize, Serialize};

/// How well something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HealthStatus {
    /// It works.
    #[default]
    Ok = 0,
    /// It does not work.
    Failed = 2,
    /// It does less than it should, or a newer plugin says what this host does not know.
    #[serde(other)]
    Degraded = 1,
}

/// The state of a driver or handler, as it is when asked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Health {
    /// How well it is.
    pub status: HealthStatus,
    /// Why, in one line; empty where all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Health {
    /// All is well.
    pub const fn ok() -> Self {
        Health { status: HealthStatus::Ok, detail: String::new() }
    }
    /// It works, but not as well as it should.
    pub fn degraded(detail: impl Into<String>) -> Self {
        Health { status: HealthStatus::Degraded, detail: detail.into() }
    }
    /// It does not work.
    pub fn failed(detail: impl Into<String>) -> Self {
        Health { status: HealthStatus::Failed, detail: detail.into() }
    }
}

/// The state of all parts of a plugin.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PluginHealth {
    /// The worst of its parts.
    pub status: HealthStatus,
    /// Each driver, and each handler once for each place where its options stand.
    pub parts: Vec<PartHealth>,
}

/// The state of one part of a plugin.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PartHealth {
    /// `driver` or `handler`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its state.
    #[serde(flatten)]
    pub health: Health,
}

impl PluginHealth {
    pub(crate) fn of(parts: Vec<PartHealth>) -> Self {
        let status = parts.iter().map(|part| part.health.status).max().unwrap_or_default();
        PluginHealth { status, parts }
    }

    /// Of a plugin that does not say it.
    #[cfg(feature = "host")]
    pub(crate) fn unknown() -> Self {
        let text = "its health is unknown: it panicked, or its answer is malformed";
        PluginHealth::of(vec![PluginHealth::part("plugin", "", Health::failed(text))])
    }

    pub(crate) fn part(kind: &str, name: &str, health: Health) -> PartHealth {
        PartHealth { kind: kind.to_owned(), name: name.to_owned(), health }
    }
}
