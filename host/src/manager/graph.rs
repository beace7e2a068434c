//! [`Graph`]: everything of a configuration that connects; nothing of it listens.

use super::parts::Parts;
use crate::config::{Destination, Loaded};
use crate::connection::Target;
use crate::driver::Registry;
use crate::nearest::did_you_mean;
use crate::secret::Resolver;
use crate::stack::uri::StackUri;
use crate::stack::{Plan, Stack, StackError};
use crate::upstream::Upstream;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role, Session};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Drivers, named connections and upstreams.
#[derive(Debug)]
pub struct Graph {
    /// What was loaded.
    pub registry: Registry,
    pub(super) connections: BTreeMap<String, Arc<Target>>,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
    pub(super) connect_limit: Duration,
}

impl Graph {
    /// Loads plugins and builds everything, listeners included, without listening.
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn build(loaded: &Loaded) -> Result<Arc<Self>, crate::config::ConfigErrors> {
        super::build::build(loaded).await.map(|(graph, _)| graph)
    }

    /// Loads the plugins of a configuration, and nothing else of it.
    pub async fn plugins(loaded: &Loaded) -> Registry {
        crate::driver::load(&Parts::load_options(loaded, Arc::default())).await
    }

    /// Opens a session: `connections.NAME`, `upstreams.NAME` or a URI. Options are for a URI only;
    /// in a named thing they are in the configuration.
    ///
    /// # Errors
    /// An unknown name with the nearest one, options not accepted, or what opening says.
    pub async fn open(&self, to: &str, options: &Map<String, Value>) -> Result<Session> {
        let destination: Destination =
            to.parse().map_err(|error| Error::new(ErrorKind::Config, format!("{error}")))?;
        if !options.is_empty() && !matches!(destination, Destination::Uri(_)) {
            let text = format!("{to} has its options in the configuration");
            return Err(Error::new(ErrorKind::Config, text));
        }
        match destination {
            Destination::Connection(name) => {
                let target = find("connection", &self.connections, &name)?;
                target.open(self.connect_limit).await
            }
            Destination::Upstream(name) => find("upstream", &self.upstreams, &name)?.open().await,
            Destination::Handler(name) => {
                let text = format!("handlers.{name} answers sessions; it cannot be connected to");
                Err(Error::new(ErrorKind::Unsupported, text))
            }
            Destination::Uri(uri) => {
                let stack = self.stack(&uri, options, Role::Client).await?;
                stack.open(None, self.connect_limit).await
            }
        }
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

fn find<'a, T>(what: &str, all: &'a BTreeMap<String, T>, name: &str) -> Result<&'a T> {
    all.get(name).ok_or_else(|| {
        let near = did_you_mean(name, all.keys().map(String::as_str));
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        Error::new(ErrorKind::NotFound, format!("there is no {what} {name:?}{hint}"))
    })
}
