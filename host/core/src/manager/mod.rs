//! The manager: owns drivers, named connections, upstreams, handlers, listeners and what lives.
//!
//! [`Manager`] is the one object that a program holds. A configuration with a mistake anywhere is not built at
//! all, and a host that cannot take one of its addresses takes none. [`Manager::build`] and
//! [`Manager::check`] end before it listens: for commands that only connect.
//!
//! What a configuration says at start, programs say at run time by verbs, and both go the same ways; each thing
//! knows which of them it comes from ([`DefinedBy`]).
//!
//! | noun | verbs |
//! |---|---|
//! | named connections | `define`, `define_connection`, `define_own`, `register`, `adopt`, `connection`, `get_or_connect`, `is_connected`, `find`, `add_connection`, `connect_all`, `connect_quorum`, `disconnect`, `disconnect_all`, `unregister`, `unregister_all`, `destroy`, `destroy_all` |
//! | devices, paths, aliases | `define_device`, `define_path`, `define_path_like`, `remove_path`, `remove_device`, `alias_device`, `unalias_device`, `device`, `devices`, `connect_paths`, `disconnect_paths` |
//! | upstreams, targets | `define_upstream`, `remove_upstream`, `upstream`, `upstreams`, `add_target`, `remove_target`, `weigh_target`, `drain_target` |
//! | handlers | `define_handler`, `remove_handler` |
//! | listeners, routes | `listen`, `listen_with`, `listen_default`, `add_route`, `listener`, `listeners`; [`RunningListener::close`] |
//! | what lives | `live`, `lives`, `count`, `broadcast`, `close_connections`, `post_to` |
//!
//! [`Manager::call`], [`Manager::post`] and [`Manager::open`] take any of these by its name. An equal definition
//! is used again; another one is refused or put in the place of the old, as [`Existing`] says. With
//! `host.state_dir`, connections that were defined at run time are there again after a restart, whatever ended the
//! host.

mod all;
mod becoming;
mod brought;
mod build;
mod builder;
mod change;
mod connections;
mod core;
mod credentials;
mod define;
mod definition;
mod definitions;
mod devices;
mod discover;
mod drain;
mod entries;
mod filter;
mod handlers;
mod health;
mod interceptors;
mod layer;
mod listen;
mod named;
mod names;
mod parts;
mod paths;
mod plugins;
mod refresh;
mod resolve;
mod revisions;
mod routes;
mod run;
mod run_time;
mod settings;
mod snapshot;
mod state;
mod table;
mod target_builder;
mod targets;
#[cfg(feature = "otlp")]
mod traces;
mod upstreams;
mod waiting;
mod written;

pub use all::{AllOptions, Outcomes, Quorum};
pub use builder::ManagerBuilder;
pub use definition::Definition;
pub use entries::DefinedBy;
pub use filter::Filter;
pub use health::{detail as health_detail, word as health_word};
pub use layer::TargetsLayer;
pub use listen::{ListenOptions, RunningListener};
pub use named::{Existing, Own, Removal};
pub use plugins::Plugins;
pub use refresh::PluginLook;
pub use run_time::RunTimeLayer;
pub use snapshot::{
    Defined, HandlerSnapshot, HostSnapshot, ListenerSnapshot, NamedSnapshot, PluginSnapshot,
};
#[cfg(fuzzing)]
pub use state::fuzz_journal;
pub use target_builder::Programs;
pub use written::{WriteError, WrittenObject};

use crate::config::{ConfigError, ConfigErrors, KeyPath, Loaded};
use crate::connection::ForAllConnections;
use crate::device::DeviceSnapshot;
use crate::driver::Sentinel;
use crate::events::{Cause, EventKind};
use crate::lock::IgnorePoison;
use crate::shutdown::END_LIMIT;
use crate::upstream::UpstreamSnapshot;
use build::Built;
use core::Core;
use jackfield_timers::timeout;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// A host. Cheap to clone: the clones are one host, which lets go of everything with the last of them, but
/// ends politely only by [`Manager::shutdown`]. One that is kept in code of a listener of its own lasts until
/// then.
#[derive(Clone, Debug)]
pub struct Manager {
    core: Arc<Core>,
}

/// What a host lets go of when it stops.
#[derive(Debug, Default)]
struct HeldTasks {
    /// Active checks; dropping them ends them.
    checks: JoinSet<()>,
    /// That of them which asks plugins how they are.
    health: Option<AbortHandle>,
    /// Names the plugins in use until the end, which is clean when this is dropped.
    sentinel: Option<Sentinel>,
    /// What sends spans, if they are sent.
    #[cfg(feature = "otlp")]
    traces: Option<traces::TraceExport>,
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
fn keep_state(manager: &Manager, loaded: &Loaded) -> Result<(), ConfigErrors> {
    let folder = &loaded.config.host.state_dir;
    if folder.is_empty() {
        return Ok(());
    }
    let key = KeyPath::from_iter(["host", "state_dir"]);
    let folder = loaded.file_name(&key, folder);
    match manager.keep_state(&folder) {
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
    /// Loads plugins, builds what is configured and starts to listen. Nothing listens if anything is wrong.
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
        Self::start_for(plugins, loaded, ForAllConnections::default()).await
    }

    /// As [`Manager::start_on`], with what a program does for all connections.
    async fn start_for(
        plugins: Plugins,
        loaded: &Loaded,
        for_all: ForAllConnections,
    ) -> Result<Self, StartError> {
        let stopping = plugins.stopping(loaded);
        if !stopping.is_empty() {
            return Err(StartError::Plugins(ConfigErrors::new(stopping)));
        }
        plugins.warn();
        let sentinel = plugins.sentinel();
        let built = build::build(plugins, loaded, Programs::Run).await;
        let Built { manager, routes, .. } = built.map_err(StartError::Config)?;
        // Nothing is connected or accepted yet.
        manager.core.named.lives.do_for_all(for_all);
        keep_state(&manager, loaded).map_err(StartError::State)?;
        manager.bring_all_targets().await;
        let bound = manager.bind_routes(loaded, routes, &[]).await.map_err(StartError::Listen)?;
        manager.begin_upkeep(sentinel);
        #[cfg(feature = "otlp")]
        manager.take_over_traces(loaded);
        manager.bring_written().await;
        manager.enter_routes(bound);
        manager.bring_written_routes().await;
        Ok(manager)
    }

    /// Starts the background tasks: checks and pools of upstreams, and polling plugins for their health.
    fn begin_upkeep(&self, sentinel: Option<Sentinel>) {
        self.held().sentinel = sentinel;
        self.watch_health();
        self.upstreams().iter().for_each(|upstream| self.keep_up(upstream));
    }

    fn held(&self) -> MutexGuard<'_, HeldTasks> {
        self.core.held.lock().ignore_poison()
    }

    /// What listens: what the configuration says, in its order, then what the program has added.
    pub fn listeners(&self) -> Vec<ListenerSnapshot> {
        self.core.listeners.snapshot()
    }

    /// Completes when `count` connections have been accepted and none of them lives. Cancel safe.
    pub async fn served(&self, count: u64) {
        self.core.named.lives.served(count).await;
    }

    /// The plugin files, what became of each and how it is.
    pub fn plugins(&self) -> Vec<PluginSnapshot> {
        PluginSnapshot::all(&self.registry())
    }

    /// All devices as they are now, by name.
    pub fn device_snapshots(&self) -> Vec<Defined<DeviceSnapshot>> {
        let all = self.core.devices.all();
        all.iter().map(|device| self.device_snapshot(device)).collect()
    }

    /// All upstreams as they are now, by name.
    pub fn upstream_snapshots(&self) -> Vec<Defined<UpstreamSnapshot>> {
        let all = self.core.upstreams.all();
        all.iter().map(|(name, entry)| entry.snapshot(self.core.targets.added(name))).collect()
    }

    /// All handlers, by name.
    pub fn handler_snapshots(&self) -> Vec<HandlerSnapshot> {
        self.core.handlers.all().iter().map(HandlerSnapshot::of).collect()
    }

    /// Spans that were lost: there was no room for them, or no collector has taken them.
    pub fn traces_dropped(&self) -> u64 {
        self.core.named.lives.traces().dropped()
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> HostSnapshot {
        let count = self.count();
        HostSnapshot {
            plugins: self.plugins(),
            listeners: self.listeners(),
            named: self.named(),
            lives: count,
            devices: self.device_snapshots(),
            upstreams: self.upstream_snapshots(),
            handlers: self.handler_snapshots(),
            connections: self.core.named.lives.accepted(),
            connections_total: count.accepted_total,
        }
    }

    /// Stops listening at once and tells plugins so, lets what runs finish for the configured time, then ends
    /// it, and drains plugins. Answers how many connections had to be ended. Takes half a second more than the
    /// configured time at most: what code that blocks keeps is left behind.
    ///
    /// Safe to repeat: later calls find nothing to end.
    pub async fn shutdown(&self) -> usize {
        let registry = self.registry();
        let held = std::mem::take(&mut *self.held());
        let HeldTasks { checks, sentinel, .. } = held;
        let end = Instant::now() + self.core.host().shutdown_timeout.0;
        registry.common().stop();
        drop(checks);
        let ended = self.core.listeners.stop(end).await;
        let left = || end.saturating_duration_since(Instant::now());
        let [least, most] = CLOSE_LIMITS;
        let limit = left().clamp(least, most);
        // Closing may call into what blocks, too.
        let closed = timeout(limit + END_LIMIT, self.close_all(limit)).await;
        if closed.is_err() {
            tracing::warn!("named connections and pools were not closed in time");
        }
        #[cfg(feature = "otlp")]
        self.finish_traces(held.traces, left().clamp(least, most)).await;
        registry.drain(left().clamp(least, most)).await;
        drop(sentinel);
        self.events().emit(EventKind::Closed { cause: Cause::of("the host has stopped") });
        ended
    }
}

#[cfg(test)]
mod tests;
