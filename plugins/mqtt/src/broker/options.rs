//! [`BrokerOptions`].

use jackfield_plugin_api::options;
use serde::Serialize;

options! {
    /// Options of `mqtt_broker`.
    pub struct BrokerOptions {
        /// The most clients that are connected at the same time; others are refused with 0x97.
        #[schemars(range(min = 1))]
        pub max_clients: u32 = 10_000,
        /// The most sessions that are kept for clients that are not connected.
        pub max_sessions: u32 = 10_000,
        /// The folder in which sessions and retained messages are kept, so that they are there again after the host
        /// was stopped or killed; made if it is not there. Empty: they end with the host.
        pub state_dir: String,
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
        /// Who may publish and subscribe to which topics; empty: everybody to all. With rules, what none of them
        /// allows is refused with 0x87.
        pub permissions: Vec<Permission>,
    }

    /// Topics that users may publish and subscribe to.
    pub struct Permission {
        /// Whom it is for: users of the listener, or names of certificates; empty: everybody, also who has no name.
        pub users: Vec<String>,
        /// Patterns of topics, with `%u` for the user and `%c` for the client identifier.
        pub publish: Vec<String>,
        /// The same for subscriptions, whose filters may match nothing else.
        pub subscribe: Vec<String>,
    }
}

impl Serialize for Permission {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only a default is written, and there is none.
        serializer.serialize_none()
    }
}
