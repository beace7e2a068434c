//! [`GatewayOptions`].

use crate::units::Units;
use jackfield_plugin_api::options;
use serde_json::Value;
use std::collections::BTreeMap;

options! {
    /// Options of `modbus_gateway`. Times are in seconds, with a fraction if need be.
    pub struct GatewayOptions {
        /// The lines, by name.
        pub lines: BTreeMap<String, LineOptions>,
        /// What is different for some masters; the first entry that fits counts.
        pub masters: Vec<MasterOptions>,
        /// How long the answer to a read is given to others that ask for the very same; such reads that wait at the
        /// same time are asked once. 0: each is asked.
        #[schemars(range(min = 0.0, max = 3600.0))]
        pub coalesce: f64 = 0.0,
        /// Requests of all masters that wait for their answers; others are refused (exception 6).
        #[schemars(range(min = 1, max = 1_000_000))]
        pub max_queue: u32 = 1024,
        /// How long a line may take to open.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub open_timeout: f64 = 10.0,
        /// The wait before a line is opened again; it doubles each time.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub first_delay: f64 = 0.5,
        /// The longest such wait.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub max_delay: f64 = 30.0,
    }

    /// One line.
    pub struct LineOptions {
        /// Where it is, such as `modbus-rtu:///dev/ttyUSB0?baud=9600` or `modbus://10.0.0.7`.
        pub uri: String,
        /// Options of its stack, as a connection has them.
        pub options: BTreeMap<String, Value>,
        /// Units that are on it; empty: all that no other line names. One line may have none.
        pub units: Units,
    }

    /// Some masters. What it says must all fit.
    pub struct MasterOptions {
        /// Addresses and networks that they come from; empty: any.
        pub addresses: Vec<String>,
        /// The port of the listener that they come to; without it any.
        pub port: Option<u16>,
        /// Whose requests go first: the highest; others have 0.
        pub priority: u8,
        /// Whether their writes are refused (exception 1).
        pub read_only: bool,
        /// Units that they may ask; empty: all. Others are refused (exception 10).
        pub units: Units,
    }
}
