//! [`Plugins`]: what a configuration loads, before anything is built from it.

use super::parts::Parts;
use crate::config::model::RefusedPlugins;
use crate::config::{ConfigError, KeyPath, Loaded};
use crate::driver::{LoadOptions, PluginReport, Registry, Sentinel, load, plugin_files};
use crate::services::PluginServices;
use jackfield_plugin_api::Result;
use jackfield_plugin_api::load::Module;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Plugins that run. One host is built on them, after which they can open stacks through it.
pub struct Plugins {
    pub(super) registry: Registry,
    /// Where what is in use is named; `None` names it nowhere.
    cache: Option<PathBuf>,
    faults: Faults,
    /// How they were loaded.
    pub(super) options: LoadOptions,
}

/// What is wrong with the folders that `host.plugins` names.
#[derive(Default)]
struct Faults {
    /// Folders that give nothing.
    folders: Vec<ConfigError>,
    /// Files that were refused.
    files: Vec<ConfigError>,
}

impl Plugins {
    /// Loads what the folders of `loaded` hold. Never fails as a whole: each file has its report. No file
    /// is tried in a process of its own, see [`LoadOptions::trial`].
    pub async fn load(loaded: &Loaded) -> Self {
        Self::load_with(loaded, |_| ()).await
    }

    /// As [`Plugins::load`]; `change` may change how.
    pub async fn load_with(loaded: &Loaded, change: impl FnOnce(&mut LoadOptions)) -> Self {
        let mut options = Parts::load_options(loaded);
        change(&mut options);
        let registry = load(&options).await;
        let faults = faults(loaded, &options.folders, registry.reports());
        Plugins { registry, cache: Some(options.cache.clone()), faults, options }
    }

    /// Adds a plugin that is linked into this program.
    pub(super) fn link(&mut self, module: &Module) -> Result<()> {
        let manifest = module.describe()?;
        let common = Arc::clone(self.registry.common());
        // A panic ends its call; the log has it.
        let services = PluginServices::new(&manifest.name, common, Box::new(|_| ()));
        self.registry.add_plugin(&module.init(Arc::new(services), "{}")?, manifest);
        Ok(())
    }

    /// For a host that a person looks at while it runs: what is in use is not named in a file, and hosts
    /// that ended without a clean stop are left for another to tell of.
    #[must_use]
    pub fn without_sentinel(mut self) -> Self {
        self.cache = None;
        self
    }

    /// The folder where copies of plugins, and what is known of them, are kept.
    pub fn cache_folder(loaded: &Loaded) -> PathBuf {
        Parts::load_options(loaded).cache
    }

    /// Their drivers, handlers and schemes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The files that were not taken.
    pub fn refused(&self) -> impl Iterator<Item = &PluginReport> {
        self.registry.reports().iter().filter(|report| report.refusal.is_some())
    }

    /// What is wrong with the folders that `host.plugins` names: one that cannot be read, one without a
    /// plugin, files that were refused.
    pub fn faults(&self) -> Vec<ConfigError> {
        self.faults.folders.iter().chain(&self.faults.files).cloned().collect()
    }

    /// Those of them that keep a host from starting, by `host.refused_plugins`.
    pub(super) fn stopping(&self, loaded: &Loaded) -> Vec<ConfigError> {
        match loaded.config.host.refused_plugins {
            RefusedPlugins::Stop => self.faults(),
            RefusedPlugins::Warn => Vec::new(),
        }
    }

    /// Writes a warning for each file that was not taken, each folder that gave nothing, and each host
    /// that ended without a clean stop, which is then forgotten.
    pub(super) fn warn(&self) {
        for report in self.refused() {
            if let Some(refusal) = &report.refusal {
                let file = report.path.display();
                tracing::warn!(%file, code = refusal.code(), "plugin refused: {refusal}");
            }
        }
        for fault in &self.faults.folders {
            tracing::warn!("{fault}");
        }
        for crash in self.registry.crashes().iter().filter(|_| self.cache.is_some()) {
            let names: Vec<&str> =
                crash.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
            tracing::warn!(
                pid = crash.pid,
                plugins = names.join(" "),
                "a host ended without a clean stop while these plugins were in use: one of them may have \
                 ended it, or it was killed"
            );
            crash.forget();
        }
    }

    /// Names what is in use for as long as what is given back lives.
    pub(super) fn sentinel(&self) -> Option<Sentinel> {
        let cache = self.cache.as_ref()?;
        match self.registry.name_plugins_in_use(cache) {
            Ok(sentinel) => Some(sentinel),
            Err(error) => {
                let cache = cache.display();
                tracing::warn!(%cache, "plugins in use are not noted: {error}");
                None
            }
        }
    }
}

/// The folders that `host.plugins` names that give nothing.
pub(super) fn unreadable(loaded: &Loaded, folders: &[PathBuf]) -> Vec<ConfigError> {
    faults(loaded, folders, &[]).folders
}

fn faults(loaded: &Loaded, folders: &[PathBuf], reports: &[PluginReport]) -> Faults {
    let list = KeyPath::from_iter(["host", "plugins"]);
    let mut faults = Faults::default();
    for (index, folder) in folders.iter().enumerate() {
        let key = list.index(index);
        let position = loaded.sources.locate(&key);
        let fault = |message| ConfigError::new(position.clone(), key.clone(), message);
        let shown = folder.display();
        match plugin_files(folder) {
            Err(error) => {
                faults.folders.push(fault(format!("the folder {shown} cannot be read: {error}")));
            }
            Ok(files) if files.is_empty() => {
                faults
                    .folders
                    .push(fault(format!("the folder {shown} has no plugin (a file *.so)")));
            }
            Ok(_) => {}
        }
        for report in reports.iter().filter(|report| is_in(&report.path, folder)) {
            if let Some(refusal) = &report.refusal {
                faults.files.push(fault(format!("{}: {refusal}", report.path.display())));
            }
        }
    }
    faults
}

fn is_in(file: &Path, folder: &Path) -> bool {
    file.parent() == Some(folder)
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.registry.fmt(f)
    }
}
