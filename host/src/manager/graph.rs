//! [`Graph`]: everything of a configuration that connects; nothing of it listens.

use super::interceptors::Interceptors;
use super::parts::Programs;
use super::plugins::Plugins;
use super::table::Named;
use crate::config::{ConfigErrors, Destination, KeyPath, Loaded};
use crate::connection::{Caller, Calling, Innermost, Lives, Managed, Target};
use crate::device::{Device, Devices};
use crate::dialogue::{self, Dialogue};
use crate::driver::{DriverHandle, Registry};
use crate::events::Bus;
use crate::metrics::MetricsSnapshot;
use crate::nearest::did_you_mean;
use crate::secret::Resolver;
use crate::session::SessionExt;
use crate::stack::uri::StackUri;
use crate::stack::{Plan, Stack, StackError};
use crate::upstream::{Opened, Upstream};
use jackfield_plugin_api::{Error, ErrorKind, Operation, Result, Role, Session};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Drivers, named connections, devices and upstreams.
#[derive(Debug)]
pub struct Graph {
    /// What was loaded.
    pub registry: Registry,
    pub(super) named: Named,
    pub(super) devices: Devices,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
    /// By the names of the configuration.
    pub(super) interceptors: Interceptors,
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
        let (named, devices) = (Named::new(Lives::new(max)), Devices::default());
        let (upstreams, interceptors) = (BTreeMap::new(), Interceptors::default());
        Arc::new(Graph { registry, named, devices, upstreams, interceptors, connect_limit })
    }

    /// Opens a session: `connections.NAME`, `devices.NAME.PATH`, `upstreams.NAME` or a URI. Options
    /// are for a URI only; in a named thing they are in the configuration. A session of an upstream
    /// counts as in flight at its target, and in its pool as in use, for as long as it is kept.
    ///
    /// # Errors
    /// What [`Graph::reach`] or opening says.
    pub async fn open(&self, to: &str, options: &Map<String, Value>) -> Result<Session> {
        self.reach(&destination(to)?, options).await?.open().await
    }

    /// Runs an operation at `to`, as in [`Graph::open`], through the interceptors that stand around it: of
    /// an upstream with a pool, on a session that is given back after it. Cancel safe.
    ///
    /// # Errors
    /// As [`Graph::open`], or what the operation says.
    pub async fn call(
        &self,
        to: &str,
        options: &Map<String, Value>,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        self.reach(&destination(to)?, options).await?.call(operation, params).await
    }

    /// What `to` means, ready to be opened. Options as in [`Graph::open`].
    ///
    /// # Errors
    /// An unknown name with the nearest one, or options not accepted.
    pub async fn reach(&self, to: &Destination, options: &Map<String, Value>) -> Result<Reach> {
        if !options.is_empty() && !matches!(to, Destination::Uri(_)) {
            let text = format!("{to} has its options in the configuration");
            return Err(Error::new(ErrorKind::Config, text));
        }
        match to {
            Destination::Connection(name) => {
                let managed = self.connection(name).await?;
                let limit = managed.policy().connect_timeout;
                Ok(Reach::Named(managed, limit))
            }
            Destination::Device(to) => {
                let path = self.devices.get(&to.device)?.path(to.path.as_deref())?;
                Ok(Reach::Named(Arc::clone(path.managed()), self.connect_limit))
            }
            Destination::Upstream(name) => {
                find("upstream", &self.upstreams, name).cloned().map(Reach::Upstream)
            }
            Destination::Handler(name) => {
                let text = format!("handlers.{name} answers sessions; it cannot be connected to");
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            Destination::Uri(uri) => {
                let stack = self.stack(uri, options, Role::Client).await?;
                let target = Target::new(stack, None);
                Ok(Reach::Target(Arc::new(target), self.connect_limit))
            }
        }
    }

    /// A device, by its name or an alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn device(&self, name: &str) -> Result<&Arc<Device>> {
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

    /// What its plugins tell, each event with the name of its plugin; `closed` when a manager has stopped.
    /// A subscriber's queue and its rate are bounded.
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
        let plan = Plan::new(uri, &self.registry, role, false)?;
        let made: Result<Stack, StackError> =
            Stack::new(plan, options, role, &Resolver::default()).await;
        Ok(made?)
    }
}

/// Something that sessions can be opened to.
#[derive(Clone, Debug)]
pub enum Reach {
    /// One target, and the time for it.
    Target(Arc<Target>, Duration),
    /// The target of a named connection or a path of a device, and the time for it.
    Named(Arc<Managed>, Duration),
    /// Whichever target's turn it is.
    Upstream(Arc<Upstream>),
}

impl Reach {
    /// The driver on top, whose operations its sessions have; an upstream's is its first target's.
    pub fn driver(&self) -> Option<Arc<DriverHandle>> {
        match self {
            Reach::Target(target, _) => target.stack().top().cloned(),
            Reach::Named(managed, _) => managed.target().stack().top().cloned(),
            Reach::Upstream(upstream) => upstream.driver().cloned(),
        }
    }

    /// The targets behind it: one by `name`, or each of an upstream by its own.
    pub fn targets(&self, name: &str) -> Vec<(String, Arc<Target>)> {
        match self {
            Reach::Target(target, _) => vec![(name.to_owned(), Arc::clone(target))],
            Reach::Named(managed, _) => vec![(name.to_owned(), managed.target())],
            Reach::Upstream(upstream) => upstream.targets(),
        }
    }

    /// Opens a session. Cancel safe: what was open is dropped.
    ///
    /// # Errors
    /// The first layer's that fails, or the last target's.
    pub async fn open(&self) -> Result<Session> {
        match self {
            Reach::Target(target, limit) => target.open_for(&here(), *limit).await,
            Reach::Named(managed, limit) => managed.target().open_for(&here(), *limit).await,
            Reach::Upstream(upstream) => upstream.open(None).await.map(Opened::into_session),
        }
    }

    /// Runs an operation on a session that is closed, or given back to its pool, after it, through the
    /// interceptors that stand around it. Cancel safe.
    ///
    /// # Errors
    /// As [`Reach::open`], or what the operation says.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        let (around, session) = match self {
            Reach::Upstream(upstream) if self.is_dialogue(operation) => {
                let opened = upstream.open(None).await?;
                let around = opened.around(&format!("upstreams.{}", upstream.name()));
                (around, opened.into_session())
            }
            Reach::Upstream(upstream) => return upstream.call(None, operation, params).await,
            Reach::Target(target, _) => (target.around_as(""), self.open().await?),
            Reach::Named(managed, _) => (managed.around(), self.open().await?),
        };
        let own = OnOwn { reach: self, session: &session };
        let result = around.run(&own, operation, params).await;
        // Ends politely, but not for ever: everything of worth has been had.
        session.close_politely("").await;
        result
    }

    /// The operation of that name: the driver's own, or one that any stream has.
    pub fn operation(&self, name: &str) -> Option<Operation> {
        let own = self.driver().and_then(|driver| driver.operation(name).cloned());
        own.or_else(|| dialogue::operation(name).cloned())
    }

    fn is_dialogue(&self, operation: &str) -> bool {
        let driver = self.driver();
        let own = driver.as_ref().and_then(|driver| driver.operation(operation));
        own.is_none() && dialogue::operation(operation).is_some()
    }
}

/// An operation on a session of its own.
struct OnOwn<'a> {
    reach: &'a Reach,
    session: &'a Session,
}

impl Innermost for OnOwn<'_> {
    fn run<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a> {
        Box::pin(async move {
            if self.reach.is_dialogue(operation) {
                converse(self.session, operation, params).await
            } else {
                self.session.call(operation, params).await
            }
        })
    }
}

async fn converse(session: &Session, operation: &str, params: &Value) -> Result<Value> {
    let stream = session.take_stream();
    let stream = stream.ok_or_else(|| Error::unsupported("a dialogue without a stream"))?;
    dialogue::call(&mut Dialogue::new(stream), operation, params).await
}

fn destination(to: &str) -> Result<Destination> {
    to.parse().map_err(|error| Error::new(ErrorKind::Config, format!("{error}")))
}

/// Who opens what this process itself opens.
fn here() -> Caller {
    Caller::new("this process", "")
}

fn find<'a, T>(what: &str, all: &'a BTreeMap<String, T>, name: &str) -> Result<&'a T> {
    all.get(name).ok_or_else(|| {
        let near = did_you_mean(name, all.keys().map(String::as_str));
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        Error::new(ErrorKind::NotFound, format!("there is no {what} {name:?}{hint}"))
    })
}
