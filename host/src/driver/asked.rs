//! [`RunningPlugin`]: a plugin as a whole, asked how it is and told that it is not needed any more.

use super::health::Health;
use super::registry::Registry;
use jackfield_plugin_api::load::Plugin;
use jackfield_plugin_api::{HealthStatus, PartHealth, PluginHealth, PluginManifest};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A plugin that runs.
#[derive(Debug)]
pub struct RunningPlugin {
    name: String,
    version: String,
    plugin: Plugin,
    health: Arc<Health>,
    /// Whether a thread is in its `health` now.
    asking: Arc<AtomicBool>,
    last: Mutex<Option<PluginHealth>>,
}

/// How a plugin is, by its own word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PluginState {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Why it is not used any more; `None` while it is.
    pub quarantine: Option<String>,
    /// What it said when it was last asked; `None` before that.
    pub health: Option<PluginHealth>,
}

impl RunningPlugin {
    pub(super) fn new(plugin: Plugin, manifest: &PluginManifest, health: &Arc<Health>) -> Self {
        RunningPlugin {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            plugin,
            health: Arc::clone(health),
            asking: Arc::default(),
            last: Mutex::default(),
        }
    }

    /// Its package's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it was when it was last asked.
    pub fn state(&self) -> PluginState {
        PluginState {
            name: self.name.clone(),
            version: self.version.clone(),
            quarantine: self.health.quarantine().map(ToString::to_string),
            health: self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Asks how it is, on a thread of its own. One that does not answer within `limit` has failed, and is
    /// not asked again until it does. Cancel safe.
    pub async fn ask(&self, limit: Duration) -> PluginHealth {
        let answer = self.answer(limit).await.unwrap_or_else(|text| failed(&self.name, text));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
        answer
    }

    async fn answer(&self, limit: Duration) -> Result<PluginHealth, String> {
        if self.asking.swap(true, Ordering::AcqRel) {
            return Err("it still does not say how it is".to_owned());
        }
        let (send, receive) = oneshot::channel();
        let (plugin, asking) = (self.plugin.clone(), Arc::clone(&self.asking));
        let ask = move || {
            let answer = plugin.health();
            asking.store(false, Ordering::Release);
            // The receiver is gone when the time is over.
            let _ = send.send(answer);
        };
        let started = std::thread::Builder::new().name("plugin-health".to_owned()).spawn(ask);
        if let Err(error) = started {
            self.asking.store(false, Ordering::Release);
            return Err(format!("it could not be asked: {error}"));
        }
        match timeout(limit, receive).await {
            Ok(Ok(health)) => Ok(health),
            Ok(Err(_)) => Err("it panicked when it was asked".to_owned()),
            Err(_) => Err(format!("it did not say how it is within {limit:?}")),
        }
    }

    /// Lets it end what it does beside its sessions, at most for `limit`; one in quarantine is not told.
    /// Answers whether it did in time.
    async fn drain(&self, limit: Duration) -> bool {
        if self.health.quarantine().is_some() {
            return true;
        }
        let plugin = self.plugin.clone();
        // On a task: should its code block, this does not.
        let mut task = tokio::spawn(async move { plugin.drain(limit).await });
        let plugin = self.name.as_str();
        match timeout(limit, &mut task).await {
            Ok(Ok(Ok(()))) => true,
            Ok(Ok(Err(error))) => {
                tracing::warn!(plugin, %error, "a plugin was not drained");
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(plugin, %error, "a plugin was not drained");
                true
            }
            Err(_) => {
                task.abort();
                tracing::warn!(plugin, ?limit, "a plugin was not drained in time");
                false
            }
        }
    }
}

fn failed(name: &str, text: String) -> PluginHealth {
    let mut part = PartHealth::default();
    part.kind = "plugin".to_owned();
    part.name = name.to_owned();
    part.health = jackfield_plugin_api::Health::failed(text);
    let mut health = PluginHealth::default();
    health.status = HealthStatus::Failed;
    health.parts = vec![part];
    health
}

impl Registry {
    /// Asks all plugins how they are, at the same time, each for at most `limit`. Cancel safe.
    pub async fn ask_health(&self, limit: Duration) -> Vec<PluginState> {
        let asking = self.running().iter().map(|plugin| async move {
            plugin.ask(limit).await;
            plugin.state()
        });
        futures_util::future::join_all(asking).await
    }

    /// Lets all plugins end what they do beside their sessions, at the same time, at most for `limit`; they
    /// take no new work after it. Answers how many did not in time. Cancelled, it waits no longer.
    pub async fn drain(&self, limit: Duration) -> usize {
        let draining = self.running().iter().map(|plugin| plugin.drain(limit));
        let done = futures_util::future::join_all(draining).await;
        done.into_iter().filter(|in_time| !in_time).count()
    }
}
