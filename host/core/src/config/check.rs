//! What shape alone does not say: names that must exist, values that must be in range.
//!
//! What only drivers know (schemes, options) is checked where drivers are known.

use std::collections::BTreeMap;

use super::connection::NO_URI;
use super::error::ConfigError;
use super::model::{Config, RouteConfig, UpstreamConfig};
use super::position::{KeyPath, SourceMap};
use super::reference::{DESTINATION, DevicePath, Reference, Via, is_name};
use super::target::TargetConfig;
use crate::nearest::did_you_mean;
use crate::stack::uri::StackUri;
use crate::units::Timespan;
use crate::upstream::KeyFrom;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_text::range::Problem;

/// Everything wrong with `config`, but for keys that `known` already tells about.
pub(super) fn check(
    config: &Config,
    sources: &SourceMap,
    known: &[ConfigError],
) -> Vec<ConfigError> {
    let mut check = Check { config, sources, known, errors: Vec::new(), is_alone: false };
    check.host();
    check.resolver();
    check.ranges(&KeyPath::from_iter(["admin"]), config.admin.problems());
    check.traces();
    check.ranges(&KeyPath::from_iter(["reload", "plugins"]), config.reload.plugins.problems());
    check.names();
    check.connections();
    check.credentials();
    check.devices();
    check.cycles();
    check.upstreams();
    check.interceptors();
    check.routes();
    check.errors
}

/// What is wrong with the upstreams and routes of `config`, which are defined at run time: all but names, which
/// are those of a host that runs.
///
/// # Errors
/// The first mistake, with its key.
pub fn check_alone(config: &Config) -> Result<()> {
    let sources = SourceMap::default();
    let mut check =
        Check { config, sources: &sources, known: &[], errors: Vec::new(), is_alone: true };
    check.upstreams();
    check.routes();
    match check.errors.into_iter().next() {
        Some(ConfigError { key, message, .. }) => {
            Err(Error::new(ErrorKind::Config, format!("{key}: {message}")))
        }
        None => Ok(()),
    }
}

pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    pub(super) sources: &'a SourceMap,
    known: &'a [ConfigError],
    errors: Vec<ConfigError>,
    /// Whether the names that it refers to are defined elsewhere.
    pub(super) is_alone: bool,
}

impl Check<'_> {
    pub(super) fn is_known(&self, path: &KeyPath) -> bool {
        let meant = |error: &ConfigError| {
            error.suggestion.as_ref() == path.segments().last()
                && error.key.parent() == path.parent()
        };
        self.known.iter().any(|error| path.is_within(&error.key) || meant(error))
    }

    /// Notes a mistake in the value at `path`.
    pub(super) fn fail(&mut self, path: KeyPath, message: impl Into<String>, near: Option<String>) {
        if !self.is_known(&path) {
            let position = self.sources.locate(&path);
            self.errors.push(ConfigError::new(position, path, message).suggest(near));
        }
    }

    fn host(&mut self) {
        let host = &self.config.host;
        let at = KeyPath::from_iter(["host"]);
        for (index, folder) in host.plugins.iter().enumerate() {
            if folder.is_empty() {
                self.fail(at.key("plugins").index(index), "expected the name of a folder", None);
            }
        }
        for (index, sum) in host.allow.iter().enumerate() {
            if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let message = "expected a SHA-256 sum of 64 hexadecimal digits";
                self.fail(at.key("allow").index(index), message, None);
            }
        }
        if host.worker_threads > 1024 {
            self.fail(at.key("worker_threads"), "expected a whole number from 0 to 1024", None);
        }
        if !(1..=1024).contains(&host.plugin_runtime_threads) {
            let message = "expected a whole number from 1 to 1024";
            self.fail(at.key("plugin_runtime_threads"), message, None);
        }
        self.at_least_one(at.key("max_connections"), Some(host.max_connections));
        let limits = at.key("limits");
        self.at_least_one(limits.key("pooled"), Some(host.limits.pooled));
        self.at_least_one(limits.key("log_rate"), Some(host.limits.log_rate));
        self.at_least_one(limits.key("event_rate"), Some(host.limits.event_rate));
        self.ranges(&limits, host.limits.events.problems());
        self.ranges(&limits, host.limits.relay.problems());
        self.ranges(&at.key("quarantine"), host.quarantine.problems());
        let times = &host.timeouts;
        let at = at.key("timeouts");
        self.not_zero(at.key("resolve"), Some(times.resolve));
        self.not_zero(at.key("connect"), Some(times.connect));
        self.not_zero(at.key("handshake"), Some(times.handshake));
        self.not_zero(at.key("init"), Some(times.init));
        self.not_zero(at.key("health"), Some(times.health));
        self.not_zero(at.key("upgrade"), Some(times.upgrade));
    }

    fn traces(&mut self) {
        let traces = &self.config.traces;
        let at = KeyPath::from_iter(["traces"]);
        self.ranges(&at, traces.problems());
        if let Some(to) = traces.collector() {
            self.destination(&at.key("endpoint"), &to);
        }
    }

    pub(super) fn at_least_one(&mut self, path: KeyPath, value: Option<u32>) {
        if value == Some(0) {
            self.fail(path, "expected a whole number of at least 1", None);
        }
    }

    fn not_zero(&mut self, path: KeyPath, value: Option<Timespan>) {
        if value.is_some_and(Timespan::is_zero) {
            self.fail(path, "expected a duration of at least 1ms", None);
        }
    }

    fn names(&mut self) {
        let Config { connections, upstreams, handlers, .. } = self.config;
        let all = connections.keys().map(|name| ("connections", name));
        let all = all.chain(upstreams.keys().map(|name| ("upstreams", name)));
        let all = all.chain(self.config.credentials.keys().map(|name| ("credentials", name)));
        let all = all.chain(handlers.keys().map(|name| ("handlers", name)));
        let all = all.chain(self.config.interceptors.keys().map(|name| ("interceptors", name)));
        for (table, name) in all.chain(self.config.plugins.keys().map(|name| ("plugins", name))) {
            let path = KeyPath::from_iter([table, name]);
            if !is_name(name) {
                let message = "expected a name of a-z, 0-9, _ . and -, which begins with a letter \
                               or digit and has at most 64 characters";
                let lower = name.to_lowercase();
                self.fail_name(path, message, is_name(&lower).then_some(lower));
            }
        }
        for (name, handler) in handlers {
            if handler.handler.as_deref().is_some_and(str::is_empty) {
                let path = KeyPath::from_iter(["handlers", name, "handler"]);
                self.fail(path, "expected the name of a handler", None);
            }
        }
    }

    /// Notes a mistake in the name of a table itself.
    pub(super) fn fail_name(&mut self, path: KeyPath, message: &str, near: Option<String>) {
        if !self.is_known(&path) {
            let position = self.sources.locate_key(&path);
            self.errors.push(ConfigError::new(position, path, message).suggest(near));
        }
    }

    fn connections(&mut self) {
        for (name, connection) in &self.config.connections {
            let at = KeyPath::from_iter(["connections", name]);
            self.ranges(&at, connection.problems());
            self.via(&at.key("via"), connection.via.as_ref());
        }
    }

    /// Values out of range in the table at `at`.
    pub(super) fn ranges(&mut self, at: &KeyPath, problems: Vec<Problem>) {
        for Problem { key, expected } in problems {
            let path = key.split('.').fold(at.clone(), |path, key| path.key(key));
            self.fail(path, expected, None);
        }
    }

    pub(super) fn uri(&mut self, path: &KeyPath, uri: &StackUri) {
        if uri.is_empty() {
            self.fail(path.clone(), NO_URI, None);
        }
    }

    pub(super) fn via(&mut self, path: &KeyPath, via: Option<&Via>) {
        match via.filter(|_| !self.is_alone) {
            Some(Via::Connection(name)) => {
                self.exists(path, "connections", name, self.config.connections.keys());
            }
            Some(Via::Device(to)) => self.device_path(path, to),
            Some(Via::Uri(_)) | None => {}
        }
    }

    fn device_path(&mut self, path: &KeyPath, to: &DevicePath) {
        self.is_no_role(path, to);
        // A device that was refused is missing for a reason that is already told, and so is the path
        // that its default names.
        let device = self.config.device(&to.device).map(|(_, device)| device);
        let default = device.and_then(|device| device.default.as_ref());
        let told = to.path.is_none() && default.is_some();
        if let Err(problem) = self.config.path(to)
            && !self.is_known(&KeyPath::from_iter(["devices", &to.device]))
            && !told
        {
            self.fail(path.clone(), problem.message, problem.near);
        }
    }

    /// `name` must be one of `names`, the keys of `table`.
    fn exists<'n>(
        &mut self,
        path: &KeyPath,
        table: &str,
        name: &str,
        names: impl Iterator<Item = &'n String> + Clone,
    ) {
        // A table that was refused is missing for a reason that is already told.
        let known = self.is_known(&KeyPath::from_iter([table, name]));
        if !known && !names.clone().any(|known| known == name) {
            let near = did_you_mean(name, names).map(|near| format!("{table}.{near}"));
            let table = KeyPath::from_iter([table, name]);
            self.fail(path.clone(), format!("there is no [{table}]"), near);
        }
    }

    fn upstreams(&mut self) {
        for (name, upstream) in &self.config.upstreams {
            let at = KeyPath::from_iter(["upstreams", name]);
            self.ranges(&at, upstream.options.problems());
            self.discovers(&at.key("discover"), upstream);
            if upstream.targets.is_empty() {
                self.fail(at.key("targets"), "expected at least one target, found none", None);
            }
            for (index, target) in upstream.targets.iter().enumerate() {
                self.target(&at.key("targets").index(index), target);
            }
            self.checkable(&at, upstream);
        }
    }

    /// A check has a session of its own, for which it would wait as long as others have the path.
    fn checkable(&mut self, at: &KeyPath, upstream: &UpstreamConfig) {
        if upstream.options.health.is_none() {
            return;
        }
        for (index, target) in upstream.targets.iter().enumerate() {
            let Some(link) = target.to.as_ref().and_then(|to| self.config.carrier(to)) else {
                continue;
            };
            if self.config.is_exclusive(link) {
                let message = format!("no target can be exclusive, and {link} is");
                let at = at.key("health");
                self.fail(at, format!("{message} (target {})", index + 1), None);
            }
        }
    }

    fn target(&mut self, at: &KeyPath, target: &TargetConfig) {
        self.via(&at.key("via"), target.via.as_ref());
        self.via(&at.key("to"), target.to.as_ref());
        if let Some(name) = target.credentials.as_ref().filter(|_| !self.is_alone) {
            self.credentials_exist(at.key("credentials"), name);
        }
        self.ranges(at, target.problems());
    }

    fn routes(&mut self) {
        let mut listened = BTreeMap::new();
        for (index, route) in self.config.routes.iter().enumerate() {
            let at = KeyPath::from_iter(["routes"]).index(index);
            self.uri(&at.key("listen"), &route.listen);
            self.destination(&at.key("to"), &route.to);
            self.observed(&at, route);
            self.told(&at, route);
            self.ranges(&at, route.listener.problems());
            self.hash(&at.key("hash"), route);
            self.listened_twice(&mut listened, &at, route);
        }
    }

    /// A handler answers requests itself.
    fn told(&mut self, at: &KeyPath, route: &RouteConfig) {
        if route.joining.sse && matches!(route.to, Reference::Handler(_) | Reference::Admin) {
            let message = "expected false: the route leads to a handler or the admin API, which answers requests itself";
            self.fail(at.key("sse"), message, None);
        }
    }

    /// A wish that no strategy looks at would be passed over in silence.
    fn hash(&mut self, path: &KeyPath, route: &RouteConfig) {
        if route.joining.hash == KeyFrom::default() || self.is_alone {
            return;
        }
        let upstream = match &route.to {
            Reference::Upstream(name) => self.config.upstreams.get(name),
            _ => None,
        };
        if upstream.is_some_and(|upstream| upstream.options.balance.0.uses_key) {
            return;
        }
        let message = "has no effect: it is for upstreams with balance = \"consistent_hash\"";
        self.fail(path.clone(), message, None);
    }

    pub(super) fn destination(&mut self, path: &KeyPath, to: &Reference) {
        let Config { connections, upstreams, handlers, .. } = self.config;
        match to {
            Reference::Uri(uri) if uri.is_empty() => {
                self.fail(path.clone(), format!("expected {DESTINATION}, found none"), None);
            }
            _ if self.is_alone => {}
            Reference::Upstream(name) => self.exists(path, "upstreams", name, upstreams.keys()),
            Reference::Connection(name) => {
                self.exists(path, "connections", name, connections.keys());
            }
            Reference::Device(to) => self.device_path(path, to),
            Reference::Handler(name) => self.exists(path, "handlers", name, handlers.keys()),
            Reference::Admin | Reference::Uri(_) => {}
        }
    }

    /// Port 0 is a different port each time.
    fn listened_twice(
        &mut self,
        listened: &mut BTreeMap<String, KeyPath>,
        at: &KeyPath,
        route: &RouteConfig,
    ) {
        if route.listen.is_empty() || route.listen.port == Some(0) {
            return;
        }
        let path = at.key("listen");
        match listened.get(&route.listen.to_string()) {
            Some(first) => {
                let message = format!("already listened on, at {}", self.sources.locate(first));
                self.fail(path, message, None);
            }
            None => drop(listened.insert(route.listen.to_string(), path)),
        }
    }
}
