//! [`Registry`]: all drivers, handlers, interceptors and schemes by name, and the report of every file.

use super::asked::RunningPlugin;
use super::enter::{EnteredPlugin, Numbers};
use super::file::FoundFile;
use super::generation::{GenerationSnapshot, RetiredGeneration};
use super::handles::{DriverHandle, HandlerHandle, InterceptorHandle, SchemeEntry};
use super::part::PluginPart;
use super::sentinel::{Crash, InUse, Sentinel};
use super::stamp::FileStamp;
use super::watchdog::Watchdog;
use super::{LoadOptions, PluginReport};
use crate::nearest::did_you_mean;
use crate::services::Common;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `driver`, `handler` or `interceptor`, and its name.
pub(super) type PartKey = (&'static str, String);

/// Everything that was loaded. A value: what changes while a host runs is another one.
#[derive(Clone, Default, Debug)]
pub struct Registry {
    pub(super) drivers: BTreeMap<String, Arc<DriverHandle>>,
    pub(super) handlers: BTreeMap<String, Arc<HandlerHandle>>,
    pub(super) interceptors: BTreeMap<String, Arc<InterceptorHandle>>,
    pub(super) schemes: BTreeMap<String, SchemeEntry>,
    /// All that there are and were.
    pub(super) parts: BTreeMap<PartKey, Arc<PluginPart>>,
    /// Schemes that there were, with the drivers that had them.
    pub(super) lost_schemes: BTreeMap<String, String>,
    pub(super) plugins: Vec<EnteredPlugin>,
    pub(super) retired: Vec<RetiredGeneration>,
    pub(super) numbers: BTreeMap<String, Numbers>,
    /// Files as they were judged last.
    pub(super) judged: BTreeMap<PathBuf, FileStamp>,
    /// Files whose plugins were not started yet: see [`LoadOptions::only`].
    pub(super) aside: Vec<FoundFile>,
    /// The file that hangs in the system's loader, which loads one file at a time.
    pub(super) hung: Option<PathBuf>,
    common: Arc<Common>,
    pub(super) reports: Vec<PluginReport>,
    searched: Vec<PathBuf>,
    crashes: Vec<Crash>,
    pub(super) in_use: InUse,
    /// Lives as long as the last copy of this.
    pub(super) watchdog: Option<Arc<Watchdog>>,
}

impl Registry {
    /// Without a plugin yet. Watches all that is added, on the current runtime, until the last copy of this is
    /// dropped.
    pub(super) fn of(options: &LoadOptions, crashes: Vec<Crash>) -> Self {
        Registry {
            common: Arc::clone(&options.common),
            searched: options.searched().cloned().collect(),
            crashes,
            watchdog: Watchdog::start(Vec::new()),
            ..Registry::default()
        }
    }

    /// What the plugins share: what they measure and tell, and when they are to stop.
    pub fn common(&self) -> &Arc<Common> {
        &self.common
    }

    /// The plugins that run, to be asked and told as a whole.
    pub fn running(&self) -> Vec<Arc<RunningPlugin>> {
        self.plugins.iter().map(|plugin| Arc::clone(plugin.generation.running())).collect()
    }

    /// Plugins that were replaced or removed, and have sessions still.
    pub(super) fn retired_running(&self) -> impl Iterator<Item = Arc<RunningPlugin>> {
        self.retired.iter().filter_map(RetiredGeneration::running)
    }

    /// The generations of all plugins: those that get new sessions, then those that have sessions still.
    pub fn generations(&self) -> Vec<GenerationSnapshot> {
        let now = self.plugins.iter().map(|plugin| GenerationSnapshot {
            id: (*plugin.generation.id).clone(),
            retired: None,
            sessions: plugin.generation.sessions(),
        });
        now.chain(self.retired.iter().filter_map(RetiredGeneration::snapshot)).collect()
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

    /// Keeps what became of a file, in the place of what was reported of it before. One that was refused in the
    /// place of another does not take away the report of that.
    pub(super) fn report(&mut self, report: PluginReport) {
        let runs = report.refusal.is_some()
            && self.plugins.iter().any(|plugin| plugin.file() == report.path);
        self.reports.retain(|it| it.path != report.path || (runs && it.refusal.is_none()));
        self.reports.push(report);
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

    /// Whether there is, or was, a `driver`, `handler`, `interceptor` or `scheme` of that name.
    pub fn has_seen(&self, what: &'static str, name: &str) -> bool {
        match what {
            "scheme" => self.schemes.contains_key(name) || self.lost_schemes.contains_key(name),
            _ => self.parts.contains_key(&(what, name.to_owned())),
        }
    }

    /// Why what was there once is there no more.
    fn gone(&self, what: &str, name: &str) -> Option<Error> {
        let (kind, name) = match what {
            "scheme" => ("driver", self.lost_schemes.get(name)?.as_str()),
            kind => (kind, name),
        };
        let mut parts = self.parts.values();
        parts.find(|part| part.kind == kind && part.name == name)?.gone()
    }

    fn unknown<'a>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Error {
        if let Some(gone) = self.gone(what, name) {
            return gone;
        }
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
