//! The operations of sessions.

use jackfield_plugin_api::{Operation, params};

params! {
    /// Parameters of `time`.
    pub(crate) struct Ask {
        /// Answers that it is made of, 1 to 16; without it the option `samples`.
        #[schemars(range(min = 1, max = 16))]
        pub(crate) samples: Option<u32>,
    }

    /// What `time` gives. Times are in seconds.
    pub(crate) struct Time {
        /// The time now, by the server, as RFC 3339 has it, in UTC.
        pub(crate) time: String,
        /// The same in seconds since 1970.
        pub(crate) unix: f64,
        /// The same in milliseconds, whole.
        pub(crate) unix_ms: i64,
        /// What is to be added to this machine's clock; it may be off by half of `delay`.
        pub(crate) offset: f64,
        /// How long request and answer were under way.
        pub(crate) delay: f64,
        /// How much the offsets of the samples differ from that of the best.
        pub(crate) jitter: f64,
        /// Answers that it is made of.
        pub(crate) samples: u32,
        /// Datagrams that came and were no answers to these requests.
        pub(crate) ignored: u32,
        /// The address that has answered.
        pub(crate) server: String,
        /// The version of its answer.
        pub(crate) version: u8,
        /// 1 has a reference clock, 2 to 15 have the time from others.
        pub(crate) stratum: u8,
        /// A leap second at the end of the day: none, insert or delete.
        pub(crate) leap: String,
        /// The reference: letters at stratum 1, else an IPv4 address or a part of a hash of an IPv6 address.
        pub(crate) reference_id: String,
        /// When the server's clock was last set.
        pub(crate) reference_time: Option<String>,
        /// What the server's clock can tell apart.
        pub(crate) precision: f64,
        /// From the server to its reference and back.
        pub(crate) root_delay: f64,
        /// How far the server's clock may be off.
        pub(crate) root_dispersion: f64,
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Operation> {
    vec![Operation::new::<Ask, Time>("time", "Asks for the time")]
}
