//! The parts of a graph, each from its piece of the configuration; mistakes are collected.

use super::interceptors::Interceptors;
use crate::config::model::{PluginsAfterCrash, Quarantine};
use crate::config::{ConfigError, KeyPath, Link, Loaded, Options, Via};
use crate::connection::{Managed, Target};
use crate::device::Path;
use crate::dialogue::Login;
use crate::driver::{
    LoadOptions, Prepared, QuarantineOptions, Registry, program_folder, usual_folders,
};
use crate::metrics::MetricLimits;
use crate::nearest::did_you_mean;
use crate::secret::{self, Resolver, Secret};
use crate::services::{Common, PluginSecrets};
use crate::stack::uri::StackUri;
use crate::stack::{OptionProblem, Plan, Stack, StackError, login, options};
use jackfield_plugin_api::{Error, Role};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Builds parts and remembers what was wrong.
pub(super) struct Parts<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) registry: &'a Registry,
    pub(super) interceptors: Interceptors,
    pub(super) connections: BTreeMap<String, Arc<Managed>>,
    /// Paths of devices, by the name of the device.
    pub(super) paths: BTreeMap<String, Vec<Path>>,
    pub(super) errors: Vec<ConfigError>,
    /// Whether programs that secrets come from are run.
    pub(super) programs: Programs,
    /// What was left unfinished because they are not: it has no mistake that can be seen without.
    pub(super) unresolved: Vec<KeyPath>,
}

/// Whether programs that secrets come from are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// They are.
    Run,
    /// What needs one is held against the schemas of its drivers, and not put in place.
    Leave,
}

/// One stack of the configuration: what it says and where.
pub(super) struct StackAt<'a> {
    /// The table or text that says it.
    pub(super) key: KeyPath,
    /// The key of the URI itself.
    pub(super) uri_key: KeyPath,
    pub(super) uri: &'a StackUri,
    pub(super) options: &'a Options,
    pub(super) role: Role,
    pub(super) via: Option<&'a Via>,
    /// What is said of logging in, and where.
    pub(super) login: Option<(KeyPath, &'a Options)>,
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
            log_rate: host.limits.log_rate,
            quarantine: quarantine(&host.quarantine),
            runtime_threads: host.plugin_runtime_threads,
            common: Arc::new(common(loaded)),
            ..defaults
        }
    }

    pub(super) fn fault(&mut self, key: &KeyPath, error: &Error) {
        let position = self.loaded.sources.locate(key);
        self.errors.push(ConfigError::new(position, key.clone(), error.to_string()));
    }

    fn option_faults(&mut self, options: &KeyPath, problems: Vec<OptionProblem>) {
        for problem in problems {
            let key = problem.path.iter().fold(options.clone(), |key, step| key.key(step));
            let position = self.loaded.sources.locate_key(&key);
            let error = ConfigError::new(position, key, problem.message);
            self.errors.push(error.suggest(problem.suggestion));
        }
    }

    /// A stack, or `None` with its mistakes remembered.
    pub(super) async fn stack(&mut self, at: &StackAt<'_>) -> Option<Stack> {
        let plan = match Plan::new(at.uri, self.registry, at.role, at.via.is_some()) {
            Ok(plan) => plan,
            Err(error) => {
                self.fault(&at.uri_key, &error);
                return None;
            }
        };
        let options = at.key.key("options");
        if self.programs == Programs::Leave && self.needs_program(&plan, at) {
            self.unresolved.push(at.key.clone());
            return None;
        }
        let login = match &at.login {
            Some((key, login)) => Some(self.login(key, login).await?),
            None => None,
        };
        let resolver = Resolver { base: self.base(&options), ..Resolver::default() };
        match Stack::new(plan, &at.options.0, at.role, &resolver).await {
            Ok(stack) => Some(stack.logging_in(login)),
            Err(StackError::Options(problems)) => {
                self.option_faults(&options, problems);
                None
            }
            Err(StackError::Other(error)) => {
                self.fault(&at.key, &error);
                None
            }
        }
    }

    /// Whether a program must be run for a stack; then it is checked as far as it can be.
    fn needs_program(&mut self, plan: &Plan, at: &StackAt<'_>) -> bool {
        let (problems, mut needed) = options::look_over(plan, &at.options.0);
        let said = at.login.as_ref().map(|(key, login)| (key, &login.0));
        needed |=
            said.is_some_and(|(_, login)| !secret::programs(login, login::schema()).is_empty());
        if needed {
            self.option_faults(&at.key.key("options"), problems);
            if let Some((key, login)) = said {
                self.option_faults(key, options::check(login::schema(), login, &[], &[]));
            }
        }
        needed
    }

    async fn login(&mut self, key: &KeyPath, login: &Options) -> Option<Login> {
        let resolver = Resolver { base: self.base(key), ..Resolver::default() };
        match login::login(login, &resolver).await {
            Ok(login) => Some(login),
            Err(problems) => {
                self.option_faults(key, problems);
                None
            }
        }
    }

    /// A target; `None` when it or what carries it has mistakes.
    pub(super) async fn target(&mut self, at: &StackAt<'_>) -> Option<Target> {
        let stack = self.stack(at).await?;
        let via = match at.via {
            // What carries it and is not there has its own mistake, which was reported.
            Some(via) => Some(self.carrier(via)?),
            None => None,
        };
        Some(Target::new(stack, via))
    }

    /// What `via` means, if it has been built.
    pub(super) fn carrier(&self, via: &Via) -> Option<Arc<Managed>> {
        match self.loaded.config.carrier(via)? {
            Link::Connection(name) => self.connections.get(name).cloned(),
            Link::Path(device, path) => {
                let built = self.paths.get(device)?;
                let path = built.iter().find(|built| built.name() == path)?;
                Some(Arc::clone(path.managed()))
            }
        }
    }

    /// A handler with its options.
    pub(super) async fn handler(
        &mut self,
        key: &KeyPath,
        name: &str,
        options: &Options,
    ) -> Option<Prepared> {
        let handler = match self.registry.handler(name) {
            Ok(handler) => Arc::clone(handler),
            Err(error) => {
                self.fault(key, &error);
                return None;
            }
        };
        let options_key = key.key("options");
        let text = self.options(&options_key, &handler.manifest.options, options).await?;
        match handler.configure(text).await {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                self.fault(&options_key, &error);
                None
            }
        }
    }

    /// Options of a handler or an interceptor against its schema, as JSON with their secrets in them.
    pub(super) async fn options(
        &mut self,
        key: &KeyPath,
        schema: &Value,
        options: &Options,
    ) -> Option<Secret> {
        let needed = || !secret::programs(&options.0, schema).is_empty();
        if self.programs == Programs::Leave && needed() {
            self.option_faults(key, options::check(schema, &options.0, &[], &[]));
            self.unresolved.push(key.clone());
            return None;
        }
        let resolver = Resolver { base: self.base(key), ..Resolver::default() };
        match options::prepare(schema, &options.0, &[], &[], &resolver).await {
            Ok(text) => Some(text),
            Err(problems) => {
                self.option_faults(key, problems);
                None
            }
        }
    }

    /// What is configured for a plugin that is not there has no effect, and most likely a wrong name.
    pub(super) fn unknown_plugins(&mut self) {
        let manifests = || self.registry.reports().iter().filter_map(|it| it.manifest.as_ref());
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

    fn base(&self, key: &KeyPath) -> PathBuf {
        self.loaded.sources.base_dir(key)
    }
}

fn quarantine(config: &Quarantine) -> QuarantineOptions {
    QuarantineOptions {
        panics: config.panics,
        window: config.window.0,
        pause: config.pause.0,
        max_pause: config.max_pause.0,
        stuck_warn: config.stuck_warn.0,
        stuck_limit: config.stuck_limit.0,
    }
}

/// What plugins share, as the configuration says.
fn common(loaded: &Loaded) -> Common {
    let limits = &loaded.config.host.limits;
    let metrics = MetricLimits {
        per_plugin: limits.plugin_metrics as usize,
        in_all: limits.metrics as usize,
    };
    let secrets = loaded.config.plugins.iter().map(|(plugin, config)| {
        let mut granted = PluginSecrets::default();
        for (name, source) in &config.secrets {
            let key = KeyPath::from_iter(["plugins", plugin.as_str(), "secrets", name.as_str()]);
            granted.grant(name, source.0.clone(), loaded.sources.base_dir(&key));
        }
        (plugin.clone(), granted)
    });
    Common::new(metrics, limits.event_rate, secrets.collect())
}
