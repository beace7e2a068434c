//! [`UnixOptions`] and [`UnixgramOptions`].

use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `unix`, for connecting and listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnixOptions {
    /// Permissions of the socket's file when listening, in octal such as `"660"`.
    pub mode: Option<String>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
}

impl Default for UnixOptions {
    fn default() -> Self {
        UnixOptions { mode: None, backlog: 1024 }
    }
}

/// Options of `unixgram`, for connecting and listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnixgramOptions {
    /// Permissions of the socket's file when listening, in octal such as `"660"`.
    pub mode: Option<String>,
    /// Path that answers come back to when connecting; without one the system gives a name that has
    /// no file.
    pub bind: Option<String>,
    /// The most bytes of a datagram to send; at least 1.
    #[schemars(range(min = 1))]
    pub max_size: u32,
    /// Seconds without a datagram after which a session of a listener ends; 0: never.
    pub idle: u32,
    /// Peers of a listener with a session at once; at least 1.
    #[schemars(range(min = 1))]
    pub sessions: u32,
    /// Datagrams of one peer that wait to be received; more are dropped; at least 1.
    #[schemars(range(min = 1))]
    pub queue: u32,
    /// Bytes of all peers of a listener that wait to be received; more are dropped.
    pub buffer: u32,
}

impl Default for UnixgramOptions {
    fn default() -> Self {
        UnixgramOptions {
            mode: None,
            bind: None,
            max_size: 65_536,
            idle: 60,
            sessions: 1024,
            queue: 64,
            buffer: 16 * 1024 * 1024,
        }
    }
}
