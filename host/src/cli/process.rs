//! What the process takes over of a change of its configuration, beside the host in it: its log, the limit of open files,
//! and how long its end and an upgrade may take.

use super::descriptors::raise_limit;
use super::log::LogControl;
use crate::config::diff::{Changes, ObjectId, ObjectKind};
use crate::config::{ConfigErrors, Loaded};
use crate::reload::{Adoption, ConfigFollower};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// A time that may change.
pub(super) type LiveTime = Arc<ArcSwap<Duration>>;

/// A time that is `time` until it is changed.
pub(super) fn live(time: Duration) -> LiveTime {
    Arc::new(ArcSwap::from_pointee(time))
}

/// What follows the configuration in force.
#[derive(Clone)]
pub(super) struct ProcessSettings {
    pub(super) log: Arc<LogControl>,
    /// How often `-v` was given.
    pub(super) verbose: u8,
    pub(super) shutdown: LiveTime,
    pub(super) upgrade: LiveTime,
}

impl ConfigFollower for ProcessSettings {
    fn prepare(
        &self,
        loaded: &Loaded,
        changes: &Changes,
        _: bool,
    ) -> Result<Adoption, ConfigErrors> {
        let change = |kind| changes.of(&ObjectId::new(kind, ""));
        let is_other = |kind| change(kind).is_some();
        let keys = change(ObjectKind::Host).into_iter().flat_map(|change| &change.keys);
        let needs_files = keys.into_iter().any(|key| key.key == "max_connections");
        let own = self.clone();
        let log = is_other(ObjectKind::Log).then(|| loaded.config.log.clone());
        let host = is_other(ObjectKind::Host).then(|| loaded.config.host.clone());
        Ok(Box::new(move || {
            if let Some(log) = log {
                own.log.configure(&log, own.verbose);
            }
            if let Some(host) = host {
                own.shutdown.store(Arc::new(host.shutdown_timeout.0));
                own.upgrade.store(Arc::new(host.timeouts.upgrade.0));
                if needs_files {
                    raise_limit(&host, true);
                }
            }
        }))
    }
}
