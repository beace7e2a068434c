//! [`Socket`]: which socket a driver wants from the host, and how it is to be set.

use crate::raw::{RawStr, abi, layout};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kinds of socket the host makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u32)]
#[non_exhaustive]
pub enum SocketKind {
    /// TCP.
    Tcp = 0,
    /// A Unix stream socket, by path.
    Unix = 1,
    /// UDP.
    Udp = 2,
    /// A Unix datagram socket, by path.
    UnixDatagram = 3,
    /// A kind of a newer side.
    Unknown = u32::MAX,
}

/// A socket to connect, listen on or bind. Unset options leave the system's default. Made by
/// [`Socket::new`] or [`Socket::at_path`]; what else is wanted is set in its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Socket {
    /// Which kind.
    pub kind: SocketKind,
    /// Host name or IP address; empty when listening means all addresses.
    pub host: String,
    /// Port; 0 when listening lets the system choose.
    pub port: u16,
    /// Path of a Unix socket.
    pub path: String,
    /// Local address to connect from, `IP` or `IP:PORT`.
    pub bind: Option<String>,
    /// Send small writes at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Let several sockets share the port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Time before the first TCP keepalive probe; zero: no keepalive.
    pub keepalive: Duration,
    /// Time between keepalive probes; zero: the system's.
    pub keepalive_interval: Duration,
    /// Unanswered probes before the connection is dead; 0: the system's.
    pub keepalive_count: u32,
    /// Time that one address of several is tried before the next starts beside it (RFC 8305 §5);
    /// zero: one after the other.
    pub attempt_delay: Duration,
    /// Connections waiting to be accepted.
    pub backlog: u32,
    /// Send buffer in bytes; 0: the system's.
    pub send_buffer: u32,
    /// Receive buffer in bytes; 0: the system's.
    pub recv_buffer: u32,
    /// Time that sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`); zero: the system's.
    pub user_timeout: Duration,
    /// Only IPv4 (4), only IPv6 (6), or both (0).
    pub family: u32,
    /// Permission bits of the file of a Unix socket to listen on; 0: what the umask leaves.
    pub mode: u32,
}

impl Socket {
    /// A socket of `kind` for `host` and `port`, options at their defaults: nodelay on, keepalive
    /// off, 250 ms between attempts, backlog 1024.
    pub fn new(kind: SocketKind, host: impl Into<String>, port: u16) -> Self {
        Socket {
            kind,
            host: host.into(),
            port,
            path: String::new(),
            bind: None,
            nodelay: true,
            reuse_port: false,
            keepalive: Duration::ZERO,
            keepalive_interval: Duration::ZERO,
            keepalive_count: 0,
            attempt_delay: Duration::from_millis(250),
            backlog: 1024,
            send_buffer: 0,
            recv_buffer: 0,
            user_timeout: Duration::ZERO,
            family: 0,
            mode: 0,
        }
    }

    /// A Unix socket of `kind` at `path`.
    pub fn at_path(kind: SocketKind, path: impl Into<String>) -> Self {
        Socket { path: path.into(), ..Socket::new(kind, "", 0) }
    }

    /// This socket for another host and port, as options are configured before an address is known.
    #[must_use]
    pub fn to(&self, host: impl Into<String>, port: u16) -> Self {
        Socket { host: host.into(), port, ..self.clone() }
    }

    /// This socket at another path.
    #[must_use]
    pub fn to_path(&self, path: impl Into<String>) -> Self {
        Socket { path: path.into(), ..self.clone() }
    }

    pub(crate) fn lend<R>(&self, call: impl FnOnce(*const RawSocket) -> R) -> R {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let raw = RawSocket {
            size: size_of::<RawSocket>(),
            kind: self.kind as u32,
            port: u32::from(self.port),
            host: RawStr::new(&self.host),
            path: RawStr::new(&self.path),
            bind: RawStr::new(self.bind.as_deref().unwrap_or("")),
            flags: u64::from(self.nodelay) | u64::from(self.reuse_port) << 1,
            keepalive_ms: ms(self.keepalive),
            keepalive_interval_ms: ms(self.keepalive_interval),
            attempt_delay_ms: ms(self.attempt_delay),
            user_timeout_ms: ms(self.user_timeout),
            keepalive_count: self.keepalive_count,
            backlog: self.backlog,
            send_buffer: self.send_buffer,
            recv_buffer: self.recv_buffer,
            family: self.family,
            mode: self.mode,
        };
        call(&raw const raw)
    }

    /// # Safety
    /// `raw` points to a socket that is alive for this call.
    pub(crate) unsafe fn from_raw(raw: *const RawSocket) -> Self {
        // SAFETY: by this function's contract.
        unsafe {
            let Some(raw) = layout::read(raw) else {
                return Socket::new(SocketKind::Unknown, "", 0);
            };
            let bind = raw.bind.get();
            Socket {
                kind: match raw.kind {
                    0 => SocketKind::Tcp,
                    1 => SocketKind::Unix,
                    2 => SocketKind::Udp,
                    3 => SocketKind::UnixDatagram,
                    _ => SocketKind::Unknown,
                },
                host: raw.host.get().to_owned(),
                port: u16::try_from(raw.port).unwrap_or(0),
                path: raw.path.get().to_owned(),
                bind: (!bind.is_empty()).then(|| bind.to_owned()),
                nodelay: raw.flags & 1 != 0,
                reuse_port: raw.flags & 2 != 0,
                keepalive: Duration::from_millis(raw.keepalive_ms),
                keepalive_interval: Duration::from_millis(raw.keepalive_interval_ms),
                keepalive_count: raw.keepalive_count,
                attempt_delay: Duration::from_millis(raw.attempt_delay_ms),
                backlog: raw.backlog,
                send_buffer: raw.send_buffer,
                recv_buffer: raw.recv_buffer,
                user_timeout: Duration::from_millis(raw.user_timeout_ms),
                family: raw.family,
                mode: raw.mode,
            }
        }
    }
}

abi! {
    /// A [`Socket`] lent for a call. Grows at its end only.
    #[derive(Debug, Clone, Copy)]
    pub grows struct RawSocket {
        size: usize,
        kind: u32,
        port: u32,
        host: RawStr,
        path: RawStr,
        bind: RawStr,
        flags: u64,
        keepalive_ms: u64,
        keepalive_interval_ms: u64,
        attempt_delay_ms: u64,
        user_timeout_ms: u64,
        keepalive_count: u32,
        backlog: u32,
        send_buffer: u32,
        recv_buffer: u32,
        family: u32,
        mode: u32,
    }
}
