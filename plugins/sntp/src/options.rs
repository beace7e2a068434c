//! [`SntpOptions`] and [`ServerOptions`].

use jackfield_plugin_api::options;
use std::net::SocketAddr;

options! {
    /// Options of `sntp`. Times are in seconds, with a fraction if need be.
    pub struct SntpOptions {
        /// The version of requests: 3 or 4.
        #[schemars(range(min = 3, max = 4))]
        pub version: u8 = 4,
        /// Use only IPv4 or only IPv6.
        pub family: Family = Family::Any,
        /// How long an answer may take before the request is sent again, to the next address of the server if it
        /// has several.
        #[schemars(range(min = 0.01, max = 60.0))]
        pub timeout: f64 = 1.0,
        /// Requests that are sent before a call fails because there is no answer.
        #[schemars(range(min = 1, max = 10))]
        pub attempts: u32 = 3,
        /// Answers that a call is made of, unless it says so itself; the one with the least delay counts.
        #[schemars(range(min = 1, max = 16))]
        pub samples: u32 = 1,
        /// Time between two samples.
        #[schemars(range(min = 0.0, max = 60.0))]
        pub sample_interval: f64 = 2.0,
        /// How long a server that has said `RATE` is left alone at first; twice as long each time that it says so
        /// again, up to an hour.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub rate_wait: f64 = 60.0,
        /// How long a server that has said `DENY` or `RSTR` is left alone.
        #[schemars(range(min = 0.01, max = 604800.0))]
        pub deny_wait: f64 = 3600.0,
        /// Requests of one session that may be under way at once; more wait.
        #[schemars(range(min = 1, max = 1024))]
        pub max_requests: u32 = 16,
        /// Events kept while nobody fetches them; the oldest are dropped.
        #[schemars(range(min = 1))]
        pub events: u32 = 64,
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

    /// Options of the handler `sntp_server`.
    pub struct ServerOptions {
        /// How far this machine's clock is from a reference: 1 has one itself, 16 is not synchronised.
        #[schemars(range(min = 1, max = 16))]
        pub stratum: u8 = 10,
        /// Where its time comes from: up to four letters at stratum 1, an IPv4 address at others.
        pub reference_id: String = "127.127.1.1".to_owned(),
        /// The leap second that is announced.
        pub leap: Leap = Leap::None,
        /// How far the clock may be off, in seconds.
        #[schemars(range(min = 0.0, max = 60.0))]
        pub root_dispersion: f64 = 0.01,
        /// Answers in a second for one address (IPv6: one /64), on average; 0: any number.
        #[schemars(range(min = 0.0, max = 100000.0))]
        pub rate: f64 = 1.0,
        /// Answers for one address at once, after a rest.
        #[schemars(range(min = 1, max = 10000))]
        pub burst: u32 = 8,
        /// Addresses that are remembered for `rate`; when there are more, requests of others are dropped.
        #[schemars(range(min = 1))]
        pub clients: u32 = 16384,
    }

    /// A leap second at the end of the day.
    pub enum Leap {
        /// There is none.
        None,
        /// The last minute has 61 seconds.
        Insert,
        /// The last minute has 59 seconds.
        Delete,
        /// The clock is not synchronised.
        Unsynchronised,
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

impl Leap {
    /// As it stands in a packet (RFC 5905 §7.3).
    pub(crate) const fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unsynchronised,
        }
    }

    pub(crate) const fn bits(self) -> u8 {
        match self {
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
            Leap::Unsynchronised => 3,
        }
    }

    /// The word in answers.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Leap::None => "none",
            Leap::Insert => "insert",
            Leap::Delete => "delete",
            Leap::Unsynchronised => "unsynchronised",
        }
    }
}
