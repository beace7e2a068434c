//! [`ModbusOptions`].

use crate::values::Order;
use jackfield_plugin_api::options;
use std::collections::BTreeMap;

options! {
    /// Options of `modbus`, `modbus-rtu` and `modbus-ascii`. Times are in seconds, with a fraction if need be.
    pub struct ModbusOptions {
        /// The unit of operations that name none, and of a ping.
        pub unit: u8 = 1,
        /// How long an answer may take, from the end of its request.
        #[schemars(range(min = 0.001, max = 3600.0))]
        pub timeout: f64 = 1.0,
        /// How often a request without an answer is sent again.
        #[schemars(range(max = 100))]
        pub retries: u8 = 1,
        /// On a serial line: how long an answer may come late. A request of the same function to the same unit waits so
        /// long after one without an answer, since the two answers could not be told from each other; others go on.
        #[schemars(range(min = 0.0, max = 3600.0))]
        pub late: f64 = 1.0,
        /// On TCP: requests that wait for their answers at the same time. Many devices take one.
        #[schemars(range(min = 1, max = 64))]
        pub in_flight: u8 = 1,
        /// On a serial line: the pause that ends a frame. Without it that of 3.5 characters where the line's rate is
        /// known, but at least 1.75 ms, and 20 ms elsewhere.
        #[schemars(range(min = 0.0, max = 10.0))]
        pub gap: Option<f64>,
        /// On a serial line: the pause after a request to all units, which nobody answers.
        #[schemars(range(min = 0.0, max = 60.0))]
        pub turnaround: f64 = 0.1,
        /// The pause between an answer and the next request.
        #[schemars(range(min = 0.0, max = 60.0))]
        pub pause: f64 = 0.0,
        /// What is different for a unit, by its number.
        pub units: BTreeMap<String, UnitOptions>,
        /// The order of bytes of values in several registers, where an operation does not say it.
        pub order: Order = Order::Abcd,
        /// Take an answer of another unit than was asked, as some gateways give; on TCP, where its number shows what it
        /// answers.
        pub any_unit: bool = false,
        /// What a ping reads: this holding register. Without it it is a loopback (function 8), to which a refusal is an
        /// answer, too.
        pub ping_register: Option<u16>,
        /// Requests that wait for their turn or their answer; a call beyond it fails, messages wait.
        #[schemars(range(min = 1, max = 65536))]
        pub max_queue: u32 = 256,
        /// Listener: requests of one master that wait for their answers; then nothing more of it is read.
        #[schemars(range(min = 1, max = 1024))]
        pub max_pending: u32 = 16,
        /// Listener: how long a master may take for what follows the beginning of a frame.
        #[schemars(range(min = 0.001, max = 3600.0))]
        pub frame_timeout: f64 = 5.0,
        /// Events kept while nobody fetches them; the oldest are dropped.
        #[schemars(range(min = 1))]
        pub events: u32 = 256,
    }

    /// What is different for one unit.
    pub struct UnitOptions {
        /// How long its answer may take.
        #[schemars(range(min = 0.001, max = 3600.0))]
        pub timeout: Option<f64>,
        /// How often a request without an answer is sent again.
        #[schemars(range(max = 100))]
        pub retries: Option<u8>,
        /// The pause between its answer and the next request.
        #[schemars(range(min = 0.0, max = 60.0))]
        pub pause: Option<f64>,
    }
}
