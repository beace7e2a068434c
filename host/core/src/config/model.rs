//! The keys of a configuration, their units and their defaults.
//!
//! `config/jackfield.toml` shows every one of them at its default, and a test holds that file and
//! these structs together.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::admin::{AdminConfig, AdminPlace};
pub use super::connection::{ConnectionConfig, sparse};
pub use super::credentials::CredentialsConfig;
pub use super::device::{DeviceConfig, PathConfig};
pub use super::plugin::{HandlerConfig, InterceptorConfig, PluginConfig, SecretSource};
use super::reference::Reference;
use super::reload::ReloadOptions;
pub use super::route::RouteConfig;
pub use super::traces::TracesConfig;
use super::tree::Options;
pub use super::upstream::UpstreamConfig;
use crate::connection::PooledLimit;
use crate::driver::{LoadOptions, QuarantineOptions};
use crate::events::BusLimits;
pub use crate::metrics::Labels;
use crate::metrics::MetricLimits;
pub use crate::relay::Frames;
use crate::relay::{RelaySizes, RelayTimeouts};
use crate::services::PluginRates;
use crate::units::Timespan;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Further files with parts of this one, meant from its folder, with `*`, `?` and `[…]`: `"conf.d/*.toml"`. Their
    /// routes add up; an object or a key stands in one of them only. Files only. Default: none.
    #[schemars(extend("x-apply" = "none"))]
    pub include: Vec<String>,
    /// `[templates.NAME]`: keys for the connections, devices, paths and upstreams that say `extends = "NAME"`. A
    /// template may extend another one. Tables are merged, and what the nearer one says wins. Files only; empty once
    /// they are in place. Default: none.
    #[schemars(extend("x-apply" = "none"))]
    pub templates: BTreeMap<String, Options>,
    /// `[host]`: the process itself.
    #[schemars(extend("x-apply" = "live"))]
    pub host: HostConfig,
    /// `[log]`: what the host writes about itself.
    #[schemars(extend("x-apply" = "live"))]
    pub log: LogConfig,
    /// `[traces]`: where spans of what it has served are sent.
    #[schemars(extend("x-apply" = "live"))]
    pub traces: TracesConfig,
    /// `[admin]`: how a running host is looked at and changed from outside.
    #[schemars(extend("x-apply" = "live"))]
    pub admin: AdminConfig,
    /// `[reload]`: how a running host takes over changes of this configuration.
    #[schemars(extend("x-apply" = "live"))]
    pub reload: ReloadOptions,
    /// `[connections.NAME]`: connections that routes and `via` refer to. Default: none.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// `[credentials.NAME]`: what lets paths of devices in. Default: none.
    pub credentials: BTreeMap<String, CredentialsConfig>,
    /// `[devices.NAME]`: things with named paths, that routes and `via` refer to. Default: none.
    pub devices: BTreeMap<String, DeviceConfig>,
    /// `[upstreams.NAME]`: sets of targets that routes refer to. Default: none.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// `[handlers.NAME]`: handlers that routes refer to. Default: none.
    pub handlers: BTreeMap<String, HandlerConfig>,
    /// `[interceptors.NAME]`: code of plugins that connections, paths of devices and upstreams put around
    /// their operations. Default: none.
    pub interceptors: BTreeMap<String, InterceptorConfig>,
    /// `[plugins.NAME]`: what single plugins may do. Default: none.
    #[schemars(extend("x-apply" = "live"))]
    pub plugins: BTreeMap<String, PluginConfig>,
    /// `[[routes]]`: what is listened on, and where it leads. Default: none. Those of several files add up;
    /// the environment and flags replace the list.
    pub routes: Vec<RouteConfig>,
}

/// `[host]`: the process itself.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// Folders searched for plugins. A relative one is meant from the folder of the file it is
    /// written in; from the working directory when it comes from the environment or a flag. `~/` is the
    /// home folder. Default: `[]`, which is the folder of the program, for `libjackfield_*.so`, then
    /// `../lib/jackfield/plugins` seen from there, then `/usr/lib/jackfield/plugins`; never the working
    /// directory.
    pub plugins: Vec<String>,
    /// What a host does when a folder of `plugins` cannot be read or has no plugin, or a file in it is
    /// refused. Default: `"stop"`.
    pub refused_plugins: RefusedPlugins,
    /// What becomes of the plugins that were in use when a host with the same `cache` ended without a
    /// clean stop: by a crash, or because it was killed. They are named in a warning in any case.
    /// Default: `"use"`.
    #[schemars(extend("x-apply" = "restart"))]
    pub plugins_after_crash: PluginsAfterCrash,
    /// Whether plugins are loaded that are built with `panic = "abort"`: a panic of one ends the host.
    /// Default: false.
    pub danger_allow_abort_on_panic: bool,
    /// Private folder that plugins are loaded from, by their hash, with what their trials came to. Default: `""`, which is
    /// `$XDG_CACHE_HOME/jackfield`, or `~/.cache/jackfield`.
    #[schemars(extend("x-apply" = "restart"))]
    pub cache: String,
    /// SHA-256 sums, in hexadecimal, of the only plugin files that may be loaded. Default: `[]`,
    /// which allows any.
    pub allow: Vec<String>,
    /// Folder that keeps what is defined at run time, so that it is there again after the host was
    /// stopped or killed; only this host may use it. `~/` is the home folder. Default: `""`, which
    /// keeps nothing.
    #[schemars(extend("x-apply" = "restart"))]
    pub state_dir: String,
    /// Who is asked for the addresses of host names, wherever one stands: `"connections.NAME"` and `"upstreams.NAME"` of
    /// drivers with the operation `resolve`; the next one where one fails otherwise than by saying that there is no such
    /// name. The hosts in their URIs must be IP addresses. `localhost` is not asked for. Default: `[]`, which is the
    /// system.
    pub resolver: Vec<Reference>,
    /// Threads that move data. Default: 0, which is one for each processor.
    #[schemars(extend("x-apply" = "restart"))]
    pub worker_threads: u16,
    /// Threads of the runtime of each plugin that has one of its own; 1 to 1024. Default: 1.
    #[schemars(extend("x-apply" = "restart"))]
    pub plugin_runtime_threads: u16,
    /// How long open connections may finish when the host is told to stop; `"0s"` closes them at
    /// once. Default: `"30s"`.
    pub shutdown_timeout: Timespan,
    /// How often plugins are asked for their health; a change is logged. `"0s"` never. Default: `"30s"`.
    pub health_interval: Timespan,
    /// Connections that live at a time, those that were accepted and named ones together; more are refused.
    /// Default: 10000.
    pub max_connections: u32,
    /// Accepted connections that one address may have at a time, over all listeners; more of it are refused. Those
    /// that come by way of a proxy that tells the client's address count for the client. Default: 0, which is nine
    /// tenths of `max_connections`, so that one address does not take all.
    pub max_connections_per_peer: u32,
    /// `[host.timeouts]`: how long things may take.
    pub timeouts: Timeouts,
    /// `[host.limits]`: how large things may become.
    pub limits: Limits,
    /// `[host.quarantine]`: when a plugin that misbehaves gets no new sessions.
    pub quarantine: QuarantineOptions,
}

/// What a host does about plugins that it was told of and cannot use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedPlugins {
    /// It does not start.
    #[default]
    Stop,
    /// It writes a warning for each and starts with the others.
    Warn,
}

/// What becomes of plugins that were in use when a host ended without a clean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginsAfterCrash {
    /// They are used again.
    #[default]
    Use,
    /// They are left out, until `jackfield plugins --forget HASH` brings one back.
    LeaveOut,
}

/// `[host.timeouts]`: how long things may take, where nothing more specific says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a host name has addresses, whoever is asked; within `connect`. Default: `"10s"`.
    pub resolve: Timespan,
    /// Until a transport has reached its peer. Default: `"10s"`.
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub connect: Timespan,
    /// Until one layer has agreed with its peer, in either role. Default: `"10s"`.
    #[schemars(extend("x-apply" = "new_sessions"))]
    pub handshake: Timespan,
    /// How long one more named connection waits to be opened while `host.max_connections` live; `"0s"`
    /// refuses it at once. Default: `"0s"`.
    pub room: Timespan,
    /// Until a plugin has been tried in a process of its own, has started, or one of its drivers has taken
    /// its options. Default: `"10s"`.
    pub init: Timespan,
    /// Until a plugin has answered how it is. Default: `"1s"`.
    pub health: Timespan,
    /// Until a new process is ready to take over from this one; then it is ended, and this one goes on. Default:
    /// `"60s"`.
    pub upgrade: Timespan,
    /// Those of relayed sessions.
    #[serde(flatten)]
    pub relay: RelayTimeouts,
}

/// `[host.limits]`: how large things may become.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Those of relayed sessions.
    #[serde(flatten)]
    pub relay: RelaySizes,
    /// Sessions that the pools of all targets have together, unused ones included; more are not
    /// opened. Default: 10000.
    pub pooled: u32,
    /// Log lines a second that one plugin may write; the rest are counted. Default: 1000.
    pub log_rate: u32,
    /// Events of its own a second that one plugin may tell; the rest are left out. Default: 1000.
    pub event_rate: u32,
    /// Those of each bus of events.
    #[serde(flatten)]
    pub events: BusLimits,
    /// Those of what plugins measure.
    #[serde(flatten)]
    pub metrics: MetricLimits,
}

/// `[log]`: what the host writes about itself, to its standard error. A reader that does not read holds up
/// nothing: lines for which there is no room are dropped and counted.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least severe level that is written. Default: `"info"`.
    pub level: LogLevel,
    /// How a line is written. Default: `"text"`.
    pub format: LogFormat,
    /// Whether each accepted session has a line at INFO when it has ended: listener, route, target, peer,
    /// bytes each way, duration and how it ended. A session that failed has one in any case. Default: true.
    pub sessions: bool,
    /// Whether each request has a line at INFO when it was answered: method, path, status, target, peer, bytes
    /// each way and duration. A request that failed has one in any case. Default: true.
    pub requests: bool,
    /// Of lines that tell of the same fault of the same listener, route or target, 20 are written within
    /// this time, and then one with the number of those that were left out; `"0s"` writes all. Default:
    /// `"10s"`.
    pub fold: Timespan,
    /// Lines a second that one place in the code may write; one line has the number of those that were left
    /// out. 0 writes all. Default: 1000.
    pub rate: u32,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed and needs attention.
    Error,
    /// Something is wrong and was survived.
    Warn,
    /// Starts, stops and what was configured.
    #[default]
    Info,
    /// Every connection.
    Debug,
    /// Every step.
    Trace,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            plugins: Vec::new(),
            refused_plugins: RefusedPlugins::default(),
            plugins_after_crash: PluginsAfterCrash::default(),
            danger_allow_abort_on_panic: false,
            cache: String::new(),
            allow: Vec::new(),
            state_dir: String::new(),
            resolver: Vec::new(),
            worker_threads: 0,
            plugin_runtime_threads: 1,
            shutdown_timeout: Timespan::seconds(30),
            health_interval: Timespan::seconds(30),
            max_connections: 10_000,
            max_connections_per_peer: 0,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            quarantine: QuarantineOptions::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            format: LogFormat::default(),
            sessions: true,
            requests: true,
            fold: Timespan::seconds(10),
            rate: 1000,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Timespan::seconds(10),
            connect: Timespan::seconds(10),
            handshake: Timespan::seconds(10),
            init: Timespan(LoadOptions::INIT_TIMEOUT),
            health: Timespan::seconds(1),
            upgrade: Timespan::seconds(60),
            room: Timespan::seconds(0),
            relay: RelayTimeouts::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            relay: RelaySizes::default(),
            pooled: PooledLimit::DEFAULT,
            log_rate: PluginRates::default().log,
            event_rate: PluginRates::default().events,
            events: BusLimits::default(),
            metrics: MetricLimits::default(),
        }
    }
}
