//! [`BrokerOptions`].

use jackfield_plugin_api::options;

options! {
    /// Options of `mqtt_broker`.
    pub struct BrokerOptions {
        /// The most clients that are connected at the same time; others are refused with 0x97.
        #[schemars(range(min = 1))]
        pub max_clients: u32 = 10_000,
        /// The most sessions that are kept for clients that are not connected.
        pub max_sessions: u32 = 10_000,
        /// The longest that a session is kept after its connection, in seconds.
        pub session_expiry: u32 = 86_400,
        /// The most subscriptions of one client; others are refused with 0x97.
        #[schemars(range(min = 1))]
        pub max_subscriptions: u32 = 1000,
        /// The most messages that wait for one client; later ones are dropped.
        #[schemars(range(min = 1))]
        pub max_queued: u32 = 1000,
        /// The most bytes of messages that wait, of all clients together.
        #[schemars(range(min = 1024))]
        pub max_queued_bytes: u64 = 64 << 20,
        /// The most retained messages; later ones are not kept.
        pub max_retained: u32 = 10_000,
        /// The most bytes of retained messages.
        pub max_retained_bytes: u64 = 16 << 20,
    }
}
