//! What all sessions of the driver share.

use jackfield_plugin_api::{Health, HealthStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, PoisonError};

/// How the driver says it is, and how it takes being drained.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ail {
    /// What it says.
    pub(crate) status: Status,
    /// Why.
    pub(crate) detail: String,
    /// Whether it is never drained.
    pub(crate) keeps_on: bool,
}

/// What it says when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    Ok,
    Degraded,
    Failed,
    /// Nothing, until it is told something else.
    Hang,
}

/// Shared by the driver and its sessions.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sessions: AtomicU64,
    ail: Mutex<Ail>,
    changed: Condvar,
}

impl State {
    pub(crate) fn set(&self, ail: Ail) {
        *self.ail.lock().unwrap_or_else(PoisonError::into_inner) = ail;
        self.changed.notify_all();
    }

    pub(crate) fn keeps_on(&self) -> bool {
        self.ail.lock().unwrap_or_else(PoisonError::into_inner).keeps_on
    }

    pub(crate) fn health(&self) -> Health {
        let ail = self.ail.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = |ail: &mut Ail| ail.status == Status::Hang;
        let ail = self.changed.wait_while(ail, hangs).unwrap_or_else(PoisonError::into_inner);
        let mut health = Health::ok();
        health.status = match ail.status {
            Status::Degraded => HealthStatus::Degraded,
            Status::Failed => HealthStatus::Failed,
            Status::Ok | Status::Hang => HealthStatus::Ok,
        };
        health.detail.clone_from(&ail.detail);
        health
    }
}
