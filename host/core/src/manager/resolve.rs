//! From what a text refers to, to where that leads: one way for routes, the verbs of programs and commands.

use super::Manager;
use super::core::Core;
use super::target_builder::{Extras, NOWHERE, Programs, StackAt, TargetBuilder, Unbuilt};
use crate::config::{DevicePath, KeyPath, Options, Reference, SourceMap, Via};
use crate::connection::{Managed, Policy};
use crate::device::Path;
use crate::route::Destination;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Manager {
    /// Makes targets of what stands in `sources`.
    pub(super) fn target_builder<'a>(
        &'a self,
        sources: &'a SourceMap,
        programs: Programs,
    ) -> TargetBuilder<'a> {
        let (registry, Core { becoming, .. }) = (self.registry(), &*self.core);
        let (interceptors, credentials) = (self.core.interceptors(), self.core.credentials());
        TargetBuilder { registry, interceptors, credentials, becoming, sources, programs }
    }

    /// Makes targets of what stands in no file.
    pub(super) fn run_time_builder(&self) -> TargetBuilder<'_> {
        self.target_builder(&NOWHERE, Programs::Run)
    }

    /// Where `to` leads. Options are for a URI only; in a named thing they are in its definition. Files
    /// that they name are meant from the working directory. Nothing is connected.
    ///
    /// # Errors
    /// An unknown name with the nearest one, or options not accepted.
    pub async fn destination(
        &self,
        to: &Reference,
        options: &Map<String, Value>,
    ) -> Result<Destination> {
        if !options.is_empty() && !matches!(to, Reference::Uri(_)) {
            let text = format!("{to} has its options in the configuration");
            return Err(Error::new(ErrorKind::Config, text));
        }
        let (builder, options) = (self.run_time_builder(), Options(options.clone()));
        Ok(self.resolve(&builder, &KeyPath::root(), to, &options, false).await?)
    }

    /// Where `to`, which stands at the key `at`, leads: to watch an exclusive path, or to use it.
    pub(super) async fn resolve(
        &self,
        builder: &TargetBuilder<'_>,
        at: &KeyPath,
        to: &Reference,
        options: &Options,
        observe: bool,
    ) -> Result<Destination, Unbuilt> {
        let found = match to {
            Reference::Connection(name) => self.connection(name).await.map(Destination::Connection),
            Reference::Device(to) => self.path(to).and_then(|path| of_path(&path, observe)),
            Reference::Upstream(name) => self.upstream(name).map(Destination::Upstream),
            Reference::Handler(name) => {
                let found = self.core.handlers.get(name);
                found.map(|entry| Destination::Handler(Arc::clone(&entry.made)))
            }
            Reference::Admin => Ok(Destination::Admin(Arc::clone(&self.core.admin))),
            Reference::Uri(uri) => {
                return self.by_uri(builder, at, uri, options).await.map(Destination::Connection);
            }
        };
        found.map_err(|error| Unbuilt::missing(at.clone(), error))
    }

    /// What a URI means: a connection that no table has.
    async fn by_uri(
        &self,
        builder: &TargetBuilder<'_>,
        at: &KeyPath,
        uri: &StackUri,
        options: &Options,
    ) -> Result<Arc<Managed>, Unbuilt> {
        let stack = StackAt { uri_key: at.clone(), ..StackAt::client(at.clone(), uri, options) };
        let target = builder.target(&stack, &Extras::default(), Ok(None)).await?;
        let policy =
            Policy { connect_timeout: Some(self.core.connect_limit()), ..Policy::default() };
        let name = target.stack().display().to_owned();
        let (target, lives) = (Arc::new(target), Arc::clone(&self.core.named.lives));
        Ok(Arc::new(Managed::counted(&name, target, policy, BTreeMap::new(), lives)))
    }

    /// The path that `to` means, the default one included.
    pub(super) fn path(&self, to: &DevicePath) -> Result<Path> {
        self.core.devices.get(&to.device)?.path(to.path.as_deref())
    }

    /// The connection or path that a `via` or a target names.
    pub(super) async fn carrier(&self, via: &Via) -> Result<Arc<Managed>> {
        match via {
            Via::Connection(name) => self.connection(name).await,
            Via::Device(to) => Ok(Arc::clone(self.path(to)?.managed())),
            Via::Uri(uri) => {
                let builder = self.run_time_builder();
                let root = KeyPath::root();
                Ok(Box::pin(self.by_uri(&builder, &root, uri, &Options::default())).await?)
            }
        }
    }

    /// What `via` means, if anything.
    pub(super) async fn dials(&self, via: Option<&Via>) -> Result<Option<Arc<Managed>>> {
        match via {
            Some(via) => self.carrier(via).await.map(Some),
            None => Ok(None),
        }
    }
}

fn of_path(path: &Path, observe: bool) -> Result<Destination> {
    if !observe {
        return Ok(Destination::Connection(Arc::clone(path.managed())));
    }
    let shared = || Error::unsupported("observing a path that is not exclusive");
    path.observers().cloned().map(Destination::Observe).ok_or_else(shared)
}
