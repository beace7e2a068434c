//! The manager: owns drivers, named connections, upstreams, handlers, listeners and what lives.
//!
//! [`Graph`] is a configuration made whole and not yet listening: `check` ends there, and so do the
//! commands that only connect. [`Manager`] is a graph that listens. A graph with a mistake anywhere
//! is not made at all, and a manager that cannot take one address takes none.
//!
//! Named connections come from the configuration, or are defined at run time by the verbs of
//! [`Graph`]: `define`, `register`, `adopt`, `connection`, `get_or_connect`, `is_connected`, `find`,
//! `connect_all`, `disconnect_all`, `unregister`, `unregister_all`, `destroy`, `destroy_all`. Devices and their paths
//! come and go by `define_device`, `define_path`, `define_path_like`, `remove_path`, `remove_device`,
//! `alias_device` and `unalias_device`, and are connected by `connect_paths` and `disconnect_paths`; targets
//! of upstreams by `add_target`, `remove_target`, `weigh_target` and `drain_target`. [`Graph::call`],
//! [`Graph::post`] and [`Graph::open`] take any of these by its name. With `host.state_dir`, what was defined at run
//! time is there again after a restart, whatever ended the host.

mod all;
mod build;
mod builder;
mod connections;
mod credentials;
mod define;
mod definition;
mod devices;
mod entries;
mod filter;
mod graph;
mod health;
mod interceptors;
mod listen;
mod named;
mod parts;
mod paths;
mod plugins;
mod resolve;
mod snapshot;
mod state;
mod table;
mod target_builder;
mod targets;
mod upstreams;

pub use all::{AllOptions, Outcomes};
pub use builder::ManagerBuilder;
pub use definition::Definition;
pub use entries::DefinedBy;
pub use filter::Filter;
pub use graph::Graph;
#[cfg(feature = "cli")]
pub(crate) use health::{detail as health_detail, word as health_word};
pub use listen::{ListenOptions, RunningListener};
pub use named::{End, Existing, Own};
pub use plugins::Plugins;
pub use snapshot::{HostSnapshot, ListenerSnapshot, NamedSnapshot, PluginSnapshot};
pub use target_builder::Programs;

use crate::config::{ConfigError, ConfigErrors, KeyPath, Loaded};
use crate::connection::Lives;
use crate::driver::Sentinel;
use crate::events::{Bus, Cause, EventKind};
use crate::listener::Bound;
use crate::metrics::MetricsSnapshot;
use crate::shutdown::END_LIMIT;
use build::Built;
use listen::Listeners;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A host that runs.
#[derive(Debug)]
pub struct Manager {
    graph: Arc<Graph>,
    /// All connections, accepted and dialled.
    lives: Arc<Lives>,
    listeners: Arc<Listeners>,
    /// Until the end.
    held: Mutex<Held>,
    handshake_timeout: Duration,
    shutdown_timeout: Duration,
}

/// Its verbs on names are those of the [`Graph`] that it owns: `manager.connect_all(…)`, `manager.call(…)`.
impl std::ops::Deref for Manager {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.graph
    }
}

/// What a host lets go of when it stops.
#[derive(Debug, Default)]
struct Held {
    /// Active checks; dropping them ends them.
    checks: JoinSet<()>,
    /// Names the plugins in use until the end, which is clean when this is dropped.
    sentinel: Option<Sentinel>,
}

/// Time for pooled sessions and named connections to be closed at the end: as much as is left of the
/// configured time, but within these two.
const CLOSE_LIMITS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(3)];

/// Why a host does not run.
#[derive(Debug)]
pub enum StartError {
    /// The configuration, checked against the drivers.
    Config(ConfigErrors),
    /// Plugins that it was told of, by `host.plugins`, and cannot use.
    Plugins(ConfigErrors),
    /// The state directory.
    State(ConfigErrors),
    /// Addresses that could not be taken, each with its place in the configuration.
    Listen(ConfigErrors),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(errors)
            | StartError::Plugins(errors)
            | StartError::State(errors)
            | StartError::Listen(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// Restores what was defined at run time, if the configuration says where it is kept.
fn keep_state(graph: &Graph, loaded: &Loaded) -> Result<(), ConfigErrors> {
    let folder = &loaded.config.host.state_dir;
    if folder.is_empty() {
        return Ok(());
    }
    let key = KeyPath::from_iter(["host", "state_dir"]);
    let folder = loaded.file_name(&key, folder);
    match graph.keep_state(&folder) {
        Ok(count) => {
            tracing::info!(folder = %folder.display(), count, "definitions restored");
            Ok(())
        }
        Err(error) => {
            let position = loaded.sources.locate(&key);
            Err(ConfigErrors::new(vec![ConfigError::new(position, key, error.to_string())]))
        }
    }
}

impl Manager {
    /// Loads plugins, builds the graph and starts to listen. Nothing listens if anything is wrong.
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn start(loaded: &Loaded) -> Result<Self, StartError> {
        Self::start_on(Plugins::load(loaded).await, loaded).await
    }

    /// As [`Manager::start`], with plugins that are loaded already.
    ///
    /// # Errors
    /// As there.
    pub async fn start_on(plugins: Plugins, loaded: &Loaded) -> Result<Self, StartError> {
        let stopping = plugins.stopping(loaded);
        if !stopping.is_empty() {
            return Err(StartError::Plugins(ConfigErrors::new(stopping)));
        }
        plugins.warn();
        let sentinel = plugins.sentinel();
        let built = build::build(plugins, loaded, Programs::Run).await;
        let Built { graph, planned, .. } = built.map_err(StartError::Config)?;
        keep_state(&graph, loaded).map_err(StartError::State)?;
        let mut bound: Vec<Bound> = Vec::new();
        let mut errors = Vec::new();
        for (index, listener) in planned {
            match listener.bind().await {
                Ok(listener) => bound.push(listener),
                Err(error) => {
                    let key = KeyPath::from_iter(["routes"]).index(index).key("listen");
                    let position = loaded.sources.locate(&key);
                    errors.push(ConfigError::new(position, key, error.to_string()));
                }
            }
        }
        if !errors.is_empty() {
            return Err(StartError::Listen(ConfigErrors::new(errors)));
        }
        let host = &loaded.config.host;
        let lives = Arc::clone(&graph.named.lives);
        let events = graph.events().clone();
        let mut checks = JoinSet::new();
        for check in graph.upstreams().filter_map(|upstream| upstream.checks()) {
            checks.spawn(check);
        }
        if !host.health_interval.is_zero() {
            let graph = Arc::downgrade(&graph);
            let (interval, limit) = (host.health_interval.0, host.timeouts.health.0);
            checks.spawn(health::watch(graph, interval, limit));
        }
        graph.upstreams().for_each(|upstream| upstream.warm());
        let shutdown_timeout = host.shutdown_timeout.0;
        let manager = Manager {
            listeners: Listeners::new(Arc::clone(&lives), events, shutdown_timeout),
            graph,
            lives,
            held: Mutex::new(Held { checks, sentinel }),
            handshake_timeout: host.timeouts.handshake.0,
            shutdown_timeout,
        };
        for listener in bound {
            // It is stopped by nobody yet.
            let _ = manager.listeners.accept(listener);
        }
        Ok(manager)
    }

    /// Drivers, named connections, devices and upstreams, for opening things beside the routes.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// What listens: what the configuration says, in its order, then what the program has added.
    pub fn listeners(&self) -> Vec<ListenerSnapshot> {
        self.listeners.snapshot()
    }

    /// Completes when `count` connections have been accepted and none of them lives. Cancel safe.
    pub async fn served(&self, count: u64) {
        self.lives.served(count).await;
    }

    /// How many accepted connections live.
    pub fn live(&self) -> usize {
        self.lives.count().accepted
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> HostSnapshot {
        let registry = &self.graph.registry;
        let reports = registry.reports();
        let states: Vec<_> = registry.running().iter().map(|plugin| plugin.state()).collect();
        HostSnapshot {
            plugins: reports.iter().map(|one| PluginSnapshot::new(one, &states)).collect(),
            listeners: self.listeners.snapshot(),
            named: self.graph.named(),
            lives: self.graph.lives(),
            devices: self.graph.devices().all().iter().map(|device| device.snapshot()).collect(),
            upstreams: self.graph.upstreams().map(|upstream| upstream.snapshot()).collect(),
            connections: self.lives.accepted(),
            connections_total: self.lives.count().accepted_total,
        }
    }

    /// What plugins measure, as it is now.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.graph.metrics()
    }

    /// What happens in this host: to its connections, accepted and dialled, and its listeners, and what plugins
    /// tell. Its history has no events of connections that happened while nobody had subscribed. Ends with a
    /// `closed` that has no id, when the host has stopped.
    pub fn events(&self) -> &Bus {
        self.graph.events()
    }

    /// Stops listening at once and tells plugins so, lets what runs finish for the configured time, then ends
    /// it, and drains plugins. Answers how many connections had to be ended. Takes half a second more than the
    /// configured time at most: what code that blocks keeps is left behind.
    ///
    /// Safe to repeat: later calls find nothing to end.
    pub async fn shutdown(&self) -> usize {
        let graph = &self.graph;
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let Held { checks, sentinel } = held;
        let end = Instant::now() + self.shutdown_timeout;
        graph.registry.common().stop();
        drop(checks);
        let ended = self.listeners.stop(end).await;
        let left = || end.saturating_duration_since(Instant::now());
        let [least, most] = CLOSE_LIMITS;
        let limit = left().clamp(least, most);
        // Closing may call into what blocks, too.
        let closed = timeout(limit + END_LIMIT, graph.close_all(limit)).await;
        if closed.is_err() {
            tracing::warn!("named connections and pools were not closed in time");
        }
        graph.registry.drain(left().clamp(least, most)).await;
        drop(sentinel);
        graph.events().emit(EventKind::Closed { cause: Cause::of("the host has stopped") });
        ended
    }
}

#[cfg(test)]
mod tests;
