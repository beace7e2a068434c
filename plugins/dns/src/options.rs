//! [`DnsOptions`].

use jackfield_plugin_api::options;
use serde_json::{Map, Value};
use std::net::SocketAddr;

options! {
    /// Options of `dns`. Times are in seconds, with a fraction if need be.
    pub struct DnsOptions {
        /// What questions go over; without it what the port says: `tls` at 853, `https` at 443, else `udp`.
        pub over: Option<Over>,
        /// Use only IPv4 or only IPv6 for `udp` and `tcp`.
        pub family: Family = Family::Any,
        /// How long an answer may take before the question is sent again, to the next address of the server if
        /// it has several.
        #[schemars(range(min = 0.01, max = 60.0))]
        pub timeout: f64 = 2.0,
        /// Questions that are sent before a call fails.
        #[schemars(range(min = 1, max = 10))]
        pub attempts: u32 = 3,
        /// The longest answer that we say we take over UDP (EDNS); 0: no EDNS, and at most 512 bytes.
        #[schemars(range(max = 4096))]
        pub edns_size: u16 = 1232,
        /// Ask for signatures, and for the server's word whether it has checked them (the DO bit).
        pub dnssec: bool = false,
        /// Questions of one session that may be under way at once; more wait.
        #[schemars(range(min = 1, max = 4096))]
        pub max_requests: u32 = 64,
        /// Connections that are kept open for further questions, of `tcp` and `tls`; 0: none.
        #[schemars(range(max = 64))]
        pub max_idle: u32 = 2,
        /// Answers that are kept for as long as their TTL says, of all sessions of these options; 0: none.
        #[schemars(range(max = 1_000_000))]
        pub cache_entries: u32 = 1024,
        /// Bytes of the answers that are kept.
        pub cache_bytes: u32 = 4 << 20,
        /// The longest that an answer is kept, whatever its TTL.
        #[schemars(range(max = 604_800))]
        pub cache_max_ttl: u32 = 86_400,
        /// The longest that the answer is kept that there is nothing (RFC 2308).
        #[schemars(range(max = 86_400))]
        pub cache_negative_ttl: u32 = 900,
        /// Options of `tls` below, for `tls` and `https`.
        pub tls: Map<String, Value>,
        /// Options of `http` below, for `https`.
        pub http: Map<String, Value>,
    }

    /// What questions go over.
    pub enum Over {
        /// UDP, and TCP for what does not fit.
        Udp,
        /// TCP (RFC 7766).
        Tcp,
        /// TLS (RFC 7858).
        Tls,
        /// HTTPS (RFC 8484).
        Https,
    }

    /// Which addresses to use.
    pub enum Family {
        /// IPv6 and IPv4.
        Any,
        /// Only IPv4.
        Ipv4,
        /// Only IPv6.
        Ipv6,
    }
}

impl Family {
    pub(crate) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        }
    }
}

impl Over {
    /// What a port stands for (RFC 7858, RFC 8484).
    pub(crate) fn of_port(port: u16) -> Self {
        match port {
            853 => Over::Tls,
            443 => Over::Https,
            _ => Over::Udp,
        }
    }

    pub(crate) fn port(self) -> u16 {
        match self {
            Over::Udp | Over::Tcp => 53,
            Over::Tls => 853,
            Over::Https => 443,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Over::Udp => "udp",
            Over::Tcp => "tcp",
            Over::Tls => "tls",
            Over::Https => "https",
        }
    }
}
