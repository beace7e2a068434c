//! [`Graph`]: everything of a configuration that connects; nothing of it listens.

use super::credentials::Credentials;
use super::interceptors::Interceptors;
use super::paths::DefinedPaths;
use super::plugins::Plugins;
use super::resolve::find;
use super::table::Named;
use super::target_builder::{Programs, StackAt};
use crate::config::{ConfigErrors, KeyPath, Loaded, Options, Reference};
use crate::connection::{Caller, Lives, Payload, Receipt};
use crate::device::{Device, Devices};
use crate::driver::{Prepared, Registry};
use crate::events::Bus;
use crate::metrics::MetricsSnapshot;
use crate::route::Destination;
use crate::session::POLITE_CLOSE;
use crate::stack::Stack;
use crate::stack::uri::StackUri;
use crate::upstream::Upstream;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role, Session};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Drivers, named connections, devices and upstreams.
#[derive(Debug)]
pub struct Graph {
    /// What was loaded.
    pub registry: Registry,
    pub(super) named: Named,
    pub(super) devices: Devices,
    pub(super) paths: DefinedPaths,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
    /// The interceptors that each upstream puts around its targets.
    pub(super) around_targets: BTreeMap<String, Vec<String>>,
    pub(super) handlers: BTreeMap<String, Arc<Prepared>>,
    /// By the names of the configuration.
    pub(super) interceptors: Interceptors,
    pub(super) credentials: Credentials,
    pub(super) connect_limit: Duration,
}

impl Graph {
    /// Builds everything on loaded plugins, listeners included, without listening.
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn build(plugins: Plugins, loaded: &Loaded) -> Result<Arc<Self>, ConfigErrors> {
        super::build::build(plugins, loaded, Programs::Run).await.map(|built| built.graph)
    }

    /// As [`Graph::build`], but everything is dropped again, and with [`Programs::Leave`] no program is run
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

    /// A graph of drivers that nothing is configured in, for programs that define at run time. At
    /// most `max` named connections live at a time; one is opened within `connect_limit` unless it
    /// says otherwise.
    pub fn empty(registry: Registry, max: usize, connect_limit: Duration) -> Arc<Self> {
        Arc::new(Self::bare(registry, Lives::new(max), connect_limit))
    }

    pub(super) fn bare(registry: Registry, lives: Arc<Lives>, connect_limit: Duration) -> Self {
        lives.tell(registry.common().events().clone());
        Graph {
            registry,
            named: Named::new(lives),
            devices: Devices::default(),
            paths: DefinedPaths::default(),
            upstreams: BTreeMap::new(),
            around_targets: BTreeMap::new(),
            handlers: BTreeMap::new(),
            interceptors: Interceptors::default(),
            credentials: Credentials::default(),
            connect_limit,
        }
    }

    /// Opens a session of one's own: `connections.NAME`, `devices.NAME.PATH`, `upstreams.NAME` or a URI.
    /// Options are for a URI only; in a named thing they are in the configuration. A session of an upstream
    /// counts as in flight at its target, and in its pool as in use, for as long as it is kept.
    ///
    /// # Errors
    /// What [`Graph::destination`] or opening says.
    pub async fn open(&self, to: &str, options: &Map<String, Value>) -> Result<Session> {
        let to = self.destination(&reference(to)?, options).await?;
        to.open(&Caller::new("this process", "")).await
    }

    /// Runs an operation at `to`, as in [`Graph::open`]: on the session that a connection or a path of a
    /// device shares, which is opened if there is none and stays open, or on one of an upstream's pool;
    /// for a URI, on a session that ends after it. It goes through the interceptors that stand around it,
    /// within the `call_timeout` that it has there (a URI: 1 minute), and is counted. The shared session of
    /// an exclusive path holds its lease until it is disconnected or idle for too long. Cancel safe as far
    /// as the operation is.
    ///
    /// # Errors
    /// As [`Graph::open`], or what the operation says; [`ErrorKind::TimedOut`].
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
            // Everything of worth has been had.
            live.abort("the peer does not take leave");
        }
        result
    }

    /// Posts to what `to` names, from anywhere: the session that `connections.NAME`, short `NAME`, or
    /// `devices.NAME.PATH` shares. See [`Live::post`](crate::connection::Live::post).
    ///
    /// # Errors
    /// As there; [`ErrorKind::NotFound`]; [`ErrorKind::Closed`] if it is not connected;
    /// [`ErrorKind::Unsupported`] for what shares no session: an upstream, a URI.
    pub fn post(&self, to: &str, payload: impl Into<Payload>) -> Result<Receipt> {
        match to.parse() {
            Ok(Reference::Device(path)) => self.path(&path)?.managed().post(payload),
            Ok(Reference::Connection(name)) => self.post_by_name(&name, payload),
            Ok(other) => Err(Error::unsupported(&format!("a post to {other}: open a session"))),
            Err(_) => self.post_by_name(to, payload),
        }
    }

    fn post_by_name(&self, name: &str, payload: impl Into<Payload>) -> Result<Receipt> {
        let entry = self.named.get(name)?;
        let closed = || Error::new(ErrorKind::Closed, format!("{name} is not connected"));
        entry.managed.get().ok_or_else(closed)?.post(payload)
    }

    /// A device, by its name or an alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn device(&self, name: &str) -> Result<Arc<Device>> {
        self.devices.get(name)
    }

    /// All devices.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The upstream of that name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn upstream(&self, name: &str) -> Result<&Arc<Upstream>> {
        find("upstream", &self.upstreams, name)
    }

    /// All upstreams, by name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// What its plugins measure, as it is now.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.registry.common().metrics().snapshot()
    }

    /// What happens to its connections and listeners, and what its plugins tell, each with the name of its
    /// plugin; `closed` without an id when a manager has stopped. A subscriber's queue and the rate of what
    /// plugins tell are bounded.
    pub fn events(&self) -> &Bus {
        self.registry.common().events()
    }

    /// A stack of this graph's drivers, for any number of connections.
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
