//! [`Registry`]: all drivers, handlers and schemes by name, and the report of every file.

use super::PluginReport;
use super::asked::RunningPlugin;
use super::health::FileHealth;
use super::interceptor::{InterceptorHandle, handles};
use super::load::Running;
use super::prepared::Prepared;
use super::sentinel::{Crash, InUse, Sentinel, Use, UsedPlugin};
use super::watchdog::Watchdog;
#[cfg(feature = "admin")]
use crate::dialogue;
use crate::nearest::did_you_mean;
use crate::secret::Secret;
use crate::services::Common;
use jackfield_plugin_api::load::Plugin;
use jackfield_plugin_api::watch::{Owner, OwnerName};
use jackfield_plugin_api::{
    DriverManifest, Error, ErrorKind, HandlerManifest, Kind, Operation, PluginManifest, Result,
    Role, SchemeManifest,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A driver that runs.
#[derive(Debug)]
pub struct DriverHandle {
    /// What it says of itself, schemas included.
    pub manifest: DriverManifest,
    /// The plugin it is of.
    pub plugin_name: String,
    /// That plugin's version.
    pub plugin_version: String,
    /// Marks the calls into it.
    pub owner: Owner,
    plugin: Plugin,
    health: Arc<FileHealth>,
    in_use: Option<Arc<Use>>,
    index: u32,
}

impl DriverHandle {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// All about it as JSON: its manifest with schemas, whose it is, and what any stream has.
    #[cfg(feature = "admin")]
    pub(crate) fn describe(&self) -> serde_json::Value {
        let mut value = serde_json::json!(self.manifest);
        value["plugin"] = serde_json::json!(self.plugin_name);
        value["version"] = serde_json::json!(self.plugin_version);
        if self.manifest.facets.contains(jackfield_plugin_api::Facets::STREAM) {
            value["stream_operations"] = serde_json::json!(dialogue::operations());
        }
        value
    }

    /// The operation of that name of its sessions.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.manifest.operations.iter().find(|operation| operation.name == name)
    }

    /// Whether it reaches the outside world by itself.
    pub fn is_transport(&self) -> bool {
        self.manifest.kind == Kind::Transport
    }

    /// Prepares it with options as JSON, within the time that plugins have to start.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the option; [`ErrorKind::TimedOut`].
    pub async fn configure(&self, role: Role, options: Secret) -> Result<Prepared> {
        self.in_use.iter().for_each(|in_use| in_use.note());
        let (plugin, index) = (self.plugin.clone(), self.index);
        let work = move || plugin.configure_driver(index, role, options.expose());
        let endpoint = self.health.prepare(work).await;
        endpoint
            .map(|endpoint| Prepared::new(endpoint.owned_by(self.owner), Arc::clone(&self.health)))
            .map_err(|error| error.with("driver", self.name()))
    }
}

/// A handler that runs.
#[derive(Debug)]
pub struct HandlerHandle {
    /// What it says of itself, schema included.
    pub manifest: HandlerManifest,
    /// The plugin it is of.
    pub plugin_name: String,
    /// Marks the calls into it.
    pub owner: Owner,
    plugin: Plugin,
    health: Arc<FileHealth>,
    in_use: Option<Arc<Use>>,
    index: u32,
}

impl HandlerHandle {
    /// As [`DriverHandle::configure`].
    ///
    /// # Errors
    /// As [`DriverHandle::configure`].
    pub async fn configure(&self, options: Secret) -> Result<Prepared> {
        self.in_use.iter().for_each(|in_use| in_use.note());
        let (plugin, index) = (self.plugin.clone(), self.index);
        let work = move || plugin.configure_handler(index, options.expose());
        let endpoint = self.health.prepare(work).await;
        endpoint
            .map(|endpoint| Prepared::new(endpoint.owned_by(self.owner), Arc::clone(&self.health)))
            .map_err(|error| error.with("handler", &self.manifest.name))
    }
}

/// A scheme and the driver that it starts with.
#[derive(Clone, Debug)]
pub struct SchemeEntry {
    /// What it stands for.
    pub manifest: SchemeManifest,
    /// The driver that declared it.
    pub driver: Arc<DriverHandle>,
}

/// Everything that was loaded.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    drivers: BTreeMap<String, Arc<DriverHandle>>,
    handlers: BTreeMap<String, Arc<HandlerHandle>>,
    interceptors: BTreeMap<String, Arc<InterceptorHandle>>,
    running: Vec<Arc<RunningPlugin>>,
    common: Arc<Common>,
    schemes: BTreeMap<String, SchemeEntry>,
    reports: Vec<PluginReport>,
    searched: Vec<PathBuf>,
    crashes: Vec<Crash>,
    in_use: InUse,
    /// Lives as long as the last copy of this.
    watchdog: Option<Arc<Watchdog>>,
}

impl Registry {
    /// Watches all that is in here, and what is added later, on the current runtime, until the last copy
    /// of this is dropped.
    pub(super) fn watch(&mut self) {
        let drivers = self.drivers.values().map(|driver| (driver.owner, &driver.health));
        let handlers = self.handlers.values().map(|handler| (handler.owner, &handler.health));
        let interceptors = self.interceptors.values().map(|it| (it.owner, it.health()));
        let watched = drivers.chain(handlers).chain(interceptors);
        let watched = watched.map(|(owner, health)| (owner, Arc::clone(health))).collect();
        self.watchdog = Watchdog::start(watched);
    }

    pub(super) fn add(&mut self, report: PluginReport, running: Option<Running>) {
        if let Some((plugin, manifest)) = running {
            let in_use = self.in_use.plugin(UsedPlugin {
                name: manifest.name.clone(),
                sha256: report.sha256.clone().unwrap_or_default(),
                file: report.path.clone(),
            });
            self.add_running(&plugin, manifest, &report.health, Some(&in_use));
        }
        self.reports.push(report);
    }

    /// Adds a plugin that is linked into this binary, as a bench or an embedding program does. Its
    /// panics end their calls as others do, but are not counted: its code cannot be told from the
    /// host's.
    pub fn add_plugin(&mut self, plugin: &Plugin, manifest: PluginManifest) {
        self.add_running(plugin, manifest, &Arc::default(), None);
    }

    fn add_running(
        &mut self,
        plugin: &Plugin,
        manifest: PluginManifest,
        health: &Arc<FileHealth>,
        in_use: Option<&Arc<Use>>,
    ) {
        let (plugin_name, watchdog) = (manifest.name.clone(), self.watchdog.clone());
        let owner = |kind, name: &str| {
            let name = OwnerName { plugin: plugin_name.clone(), kind, name: name.to_owned() };
            let owner = Owner::new(name);
            watchdog.iter().for_each(|watchdog| watchdog.add(owner, health));
            owner
        };
        self.running.push(Arc::new(RunningPlugin::new(plugin.clone(), &manifest, health)));
        self.interceptors.extend(handles(plugin, &manifest, health, owner));
        for (index, driver) in (0..).zip(manifest.drivers) {
            let handle = Arc::new(DriverHandle {
                plugin_name: manifest.name.clone(),
                plugin_version: manifest.version.clone(),
                owner: owner("driver", &driver.name),
                plugin: plugin.clone(),
                health: Arc::clone(health),
                in_use: in_use.cloned(),
                index,
                manifest: driver,
            });
            for scheme in &handle.manifest.schemes {
                let entry = SchemeEntry { manifest: scheme.clone(), driver: Arc::clone(&handle) };
                self.schemes.insert(scheme.name.clone(), entry);
            }
            self.drivers.insert(handle.name().to_owned(), handle);
        }
        for (index, handler) in (0..).zip(manifest.handlers) {
            let handle = HandlerHandle {
                plugin_name: manifest.name.clone(),
                owner: owner("handler", &handler.name),
                plugin: plugin.clone(),
                health: Arc::clone(health),
                in_use: in_use.cloned(),
                index,
                manifest: handler,
            };
            self.handlers.insert(handle.manifest.name.clone(), Arc::new(handle));
        }
    }

    pub(super) fn set_common(&mut self, common: &Arc<Common>) {
        self.common = Arc::clone(common);
    }

    /// What the plugins share: what they measure and tell, and when they are to stop.
    pub fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// The plugins that run, to be asked and told as a whole.
    pub fn running(&self) -> &[Arc<RunningPlugin>] {
        &self.running
    }

    pub(super) fn set_searched(&mut self, folders: Vec<PathBuf>) {
        self.searched = folders;
    }

    pub(super) fn set_crashes(&mut self, crashes: Vec<Crash>) {
        self.crashes = crashes;
    }

    /// Hosts that used the same cache and ended without a clean stop.
    pub fn crashes(&self) -> &[Crash] {
        &self.crashes
    }

    /// Names the plugins that are in use in a file of the cache folder `cache`, for as long as what is
    /// given back lives: a plugin is in use once one of its drivers or handlers was given options.
    ///
    /// # Errors
    /// What the system says.
    pub fn name_plugins_in_use(&self, cache: &Path) -> std::io::Result<Sentinel> {
        self.in_use.keep(cache)
    }

    /// The drivers by name.
    pub fn drivers(&self) -> impl Iterator<Item = &Arc<DriverHandle>> {
        self.drivers.values()
    }
    /// The handlers by name.
    pub fn handlers(&self) -> impl Iterator<Item = &Arc<HandlerHandle>> {
        self.handlers.values()
    }
    /// The interceptors by name.
    pub fn interceptors(&self) -> impl Iterator<Item = &Arc<InterceptorHandle>> {
        self.interceptors.values()
    }
    /// The schemes by name.
    pub fn schemes(&self) -> impl Iterator<Item = &SchemeEntry> {
        self.schemes.values()
    }
    /// What became of each file, in order.
    pub fn reports(&self) -> &[PluginReport] {
        &self.reports
    }

    /// The folders that were searched, in order.
    pub fn searched(&self) -> &[PathBuf] {
        &self.searched
    }

    /// A driver by name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name and where drivers were looked for.
    pub fn driver(&self, name: &str) -> Result<&Arc<DriverHandle>> {
        self.drivers
            .get(name)
            .ok_or_else(|| self.unknown("driver", name, self.drivers.keys().map(String::as_str)))
    }

    /// A handler by name.
    ///
    /// # Errors
    /// As [`Registry::driver`].
    pub fn handler(&self, name: &str) -> Result<&Arc<HandlerHandle>> {
        self.handlers
            .get(name)
            .ok_or_else(|| self.unknown("handler", name, self.handlers.keys().map(String::as_str)))
    }

    /// An interceptor by name.
    ///
    /// # Errors
    /// As [`Registry::driver`].
    pub fn interceptor(&self, name: &str) -> Result<&Arc<InterceptorHandle>> {
        let known = self.interceptors.keys().map(String::as_str);
        self.interceptors.get(name).ok_or_else(|| self.unknown("interceptor", name, known))
    }

    /// A scheme by name.
    ///
    /// # Errors
    /// As [`Registry::driver`].
    pub fn scheme(&self, name: &str) -> Result<&SchemeEntry> {
        self.schemes
            .get(name)
            .ok_or_else(|| self.unknown("scheme", name, self.schemes.keys().map(String::as_str)))
    }

    fn unknown<'a>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Error {
        let mut text = format!("there is no {what} {name:?}");
        if let Some(near) = did_you_mean(name, known.clone()) {
            text.push_str(&format!(" (did you mean {near:?}?)"));
        }
        let refused = self.reports.iter().filter(|report| report.refusal.is_some()).count();
        let folders: Vec<String> =
            self.searched.iter().map(|folder| folder.display().to_string()).collect();
        let known: Vec<&str> = known.collect();
        let error = Error::new(ErrorKind::NotFound, text)
            .with("known", if known.is_empty() { "none".to_owned() } else { known.join(" ") })
            .with("looked in", folders.join(" "));
        if refused > 0 { error.with("files refused", refused) } else { error }
    }
}
