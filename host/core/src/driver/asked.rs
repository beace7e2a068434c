//! [`RunningPlugin`]: a plugin as a whole, asked how it is and told that it is not needed any more.

use super::generation::GenerationId;
use super::health::FileHealth;
use super::registry::Registry;
use crate::lock::IgnorePoison;
use jackfield_plugin_api::load::Plugin;
use jackfield_plugin_api::{HealthStatus, PartHealth, PluginHealth};
use jackfield_timers::timeout;
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

/// A plugin that runs.
#[derive(Debug)]
pub struct RunningPlugin {
    name: String,
    version: String,
    plugin: Plugin,
    health: Arc<FileHealth>,
    /// What a thread that is in its `health` will say; it is asked once at a time.
    running: tokio::sync::Mutex<Option<oneshot::Receiver<PluginHealth>>>,
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
    pub(super) fn new(plugin: Plugin, id: &GenerationId, health: &Arc<FileHealth>) -> Self {
        RunningPlugin {
            name: id.plugin.clone(),
            version: id.version.clone(),
            plugin,
            health: Arc::clone(health),
            running: tokio::sync::Mutex::default(),
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
            quarantine: self.health.reason().map(|reason| reason.to_string()),
            health: self.last.lock().ignore_poison().clone(),
        }
    }

    /// Asks how it is, on a thread of its own. One that does not answer within `limit` has failed; it is asked
    /// once at a time, so that one which never answers keeps one thread. Cancel safe.
    pub async fn ask(&self, limit: Duration) -> PluginHealth {
        let answer = self.answer(limit).await.unwrap_or_else(|text| failed(&self.name, text));
        *self.last.lock().ignore_poison() = Some(answer.clone());
        answer
    }

    async fn answer(&self, limit: Duration) -> Result<PluginHealth, String> {
        let asking = async {
            let mut running = self.running.lock().await;
            // An answer that came after its caller stopped waiting is old.
            let goes_on = running.as_mut().is_some_and(|answer| {
                matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
            });
            if !goes_on {
                *running = Some(self.begin()?);
            }
            let answer = match running.as_mut() {
                Some(answer) => answer.await,
                None => return Err("it was not asked".to_owned()),
            };
            *running = None;
            answer.map_err(|_| "it panicked while it reported its health".to_owned())
        };
        let late = |_| Err(format!("no health report within {limit:?}"));
        timeout(limit, asking).await.unwrap_or_else(late)
    }

    /// Asks on a thread of its own.
    fn begin(&self) -> Result<oneshot::Receiver<PluginHealth>, String> {
        let (send, receive) = oneshot::channel();
        let plugin = self.plugin.clone();
        let ask = move || {
            // The receiver is gone when the plugin is.
            let _ = send.send(plugin.health());
        };
        let thread = std::thread::Builder::new().name("plugin-health".to_owned());
        thread.spawn(ask).map_err(|error| format!("it could not be asked: {error}"))?;
        Ok(receive)
    }

    /// Lets it end what it does beside its sessions, at most for `limit`; one in quarantine is not told.
    /// Answers whether it did in time.
    async fn drain(&self, limit: Duration) -> bool {
        if self.health.reason().is_some() {
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
        let running = self.running();
        let asking = running.iter().map(|plugin| async move {
            plugin.ask(limit).await;
            plugin.state()
        });
        futures_util::future::join_all(asking).await
    }

    /// Lets all plugins end what they do beside their sessions, at the same time, at most for `limit`; they
    /// take no new work after it. Returns how many did not in time. Cancelled, it waits no longer.
    pub async fn drain(&self, limit: Duration) -> usize {
        let running: Vec<_> = self.running().into_iter().chain(self.retired_running()).collect();
        let draining = running.iter().map(|plugin| plugin.drain(limit));
        let done = futures_util::future::join_all(draining).await;
        done.into_iter().filter(|in_time| !in_time).count()
    }
}
