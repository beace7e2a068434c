//! The keys of a configuration, their units and their defaults.
//!
//! `config/jackfield.toml` shows every one of them at its default, and a test holds that file and
//! these structs together.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

pub use super::connection::{ConnectionConfig, ReconnectConfig};
pub use super::credentials::CredentialsConfig;
pub use super::device::{DeviceConfig, LeaseConfig, ObserversConfig, PathConfig};
pub use super::plugin::{InterceptorConfig, PluginConfig, SecretSource};
use super::reference::Reference;
use super::tree::Options;
pub use super::upstream::{Balance, HealthConfig, OutlierConfig, RetryConfig, UpstreamConfig};
use crate::stack::uri::StackUri;
use crate::units::{ByteSize, Timespan};
use crate::upstream::KeyFrom;

/// Free names and values that travel with what they are written on: shown wherever it is listed,
/// never interpreted.
pub type Labels = BTreeMap<String, String>;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[host]`: the process itself.
    pub host: HostConfig,
    /// `[log]`: what the host writes about itself.
    pub log: LogConfig,
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
    pub plugins: BTreeMap<String, PluginConfig>,
    /// `[[routes]]`: what is listened on, and where it leads. Default: none. A later file that has
    /// routes replaces those of earlier files.
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
    /// clean stop: by a crash, or because somebody killed it. They are named in a warning in any case.
    /// Default: `"use"`.
    pub plugins_after_crash: PluginsAfterCrash,
    /// Whether plugins are loaded that are built with `panic = "abort"`: a panic of one ends the host.
    /// Default: false.
    pub danger_allow_abort_on_panic: bool,
    /// Private folder that plugins are loaded from, by their hash, with what their trials came to. Default: `""`, which is
    /// `$XDG_CACHE_HOME/jackfield`, or `~/.cache/jackfield`.
    pub cache: String,
    /// SHA-256 sums, in hexadecimal, of the only plugin files that may be loaded. Default: `[]`,
    /// which allows any.
    pub allow: Vec<String>,
    /// Folder that keeps what is defined at run time, so that it is there again after the host was
    /// stopped or killed; only this host may use it. `~/` is the home folder. Default: `""`, which
    /// keeps nothing.
    pub state_dir: String,
    /// Threads that move data. Default: 0, which is one for each processor.
    pub worker_threads: u16,
    /// Threads of the runtime of each plugin that has one of its own; 1 to 1024. Default: 1.
    pub plugin_runtime_threads: u16,
    /// How long open connections may finish when the host is told to stop; `"0s"` closes them at
    /// once. Default: `"30s"`.
    pub shutdown_timeout: Timespan,
    /// How often plugins are asked for their health; a change is logged. `"0s"` never. Default: `"30s"`.
    pub health_interval: Timespan,
    /// Connections that live at a time, those that were accepted and named ones together; more are refused.
    /// Default: 10000.
    pub max_connections: u32,
    /// `[host.timeouts]`: how long things may take.
    pub timeouts: Timeouts,
    /// `[host.limits]`: how large things may become.
    pub limits: Limits,
    /// `[host.quarantine]`: when a plugin that misbehaves gets no new sessions.
    pub quarantine: Quarantine,
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
    /// Until a transport has reached its peer. Default: `"10s"`.
    pub connect: Timespan,
    /// Until one layer has agreed with its peer, in either role. Default: `"10s"`.
    pub handshake: Timespan,
    /// How long one more named connection waits to be opened while `host.max_connections` live; `"0s"`
    /// refuses it at once. Default: `"0s"`.
    pub room: Timespan,
    /// Until a plugin has been tried in a process of its own, has started, or one of its drivers has taken
    /// its options. Default: `"10s"`.
    pub init: Timespan,
    /// Until a plugin has said how it is. Default: `"1s"`.
    pub health: Timespan,
    /// Without a byte in either direction before a relayed session is closed; `"0s"` never.
    /// Default: `"0s"`.
    pub idle: Timespan,
    /// How long nothing may come in the other direction after one has ended; `"0s"` for ever.
    /// Default: `"5m"`.
    pub half_close: Timespan,
    /// The same where an end knows no half-close, such as a serial line, a terminal, a WebSocket or a device
    /// that is had alone: what is still answered to the last bytes has this time. Default: `"300ms"`.
    pub drain: Timespan,
}

/// `[host.limits]`: how large things may become.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Buffer for each direction of a relayed session, held only while data flows; 1KiB to 16MiB.
    /// Default: `"64KiB"`.
    pub relay_buffer: ByteSize,
    /// The largest single message relayed; 1KiB to 1GiB. Default: `"16MiB"`.
    pub max_message: ByteSize,
    /// Sessions that the pools of all targets have together, unused ones included; more are not
    /// opened. Default: 10000.
    pub pooled: u32,
    /// Log lines a second that one plugin may write; the rest are counted. Default: 1000.
    pub log_rate: u32,
    /// Events of its own a second that one plugin may tell; the rest are left out. Default: 1000.
    pub event_rate: u32,
    /// Series, each a metric with one set of labels, that one plugin may measure; measurements of more are
    /// counted and left out. Default: 1000.
    pub plugin_metrics: u32,
    /// Series of all plugins together. Default: 10000.
    pub metrics: u32,
}

/// `[host.quarantine]`: when a plugin file that misbehaves gets no new sessions. Those that are open
/// go on.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quarantine {
    /// Panics of its code, in calls, sessions and drops, within `window`, after which it gets no new
    /// sessions for a while; 0 never. Default: 10.
    pub panics: u32,
    /// For how long a panic counts. Default: `"10m"`.
    pub window: Timespan,
    /// How long that lasts at first, and how long one session at a time must then go without a panic
    /// until it is used as before. Each further one in a row lasts twice as long. Default: `"30s"`.
    pub pause: Timespan,
    /// How long that lasts at most. Default: `"1h"`.
    pub max_pause: Timespan,
    /// How long a call into it may last until a line tells whose it is; `"0s"` never. Default: `"1s"`.
    pub stuck_warn: Timespan,
    /// How long a call into it may last until it gets no new sessions, which ends when the call does;
    /// `"0s"` for ever. Default: `"10s"`.
    pub stuck_limit: Timespan,
}

/// `[log]`: what the host writes about itself, to its standard error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least severe level that is written. Default: `"info"`.
    pub level: LogLevel,
    /// How a line is written. Default: `"text"`.
    pub format: LogFormat,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed and somebody should look.
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

/// `[[routes]]`: joins what a listener accepts to something.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// What to listen on. Required.
    pub listen: StackUri,
    /// Where sessions are joined to: `"upstreams.NAME"`, `"connections.NAME"`,
    /// `"devices.NAME.PATH"`, `"handlers.NAME"`, or the URI of a stack. Required.
    pub to: Reference,
    /// Whether sessions only watch what passes on an exclusive path of a device; what they send is
    /// discarded. Default: false.
    pub observe: bool,
    /// Options of the drivers in the stack listened on. Default: none.
    pub options: Options,
    /// Where the route leads to an upstream balanced by `consistent_hash`: what of a session decides
    /// which target it meets. Default: `"peer"`.
    pub hash: KeyFrom,
    /// Sessions of this route open at a time; more are refused. Default: only
    /// `host.max_connections` counts.
    pub max_connections: Option<u32>,
    /// As `host.timeouts.idle`, for this route. Default: that value.
    pub idle_timeout: Option<Timespan>,
    /// As `host.timeouts.half_close`, for this route. Default: that value.
    pub half_close_timeout: Option<Timespan>,
    /// As `host.timeouts.drain`, for this route. Default: that value.
    pub drain_timeout: Option<Timespan>,
    /// Whether a peer that breaks off, or ends without having sent anything, while its destination is opened
    /// or waited for ends that too. Default: true.
    pub abort_on_close: Option<bool>,
    /// What bytes become where one side speaks messages and the other a stream. Default:
    /// `"binary"`.
    pub frames: Frames,
    /// Whether requests by GET are answered with what the destination sends, as server-sent events:
    /// lines of a stream, messages, datagrams. Default: false.
    pub sse: bool,
}

/// The kind of message that the bytes of a stream are sent as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// Binary messages.
    #[default]
    Binary,
    /// Text messages; U+FFFD stands in the place of bytes that are not UTF-8.
    Text,
    /// Text messages, and binary ones where anything in them is not UTF-8.
    TextOrBinary,
}

/// `[handlers.NAME]`: a handler of a plugin, with its options.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerConfig {
    /// The name the plugin gives its handler. Default: the NAME of this table.
    pub handler: Option<String>,
    /// Options of the handler. Default: none.
    pub options: Options,
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
            worker_threads: 0,
            plugin_runtime_threads: 1,
            shutdown_timeout: Timespan::seconds(30),
            health_interval: Timespan::seconds(30),
            max_connections: 10_000,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            quarantine: Quarantine::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Timespan::seconds(10),
            handshake: Timespan::seconds(10),
            init: Timespan::seconds(10),
            health: Timespan::seconds(1),
            idle: Timespan::seconds(0),
            half_close: Timespan::seconds(300),
            drain: Timespan(Duration::from_millis(300)),
            room: Timespan::seconds(0),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            relay_buffer: ByteSize(64 << 10),
            max_message: ByteSize(16 << 20),
            pooled: 10_000,
            log_rate: 1000,
            event_rate: 1000,
            plugin_metrics: 1000,
            metrics: 10_000,
        }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            panics: 10,
            window: Timespan::seconds(600),
            pause: Timespan::seconds(30),
            max_pause: Timespan::seconds(3600),
            stuck_warn: Timespan::seconds(1),
            stuck_limit: Timespan::seconds(10),
        }
    }
}
