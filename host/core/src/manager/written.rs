//! [`Written`]: devices, paths, upstreams, handlers and routes that were defined or removed at run time as a file would
//! say them, over the configuration.
//!
//! They hold until the configuration says something else of that name, a program defines it anew, or they are reset; with
//! a state directory over restarts, too. Connections and targets have tables of their own ([`super::table`],
//! [`super::layer`]).

use super::Manager;
use super::define::refuse_secrets;
use super::entries::DefinedBy;
use super::listen::RunningListener;
use super::named::{Existing, Removal};
use crate::config::diff::{ObjectId, ObjectKind};
use crate::config::model::{
    ConnectionConfig, DeviceConfig, HandlerConfig, PathConfig, RouteConfig, UpstreamConfig,
};
use crate::config::{ConfigErrors, Options, Reference, from_json};
use crate::lock::IgnorePoison;
use crate::secret;
use crate::stack::Plan;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What was written of one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WrittenObject {
    /// As a file would say it; null without a state directory, as it may hold secrets then, and of what was removed.
    pub definition: Value,
    /// Whether it was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Whether the configuration has another one of that name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_configuration: bool,
}

/// What was written of all objects, by names such as `upstreams.NAME`.
#[derive(Debug, Default)]
pub(super) struct Written {
    objects: Mutex<WrittenObjects>,
    /// While what was kept is defined again nothing of it is forgotten.
    is_restoring: AtomicBool,
}

/// What was written of objects, by their names.
pub(super) type WrittenObjects = BTreeMap<String, WrittenObject>;

impl Written {
    /// While this is set, what was kept is defined again, and nothing of it is forgotten.
    pub(super) fn set_restoring(&self, is_restoring: bool) {
        self.is_restoring.store(is_restoring, Ordering::Relaxed);
    }

    pub(super) fn is_restoring(&self) -> bool {
        self.is_restoring.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> WrittenObjects {
        self.objects.lock().ignore_poison().clone()
    }

    pub(super) fn restore(&self, all: WrittenObjects) {
        *self.objects.lock().ignore_poison() = all;
    }

    pub(super) fn get(&self, what: &str) -> Option<WrittenObject> {
        self.objects.lock().ignore_poison().get(what).cloned()
    }

    pub(super) fn put(&self, what: &str, object: Option<WrittenObject>) -> bool {
        let mut all = self.objects.lock().ignore_poison();
        match object {
            Some(object) => all.insert(what.to_owned(), object).is_some(),
            None => all.remove(what).is_some(),
        }
    }
}

/// Why an object is not defined as it was written.
#[derive(Debug)]
pub enum WriteError {
    /// Mistakes in what was written, each with its place.
    Config(ConfigErrors),
    /// What defining it says.
    Failed(Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Config(errors) => errors.fmt(f),
            WriteError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<ConfigErrors> for WriteError {
    fn from(errors: ConfigErrors) -> Self {
        WriteError::Config(errors)
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        WriteError::Failed(error)
    }
}

/// An object that was read.
pub(super) enum ReadObject {
    Device(Box<DeviceConfig>),
    Path(Box<PathConfig>),
    Upstream(Box<UpstreamConfig>),
    Handler(HandlerConfig),
    Route(Box<RouteConfig>),
}

impl ReadObject {
    pub(super) fn of(object: &ObjectId, value: Value) -> std::result::Result<Self, WriteError> {
        Ok(match object.kind {
            ObjectKind::Device => ReadObject::Device(Box::new(from_json(value)?)),
            ObjectKind::Path => ReadObject::Path(Box::new(from_json(value)?)),
            ObjectKind::Upstream => ReadObject::Upstream(Box::new(from_json(value)?)),
            ObjectKind::Handler => ReadObject::Handler(from_json(value)?),
            ObjectKind::Route => ReadObject::Route(Box::new(from_json(value)?)),
            _ => {
                let text =
                    format!("expected a device, path, upstream, handler or route, found {object}");
                return Err(Error::new(ErrorKind::Config, text).into());
            }
        })
    }
}

/// The device and the path of an object's name.
pub(super) fn of_path(object: &ObjectId) -> (&str, &str) {
    object.name.split_once('.').unwrap_or((&object.name, ""))
}

impl Manager {
    /// Defines a device, a path, an upstream, a handler or a route as a file would say it. With a state directory it is
    /// kept from the moment this returns; its secrets must then be references. A route on port 0, which is another port
    /// each time, is not kept. Answers what listens for a route.
    ///
    /// # Errors
    /// Mistakes in `definition` with their places; what defining such an object says; a secret written out that would be
    /// kept.
    pub async fn define_written(
        &self,
        object: &ObjectId,
        definition: Value,
        existing: Existing,
    ) -> std::result::Result<Option<RunningListener>, WriteError> {
        let (what, keeps) = (object.to_string(), self.core.named.keeps());
        let read = ReadObject::of(object, definition.clone())?;
        if keeps {
            self.refuse_secrets_in(&object.name, &read)?;
        }
        let (before, known) = (self.core.revisions.of(&what), self.core.written.get(&what));
        let over = known.as_ref().map_or(self.is_configured(object), |it| it.over_configuration);
        let is_kept = !matches!(&read, ReadObject::Route(route) if route.listen.port == Some(0));
        let running = self.define_read(object, read, existing).await?;
        if self.core.revisions.of(&what) == before {
            // An equal definition: what was written of it stays.
            if let Some(known) = known {
                self.core.written.put(&what, Some(known));
            }
            return Ok(running);
        }
        if is_kept {
            let definition = if keeps { definition } else { Value::Null };
            let over_configuration = over;
            self.write(
                &what,
                Some(WrittenObject { definition, removed: false, over_configuration }),
            )?;
        }
        Ok(running)
    }

    pub(super) async fn define_read(
        &self,
        object: &ObjectId,
        read: ReadObject,
        existing: Existing,
    ) -> Result<Option<RunningListener>> {
        let name = object.name.as_str();
        match read {
            ReadObject::Device(config) => {
                drop(self.define_device(name, *config, existing).await?);
            }
            ReadObject::Path(config) => {
                let (device, path) = of_path(object);
                drop(self.define_path(device, path, *config, existing).await?);
            }
            ReadObject::Upstream(config) => {
                drop(self.define_upstream(name, *config, existing).await?);
            }
            ReadObject::Handler(config) => self.define_handler(name, config, existing).await?,
            ReadObject::Route(config) => return self.add_route(*config, existing).await.map(Some),
        }
        Ok(None)
    }

    /// Removes an object as the verb for its kind does, and keeps that it is gone where the configuration has it. A route
    /// ends with what it has accepted within `limit`, or lets that go on without one.
    ///
    /// # Errors
    /// What removing such an object says.
    pub async fn remove_written(
        &self,
        object: &ObjectId,
        end: Removal,
        limit: Option<Duration>,
    ) -> Result<()> {
        let (mut what, name) = (object.to_string(), object.name.as_str());
        let known = self.core.written.get(&what);
        let mut over = known.map_or(self.is_configured(object), |it| it.over_configuration);
        if object.kind == ObjectKind::Path {
            // What was written of the device has it.
            over |= self.core.written.get(&format!("devices.{}", of_path(object).0)).is_some();
        }
        match object.kind {
            ObjectKind::Device => self.remove_device(name, end).await?,
            ObjectKind::Path => {
                let (device, path) = of_path(object);
                self.remove_path(device, path, end).await?;
            }
            ObjectKind::Upstream => self.remove_upstream(name, limit.unwrap_or_default()).await?,
            ObjectKind::Handler => self.remove_handler(name)?,
            ObjectKind::Route => {
                let running = self.listener(name)?;
                what = format!("routes.{}", running.name());
                match limit {
                    Some(limit) => running.close_within(limit).await,
                    None => running.stop().await,
                }
                self.core.revisions.forget(&what);
            }
            _ => return Err(Error::new(ErrorKind::Config, format!("{object} is not removed so"))),
        }
        let gone =
            WrittenObject { removed: true, over_configuration: true, ..WrittenObject::default() };
        self.write(&what, over.then_some(gone))
    }

    /// Whether the configuration defines what there is of that name.
    fn is_configured(&self, object: &ObjectId) -> bool {
        let name = object.name.as_str();
        let config = DefinedBy::Config;
        match object.kind {
            ObjectKind::Upstream => self.core.upstreams.get(name).is_ok_and(|it| it.by == config),
            ObjectKind::Handler => self.core.handlers.get(name).is_ok_and(|it| it.by == config),
            ObjectKind::Route => self.listeners().iter().any(|it| {
                (it.listen == name || it.local.as_ref().is_some_and(|at| at.to_string() == name))
                    && it.defined_by == config
            }),
            ObjectKind::Device => {
                let device = self.device(name);
                device.is_ok_and(|it| self.device_snapshot(&it).defined_by == config)
            }
            ObjectKind::Path => {
                let (device, path) = of_path(object);
                self.core.paths.by(device, path) == Some(config)
            }
            _ => false,
        }
    }

    /// Notes what was written of an object, or that it is as the configuration or a program says.
    pub(super) fn write(&self, what: &str, object: Option<WrittenObject>) -> Result<()> {
        let was_there = self.core.written.put(what, object.clone());
        if object.is_none() && !was_there {
            return Ok(());
        }
        self.core.named.keep_written(what, object).map_err(|error| {
            let text = format!("it holds until the host ends, and cannot be kept: {error}");
            Error::new(error.kind(), text)
        })
    }

    /// What is defined anew otherwise is not as it was written any more.
    pub(super) fn unwrite(&self, what: &str) {
        if self.core.written.is_restoring() {
            return;
        }
        if let Err(error) = self.write(what, None) {
            tracing::warn!(what, %error, "what was kept of it is not forgotten");
        }
    }

    /// What is kept in a file must hold no secret, only where it is.
    fn refuse_secrets_in(&self, name: &str, read: &ReadObject) -> Result<()> {
        match read {
            ReadObject::Path(path) => self.refuse_secrets_of(path),
            ReadObject::Device(device) => {
                let device = device.as_ref().clone().with_inherited();
                device.paths.values().try_for_each(|path| self.refuse_secrets_of(path))
            }
            ReadObject::Upstream(upstream) => {
                upstream.targets.iter().try_for_each(|target| self.keepable(target))
            }
            ReadObject::Handler(config) => {
                let registry = self.registry();
                let named = config.handler.as_deref().unwrap_or(name);
                let Ok(handler) = registry.handler(named) else { return Ok(()) };
                let found = secret::check(&config.options, &handler.manifest.options);
                match found.iter().any(|finding| finding.problem.is_warning()) {
                    true => Err(Error::new(ErrorKind::Config, WRITTEN_OUT)),
                    false => Ok(()),
                }
            }
            ReadObject::Route(route) => {
                if let Reference::Uri(uri) = &route.to
                    && uri.password.is_some()
                {
                    return Err(Error::new(ErrorKind::Config, WRITTEN_OUT));
                }
                self.refuse_secrets_at(&route.listen, &route.options, (Role::Server, false))
            }
        }
    }

    fn refuse_secrets_of(&self, path: &PathConfig) -> Result<()> {
        let PathConfig { uri, options, login, via, .. } = path;
        let plan = Plan::new(uri, &self.registry(), Role::Client, via.is_some())?;
        let config = ConnectionConfig {
            uri: uri.clone(),
            options: options.clone(),
            login: login.clone(),
            ..ConnectionConfig::default()
        };
        refuse_secrets(&plan, &config)
    }

    fn refuse_secrets_at(
        &self,
        uri: &StackUri,
        options: &Options,
        (role, carried): (Role, bool),
    ) -> Result<()> {
        let plan = Plan::new(uri, &self.registry(), role, carried)?;
        let (uri, options) = (uri.clone(), options.clone());
        refuse_secrets(&plan, &ConnectionConfig { uri, options, ..ConnectionConfig::default() })
    }
}

const WRITTEN_OUT: &str = "a secret is written out, which the state directory does not keep; refer to it: \
    { env = \"NAME\" }, { file = \"PATH\" }, { command = [\"PROGRAM\"] } or { prompt = \"TEXT\" }";
