//! The operations of sessions.

use jackfield_plugin_api::{Operation, params};
use serde_json::Value;

params! {
    /// Parameters of `resolve`.
    pub(crate) struct Resolve {
        /// A domain name, such as example.com.
        pub(crate) name: String,
        /// A type of records, such as A, AAAA, SRV or TYPE65; without it A.
        pub(crate) r#type: Option<String>,
        /// IN, CH or HS; without it IN.
        pub(crate) class: Option<String>,
        /// Whether the server is to ask others; without it yes.
        pub(crate) recursion: Option<bool>,
        /// Whether signatures are wanted; without it the option `dnssec`.
        pub(crate) dnssec: Option<bool>,
        /// Whether answers are wanted whose signatures do not fit; without it no.
        pub(crate) checking_disabled: Option<bool>,
        /// Whether an answer that is kept will do; without it yes.
        pub(crate) cache: Option<bool>,
    }

    /// Parameters of `reverse`.
    pub(crate) struct Reverse {
        /// An IP address.
        pub(crate) address: std::net::IpAddr,
        /// Whether an answer that is kept will do; without it yes.
        pub(crate) cache: Option<bool>,
    }

    /// What both give. There may be no answers: the name is there, and has no such records.
    pub(crate) struct Resolved {
        /// The name that was asked for.
        pub(crate) name: String,
        /// The type.
        pub(crate) r#type: String,
        /// The class.
        pub(crate) class: String,
        /// NOERROR; other codes are errors.
        pub(crate) status: String,
        /// Seconds that it holds; without it, it may not be kept.
        pub(crate) ttl: Option<u32>,
        /// Bits of the answer: authoritative, truncated, recursion_desired, recursion_available, authentic (the
        /// server has checked signatures) and checking_disabled.
        pub(crate) flags: Value,
        /// Records, each with name, type, class, ttl, text, and its parts in data.
        pub(crate) answers: Vec<Value>,
        /// Records of those who know.
        pub(crate) authority: Vec<Value>,
        /// Records that help.
        pub(crate) additional: Vec<Value>,
        /// Bytes of the answer.
        pub(crate) bytes: u64,
        /// Who has answered.
        pub(crate) server: String,
        /// What it came over: udp, tcp, tls, https or cache.
        pub(crate) over: String,
        /// Whether it was kept from before.
        pub(crate) cached: bool,
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Operation> {
    vec![
        Operation::new::<Resolve, Resolved>("resolve", "Asks for the records of a name"),
        Operation::new::<Reverse, Resolved>("reverse", "Asks for the names of an address"),
    ]
}
