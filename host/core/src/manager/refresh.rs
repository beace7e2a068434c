//! Plugin files that come, change and go under a host that runs.

use super::Manager;
use crate::driver::{PluginChange, PluginFolders, Refreshed};
use crate::events::EventKind;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What a look at the plugin folders came to.
#[derive(Debug, Default)]
pub struct PluginLook {
    /// What has changed.
    pub changes: Vec<PluginChange>,
    /// After how long a file that is being written should be looked at again.
    pub again: Option<Duration>,
}

/// The most users of a plugin that one line names.
const NAMED: usize = 8;

impl Manager {
    /// Looks at the plugin folders once, and takes over what is different: a new file is admitted, one with other
    /// content takes the place of what was loaded from it, and what was loaded from one that is gone gets no new
    /// sessions. Open sessions stay on the code that they were opened by in all cases. `thorough` judges again what was
    /// refused, too. Cancel safe: it is done all the same.
    pub async fn refresh_plugins(&self, thorough: bool) -> PluginLook {
        let manager = self.clone();
        let work = async move { manager.refresh_now(thorough).await };
        tokio::spawn(work).await.unwrap_or_default()
    }

    /// Starts the plugins that [`LoadOptions::only`](crate::driver::LoadOptions::only) has left. Whether there were any.
    /// Cancel safe: it is done all the same.
    pub(super) async fn start_rest(&self) -> bool {
        let manager = self.clone();
        let work = async move {
            let mut folders = manager.core.folders.lock().await;
            let Some(folders) = folders.as_mut() else { return false };
            let Some(next) = folders.start_rest(&manager.registry()).await else { return false };
            manager.core.registry.store(next.into());
            true
        };
        tokio::spawn(work).await.unwrap_or_default()
    }

    async fn refresh_now(&self, thorough: bool) -> PluginLook {
        let mut folders = self.core.folders.lock().await;
        let Some(folders) = folders.as_mut() else { return PluginLook::default() };
        let refreshed = folders.refresh(&self.registry(), thorough).await;
        let Refreshed { registry, changes, transports, again } = refreshed;
        if let Some(next) = registry {
            self.core.registry.store(next.into());
        }
        self.listen_anew(&transports).await;
        changes.iter().for_each(|change| self.tell_plugin(change));
        PluginLook { changes, again }
    }

    /// Sets how many different files of one plugin may be loaded.
    pub(crate) async fn limit_generations(&self, most: usize) {
        if let Some(folders) = self.core.folders.lock().await.as_mut() {
            folders.limit_generations(most);
        }
    }

    /// Where plugin files are looked for.
    pub(crate) async fn plugin_places(&self) -> Vec<PathBuf> {
        let folders = self.core.folders.lock().await;
        folders.iter().flat_map(PluginFolders::places).collect()
    }

    /// What listens by these transports does so by their present generation.
    async fn listen_anew(&self, transports: &[String]) {
        for running in self.core.listeners.running() {
            let target = running.target();
            let transport = target.stack().transport().map(|driver| driver.name().to_owned());
            if transport.is_none_or(|name| !transports.contains(&name)) {
                continue;
            }
            if let Err(error) = running.listen_anew().await {
                let listener = running.name();
                tracing::error!(listener, %error, "cannot listen by the new generation of its transport");
            }
        }
    }

    fn tell_plugin(&self, change: &PluginChange) {
        let text = |file: &PathBuf| file.display().to_string();
        let kind = match change {
            PluginChange::Admitted { id, parts } => EventKind::PluginAdmitted {
                plugin: id.plugin.clone(),
                version: id.version.clone(),
                generation: id.generation,
                file: text(&id.file),
                used_by: self.users_of(parts),
            },
            PluginChange::Replaced(id) => EventKind::PluginReplaced {
                plugin: id.plugin.clone(),
                version: id.version.clone(),
                generation: id.generation,
                file: text(&id.file),
            },
            PluginChange::Removed { id, parts, sessions } => EventKind::PluginRemoved {
                plugin: id.plugin.clone(),
                version: id.version.clone(),
                file: text(&id.file),
                sessions: *sessions,
                used_by: self.users_of(parts),
            },
            PluginChange::Refused { file, plugin, refusal, keeps } => EventKind::PluginRefused {
                plugin: plugin.clone(),
                file: text(file),
                code: refusal.code(),
                reason: refusal.to_string(),
                keeps: keeps.as_ref().map(|id| id.generation),
            },
        };
        self.events().announce(kind);
    }

    /// What is built on these drivers and handlers, by name; of many the first, and how many more there are.
    fn users_of(&self, parts: &[String]) -> Vec<String> {
        let uses = |stack: &str| stack.split('+').any(|part| parts.iter().any(|it| it == part));
        let mut users = BTreeSet::new();
        for entry in self.core.named.entries.all() {
            let target = entry.managed.get().map(|managed| managed.target());
            if target.is_some_and(|target| uses(&target.stack().name())) {
                users.insert(format!("connections.{}", entry.name));
            }
        }
        for device in self.core.devices.all() {
            for path in device.paths() {
                if uses(&path.managed().target().stack().name()) {
                    users.insert(format!("devices.{}.{}", device.name(), path.name()));
                }
            }
        }
        for upstream in self.upstreams() {
            if upstream.targets().iter().any(|(_, target)| uses(&target.stack().name())) {
                users.insert(format!("upstreams.{}", upstream.name()));
            }
        }
        for (name, entry) in self.core.handlers.all() {
            if uses(entry.config.handler.as_deref().unwrap_or(&name)) {
                users.insert(format!("handlers.{name}"));
            }
        }
        for running in self.core.listeners.running() {
            if uses(&running.target().stack().name()) {
                users.insert(format!("routes.{}", running.name()));
            }
        }
        let more = users.len().saturating_sub(NAMED);
        let mut named: Vec<String> = users.into_iter().take(NAMED).collect();
        named.extend((more > 0).then(|| format!("{more} more")));
        named
    }
}
