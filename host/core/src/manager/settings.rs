//! What of `[host]` and `[plugins]` a running host takes over: limits, times, rates, secrets and folders, each where it
//! is in force. What only a restart changes has its old value in what is taken over.

use super::Manager;
use super::health;
use super::parts::{Parts, common};
use super::plugins::unreadable;
use crate::config::model::{HostConfig, RefusedPlugins};
use crate::config::{ConfigErrors, Loaded};
use std::sync::Arc;

impl Manager {
    /// Takes over limits, times and rates. No session ends: what is beyond a lower limit goes on.
    pub(super) fn take_over_settings(&self, loaded: &Loaded) {
        let before = self.core.host.swap(Arc::new(loaded.config.host.clone()));
        let host = &loaded.config.host;
        let per_peer = Some(host.max_connections_per_peer as usize).filter(|most| *most > 0);
        let room = host.timeouts.room.0;
        self.core.named.lives.set_limits(host.max_connections as usize, room, per_peer);
        self.core.pooled.set_most(host.limits.pooled);
        self.core.listeners.set_shutdown_timeout(host.shutdown_timeout.0);
        self.events().set_limits(host.limits.events);
        self.core.common.take_over(&common(loaded));
        self.take_over_names(host);
        #[cfg(feature = "otlp")]
        self.take_over_traces(loaded);
        let asked = |host: &HostConfig| (host.health_interval, host.timeouts.health);
        if asked(&before) != asked(host) {
            self.watch_health();
        }
    }

    /// Asks plugins how they are, as the host says now, in place of how it was done before.
    pub(super) fn watch_health(&self) {
        let host = self.core.host();
        let mut held = self.held();
        if let Some(before) = held.health.take() {
            before.abort();
        }
        if !host.health_interval.is_zero() {
            let core = Arc::downgrade(&self.core);
            let (interval, limit) = (host.health_interval.0, host.timeouts.health.0);
            held.health = Some(held.checks.spawn(health::watch(core, interval, limit)));
        }
    }

    /// Looks for plugins as `loaded` says from now on. Answers whether other files may come or go by that.
    ///
    /// # Errors
    /// Folders that cannot be read or have no plugin, where `host.refused_plugins` is `"stop"`; nothing has changed
    /// then.
    pub(crate) async fn search_plugins(&self, loaded: &Loaded) -> Result<bool, ConfigErrors> {
        let mut folders = self.core.folders.lock().await;
        let Some(folders) = folders.as_mut() else { return Ok(false) };
        let (options, named) = (Parts::load_options(loaded), loaded.plugin_folders());
        if folders.are_others(&named) {
            let faults = unreadable(loaded, &named);
            if !faults.is_empty() && loaded.config.host.refused_plugins == RefusedPlugins::Stop {
                return Err(ConfigErrors::new(faults));
            }
            faults.iter().for_each(|fault| tracing::warn!("{fault}"));
        }
        Ok(folders.take_over(options, named))
    }
}
