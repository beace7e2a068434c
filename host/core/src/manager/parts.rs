//! [`Parts`]: what is made of a configuration piece by piece; mistakes are collected.

use super::target_builder::{BuildFault, Programs, Unbuilt};
use crate::config::model::PluginsAfterCrash;
use crate::config::{ConfigError, KeyPath, Loaded};
use crate::driver::{LoadOptions, Registry, program_folder, usual_folders};
use crate::nearest::did_you_mean;
use crate::services::{Common, PluginRates, PluginSecrets};
use jackfield_plugin_api::Error;
use std::sync::Arc;

/// What a configuration says, and what was found wrong with it.
pub(super) struct Parts<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) errors: Vec<ConfigError>,
    /// Whether programs that secrets come from are run.
    pub(super) programs: Programs,
    /// What was left unfinished because they are not: it has no mistake that can be seen without.
    pub(super) unresolved: Vec<KeyPath>,
}

impl Parts<'_> {
    /// How plugins are loaded for a configuration.
    pub(super) fn load_options(loaded: &Loaded) -> LoadOptions {
        let host = &loaded.config.host;
        let defaults = LoadOptions::default();
        let key = KeyPath::from_iter(["host", "cache"]);
        let folders = loaded.plugin_folders();
        let named = !folders.is_empty();
        LoadOptions {
            folders,
            // Who names folders means these; a fresh build finds its own drivers all the same.
            beside: if named { defaults.beside } else { program_folder() },
            usual: if named { Vec::new() } else { usual_folders() },
            cache: if host.cache.is_empty() {
                defaults.cache
            } else {
                loaded.file_name(&key, &host.cache)
            },
            allow: host.allow.iter().map(|hash| hash.to_ascii_lowercase()).collect(),
            allow_abort_on_panic: host.danger_allow_abort_on_panic,
            leave_out_after_crash: host.plugins_after_crash == PluginsAfterCrash::LeaveOut,
            init_timeout: host.timeouts.init.0,
            quarantine: host.quarantine.clone().shared(),
            generations: loaded.config.reload.plugins.generations.into(),
            runtime_threads: host.plugin_runtime_threads,
            common: Arc::new(common(loaded)),
            ..defaults
        }
    }

    /// Remembers why there is nothing.
    pub(super) fn keep<T>(&mut self, built: Result<T, Unbuilt>) -> Option<T> {
        match built {
            Ok(built) => return Some(built),
            Err(Unbuilt::Faults(faults)) => self.faults(faults),
            Err(Unbuilt::NeedsProgram(keys)) => self.unresolved.extend(keys),
            // What is missing has mistakes of its own, which were reported.
            Err(Unbuilt::Missing(_)) if self.has_gaps() => {}
            Err(Unbuilt::Missing(faults)) => self.faults(faults),
        }
        None
    }

    pub(super) fn faults(&mut self, faults: Vec<BuildFault>) {
        for BuildFault { key, error, near, is_name } in faults {
            let sources = &self.loaded.sources;
            let position = if is_name { sources.locate_key(&key) } else { sources.locate(&key) };
            self.errors.push(ConfigError::new(position, key, error.to_string()).suggest(near));
        }
    }

    pub(super) fn fault(&mut self, key: &KeyPath, error: Error) {
        self.faults(vec![BuildFault::new(key.clone(), error)]);
    }

    /// Whether something that is missing may be so for a reason that is already told.
    fn has_gaps(&self) -> bool {
        !self.errors.is_empty() || !self.unresolved.is_empty()
    }

    /// What is configured for a plugin that is not there has no effect, and most likely a wrong name.
    pub(super) fn unknown_plugins(&mut self, registry: &Registry) {
        let manifests = || registry.reports().iter().filter_map(|it| it.manifest.as_ref());
        let known: Vec<&str> = manifests().map(|manifest| manifest.name.as_str()).collect();
        let mut errors = Vec::new();
        for name in self.loaded.config.plugins.keys().filter(|name| !known.contains(&name.as_str()))
        {
            let key = KeyPath::from_iter(["plugins", name.as_str()]);
            let position = self.loaded.sources.locate_key(&key);
            let near = did_you_mean(name, known.iter().copied()).map(str::to_owned);
            let error = ConfigError::new(position, key, "no plugin of that name was found");
            errors.push(error.suggest(near));
        }
        self.errors.extend(errors);
    }
}

/// What plugins share, as the configuration says.
pub(super) fn common(loaded: &Loaded) -> Common {
    let limits = &loaded.config.host.limits;
    let secrets = loaded.config.plugins.iter().map(|(plugin, config)| {
        let mut granted = PluginSecrets::default();
        for (name, source) in &config.secrets {
            let key = KeyPath::from_iter(["plugins", plugin.as_str(), "secrets", name.as_str()]);
            granted.grant(name, source.0.clone(), loaded.sources.base_dir(&key));
        }
        (plugin.clone(), granted)
    });
    let rates = PluginRates { log: limits.log_rate, events: limits.event_rate };
    Common::new(limits.metrics, rates, secrets.collect())
}
