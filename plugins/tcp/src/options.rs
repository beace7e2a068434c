//! [`TcpOptions`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `tcp`, for connecting and listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TcpOptions {
    /// Send small writes at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Seconds before the first keepalive probe; 0: no keepalive.
    pub keepalive: u32,
    /// Seconds between keepalive probes; 0: the system's.
    pub keepalive_interval: u32,
    /// Unanswered probes before the connection is dead; 0: the system's.
    pub keepalive_count: u32,
    /// Seconds that sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`, RFC 5482); 0: the system's.
    pub user_timeout: u32,
    /// Local address to connect from, `IP` or `IP:PORT`.
    pub bind: Option<String>,
    /// Use only IPv4 or only IPv6.
    pub family: Family,
    /// Milliseconds that one address is tried before the next starts beside it (RFC 8305 §5); 0: one
    /// after the other.
    pub attempt_delay: u32,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// Let several listeners share the port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Send buffer in bytes; 0: the system's.
    pub send_buffer: u32,
    /// Receive buffer in bytes; 0: the system's.
    pub recv_buffer: u32,
}

/// Which addresses to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv6 and IPv4.
    #[default]
    Any,
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions {
            nodelay: true,
            keepalive: 15,
            keepalive_interval: 15,
            keepalive_count: 0,
            user_timeout: 0,
            bind: None,
            family: Family::Any,
            attempt_delay: 250,
            backlog: 1024,
            reuse_port: false,
            send_buffer: 0,
            recv_buffer: 0,
        }
    }
}
