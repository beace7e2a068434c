//! [`UdpOptions`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `udp`, for connecting and listening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UdpOptions {
    /// Local address to send from, `IP` or `IP:PORT`.
    pub bind: Option<String>,
    /// Use only IPv4 or only IPv6.
    pub family: Family,
    /// The most bytes of a datagram to send; 1 to 65507. Bytes from a stream are cut to it, a
    /// longer message is refused.
    #[schemars(range(min = 1, max = 65507))]
    pub max_size: u32,
    /// Seconds without a datagram after which a session of a listener ends; 0: never.
    pub idle: u32,
    /// Peers of a listener with a session at once; datagrams of more are dropped; at least 1.
    #[schemars(range(min = 1))]
    pub sessions: u32,
    /// Datagrams of one peer that wait to be received; more are dropped; at least 1.
    #[schemars(range(min = 1))]
    pub queue: u32,
    /// Bytes of all peers of a listener that wait to be received; more are dropped.
    pub buffer: u32,
    /// Allow sending to broadcast addresses.
    pub broadcast: bool,
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

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions {
            bind: None,
            family: Family::Any,
            max_size: 65_507,
            idle: 60,
            sessions: 1024,
            queue: 64,
            buffer: 16 * 1024 * 1024,
            broadcast: false,
            reuse_port: false,
            send_buffer: 0,
            recv_buffer: 0,
        }
    }
}
