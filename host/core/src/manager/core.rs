//! [`Core`]: what all handles of one host share, and the verbs on whatever a name or a URI leads to.

use super::HeldTasks;
use super::Manager;
use super::becoming::Becoming;
use super::credentials::Credentials;
use super::definitions::Definitions;
use super::interceptors::Interceptors;
use super::layer::TargetsLayers;
use super::listen::Listeners;
use super::paths::DefinedPaths;
use super::plugins::Plugins;
use super::revisions::Revisions;
use super::table::Named;
use super::target_builder::{Programs, StackAt};
use super::upstreams::UpstreamEntry;
use super::written::Written;
use crate::config::diff::WaitingObjects;
use crate::config::model::{HandlerConfig, HostConfig, UpstreamConfig};
use crate::config::{ConfigErrors, KeyPath, Loaded, Options, Reference};
use crate::connection::{Caller, Lives, Payload, PooledLimit, Receipt};
use crate::device::{Device, Devices};
use crate::driver::{PluginFolders, Prepared, Registry};
use crate::events::Bus;
use crate::metrics::MetricsSnapshot;
use crate::route::{AdminSlot, Destination};
use crate::services::Common;
use crate::session::POLITE_CLOSE;
use crate::stack::Stack;
use crate::stack::uri::StackUri;
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role, Session};
use jackfield_timers::timeout;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Drivers, named connections, devices, upstreams, handlers and listeners of one host.
#[derive(Debug)]
pub(super) struct Core {
    /// What is loaded, which changes with the files in plugin folders.
    pub(super) registry: Arc<ArcSwap<Registry>>,
    /// Where that comes from; nothing else comes in where it is not known.
    pub(super) folders: Arc<tokio::sync::Mutex<Option<PluginFolders>>>,
    /// What was changed of targets at run time.
    pub(super) targets: Arc<TargetsLayers>,
    pub(super) revisions: Arc<Revisions>,
    /// Definitions of run time as they were written.
    pub(super) written: Arc<Written>,
    /// What of the configuration waits for a plugin.
    pub(super) waiting: Arc<ArcSwap<WaitingObjects>>,
    /// What its plugins share.
    pub(super) common: Arc<Common>,
    pub(super) named: Named,
    pub(super) devices: Devices,
    pub(super) paths: DefinedPaths,
    pub(super) upstreams: Definitions<UpstreamConfig, UpstreamEntry>,
    pub(super) handlers: Definitions<HandlerConfig, Arc<Prepared>>,
    /// By the names of the configuration.
    interceptors: ArcSwap<Interceptors>,
    credentials: ArcSwap<Credentials>,
    /// Of tables that are built to take the place of others; empty in a host that runs.
    pub(super) becoming: Becoming,
    /// What holds where nothing more specific says otherwise.
    pub(super) host: ArcSwap<HostConfig>,
    pub(super) pooled: PooledLimit,
    /// Until a session is open, in a host that is made by hand; else the host's configuration says.
    own_connect_limit: Option<Duration>,
    pub(super) listeners: Arc<Listeners>,
    /// For routes that lead to the admin API.
    pub(super) admin: Arc<AdminSlot>,
    /// Until the end.
    pub(super) held: Mutex<HeldTasks>,
}

impl Core {
    pub(super) fn new(registry: Registry, lives: Arc<Lives>, host: HostConfig) -> Self {
        let events = registry.common().events();
        events.set_limits(host.limits.events);
        lives.tell(events.clone());
        Core {
            listeners: Listeners::new(Arc::clone(&lives), events.clone(), host.shutdown_timeout.0),
            common: Arc::clone(registry.common()),
            folders: Arc::default(),
            targets: Arc::default(),
            revisions: Arc::default(),
            written: Arc::default(),
            waiting: Arc::default(),
            registry: Arc::new(ArcSwap::from_pointee(registry)),
            named: Named::new(lives),
            devices: Devices::default(),
            paths: DefinedPaths::default(),
            upstreams: Definitions::of("upstream"),
            handlers: Definitions::of("handler"),
            interceptors: ArcSwap::default(),
            credentials: ArcSwap::default(),
            becoming: Becoming::default(),
            pooled: PooledLimit::new(host.limits.pooled),
            own_connect_limit: None,
            admin: Arc::default(),
            held: Mutex::default(),
            host: ArcSwap::from_pointee(host),
        }
    }

    /// Empty tables that take the place of those of `live` when they are whole: of the same drivers and listeners, with
    /// these defaults, interceptors and credentials.
    pub(super) fn beside(
        live: &Core,
        host: HostConfig,
        interceptors: Interceptors,
        credentials: Credentials,
    ) -> Self {
        Core {
            common: Arc::clone(&live.common),
            folders: Arc::clone(&live.folders),
            targets: Arc::clone(&live.targets),
            revisions: Arc::clone(&live.revisions),
            written: Arc::clone(&live.written),
            waiting: Arc::clone(&live.waiting),
            registry: Arc::clone(&live.registry),
            named: Named::new(Arc::clone(&live.named.lives)),
            devices: Devices::default(),
            paths: DefinedPaths::default(),
            upstreams: Definitions::of("upstream"),
            handlers: Definitions::of("handler"),
            interceptors: ArcSwap::from_pointee(interceptors),
            credentials: ArcSwap::from_pointee(credentials),
            becoming: Becoming::default(),
            host: ArcSwap::from_pointee(host),
            pooled: live.pooled.clone(),
            own_connect_limit: live.own_connect_limit,
            listeners: Arc::clone(&live.listeners),
            admin: Arc::clone(&live.admin),
            held: Mutex::default(),
        }
    }

    /// What is loaded now.
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// What holds where nothing more specific says otherwise, as it is now.
    pub(super) fn host(&self) -> Arc<HostConfig> {
        self.host.load_full()
    }

    /// Until a session is open, unless what opens it says otherwise.
    pub(super) fn connect_limit(&self) -> Duration {
        let timeouts = &self.host.load().timeouts;
        self.own_connect_limit.unwrap_or(timeouts.connect.0 + timeouts.handshake.0)
    }

    pub(super) fn interceptors(&self) -> Arc<Interceptors> {
        self.interceptors.load_full()
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    /// Takes over the interceptors and credentials of `next`: for what is built from now on.
    pub(super) fn take_over_parts(&self, next: &Core) {
        self.interceptors.store(next.interceptors());
        self.credentials.store(next.credentials());
    }
}

impl Manager {
    /// A host of a configuration that does not listen: everything of it is built on loaded plugins, its
    /// routes included, and nothing is connected or listened on. What a program adds works as in any other.
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn build(plugins: Plugins, loaded: &Loaded) -> Result<Self, ConfigErrors> {
        super::build::build(plugins, loaded, Programs::Run).await.map(|built| built.manager)
    }

    /// As [`Manager::build`], but everything is dropped again, and with [`Programs::Leave`] no program is run
    /// for a secret. Answers what could not be checked whole because of that.
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn check(
        plugins: Plugins,
        loaded: &Loaded,
        programs: Programs,
    ) -> Result<Vec<KeyPath>, ConfigErrors> {
        super::build::build(plugins, loaded, programs).await.map(|built| built.unresolved)
    }

    /// A host of these drivers that nothing is configured in. At most `max` connections live at a time; a
    /// named one is opened within `connect_limit` unless it says otherwise.
    pub fn empty(registry: Registry, max: usize, connect_limit: Duration) -> Self {
        let mut core = Core::new(registry, Lives::new(max), HostConfig::default());
        core.own_connect_limit = Some(connect_limit);
        Manager { core: Arc::new(core) }
    }

    /// Its drivers, handlers and interceptors, and what was loaded, as it is now.
    pub fn registry(&self) -> Arc<Registry> {
        self.core.registry()
    }

    /// Opens a session of one's own: `connections.NAME`, `devices.NAME.PATH`, `upstreams.NAME` or a URI.
    /// Options are for a URI only; in a named thing they are in its definition. A session of an upstream
    /// counts as in flight at its target, and in its pool as in use, for as long as it is kept.
    ///
    /// # Errors
    /// What [`Manager::destination`] or opening says.
    pub async fn open(&self, to: &str, options: &Map<String, Value>) -> Result<Session> {
        let to = self.destination(&reference(to)?, options).await?;
        to.open(&Caller::new("this process", "")).await
    }

    /// Runs an operation at `to`, as in [`Manager::open`]: on the session that a connection or a path of a
    /// device shares, which is opened if there is none and stays open, or on one of an upstream's pool;
    /// for a URI, on a session that ends after it. It goes through the interceptors that stand around it,
    /// within the `call_timeout` that it has there (a URI: 1 minute), and is counted. The shared session of
    /// an exclusive path holds its lease until it is disconnected or idle for too long. Cancel safe as far
    /// as the operation is.
    ///
    /// # Errors
    /// As [`Manager::open`], or what the operation says; [`ErrorKind::TimedOut`].
    pub async fn call(
        &self,
        to: &str,
        options: &Map<String, Value>,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        let to = reference(to)?;
        let destination = self.destination(&to, options).await?;
        let result = destination.call(operation, params).await;
        if let (Reference::Uri(_), Destination::Connection(managed)) = (&to, &destination)
            && let Some(live) = managed.last()
            && timeout(POLITE_CLOSE, live.close(0, "")).await.is_err()
        {
            // The answer has come: nothing is lost.
            live.abort("the peer did not close in time");
        }
        result
    }

    /// Posts to what `to` names, from anywhere: to the session that `connections.NAME`, short `NAME`, or
    /// `devices.NAME.PATH` shares (see [`Live::post`](crate::connection::Live::post)), or to a target of
    /// `upstreams.NAME` (see [`Upstream::post`]).
    ///
    /// # Errors
    /// As there; [`ErrorKind::NotFound`]; [`ErrorKind::Closed`] if it is not connected;
    /// [`ErrorKind::Unsupported`] for what shares no session: a handler, a URI.
    pub fn post(&self, to: &str, payload: impl Into<Payload>) -> Result<Receipt> {
        match to.parse() {
            Ok(Reference::Device(path)) => self.path(&path)?.managed().post(payload),
            Ok(Reference::Connection(name)) => self.post_by_name(&name, payload),
            Ok(Reference::Upstream(name)) => self.upstream(&name)?.post(None, payload),
            Ok(other) => Err(Error::unsupported(&format!("a post to {other}: open a session"))),
            Err(_) => self.post_by_name(to, payload),
        }
    }

    fn post_by_name(&self, name: &str, payload: impl Into<Payload>) -> Result<Receipt> {
        let entry = self.core.named.get(name)?;
        let closed = || Error::new(ErrorKind::Closed, format!("{name} is not connected"));
        entry.managed.get().ok_or_else(closed)?.post(payload)
    }

    /// A device, by its name or an alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn device(&self, name: &str) -> Result<Arc<Device>> {
        self.core.devices.get(name)
    }

    /// All devices.
    pub fn devices(&self) -> &Devices {
        &self.core.devices
    }

    /// The upstream of that name. It serves on when the name is removed or defined otherwise; what is to
    /// follow that asks for it anew.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn upstream(&self, name: &str) -> Result<Arc<Upstream>> {
        self.core.upstreams.get(name).map(|entry| Arc::clone(&entry.made.upstream))
    }

    /// All upstreams, by name.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let all = self.core.upstreams.all();
        all.into_iter().map(|(_, entry)| Arc::clone(&entry.made.upstream)).collect()
    }

    /// What its plugins measure, as it is now.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.core.common.metrics().snapshot()
    }

    /// What happens in this host: to its connections, accepted and dialled, its listeners, upstreams, pools,
    /// leases and definitions, and what plugins tell, each with the name of its plugin. Its history has no
    /// events of connections that happened without a subscriber. Ends with a `closed` that has no id,
    /// when the host has stopped.
    pub fn events(&self) -> &Bus {
        self.core.common.events()
    }

    /// Where an admin API takes the sessions of routes that lead to it.
    pub fn admin_slot(&self) -> &AdminSlot {
        &self.core.admin
    }

    /// A stack of its drivers, for any number of connections.
    ///
    /// # Errors
    /// Options not accepted, or a URI without a driver.
    pub async fn stack(
        &self,
        uri: &StackUri,
        options: &Map<String, Value>,
        role: Role,
    ) -> Result<Stack> {
        let (root, options) = (KeyPath::root(), Options(options.clone()));
        let at = StackAt { uri_key: root.clone(), role, ..StackAt::client(root, uri, &options) };
        Ok(self.run_time_builder().stack(&at).await?)
    }
}

fn reference(to: &str) -> Result<Reference> {
    to.parse().map_err(|error| Error::new(ErrorKind::Config, format!("{error}")))
}
