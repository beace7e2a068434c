//! [`SnmpOptions`].

use crate::usm::cipher::PrivacyProtocol;
use crate::usm::hash::AuthProtocol;
use jackfield_plugin_api::{Secret, options};

options! {
    /// Options of `snmp`. Times are in seconds, with a fraction if need be.
    pub struct SnmpOptions {
        /// What messages travel over.
        pub transport: Transport = Transport::Udp,
        /// Client: the version that is spoken.
        pub version: Version = Version::V2c,
        /// Client, `v1` and `v2c`: the community. It may stand in the URI as a password, `snmp://:COMMUNITY@host`;
        /// `public`, which is no secret, as a user too.
        pub community: Option<Secret>,
        /// Client, `v3`: the user, where the URI has none.
        pub user: Option<String>,
        /// Client, `v3`: how messages are authenticated.
        pub auth: AuthProtocol = AuthProtocol::None,
        /// Client, `v3`: the password of `auth`, where the URI has none; at least 8 characters.
        pub auth_password: Option<Secret>,
        /// Client, `v3`: how contents are encrypted.
        pub privacy: PrivacyProtocol = PrivacyProtocol::None,
        /// Client, `v3`: the password of `privacy`; at least 8 characters.
        pub privacy_password: Option<Secret>,
        /// Client, `v3`: the context that is asked about.
        pub context: String,
        /// Client, `v3`: the engine that the peer must be, as hexadecimal digits. Without it any.
        pub engine_id: Option<String>,
        /// `v3`: our own engine, as hexadecimal digits: of traps that are sent, and of a listener. A listener without it
        /// has one by chance.
        pub local_engine_id: Option<String>,
        /// Files of MIB modules whose names are taken and shown beside numbers. At most 64, of 16 MiB together.
        #[schemars(length(max = 64))]
        pub mib_files: Vec<String>,
        /// Takes MD5 and DES, which are broken.
        pub danger_weak_algorithms: bool = false,
        /// Client: opening asks for sysUpTime, and fails where no answer comes. Without it a peer need not be there;
        /// receivers of notifications answer nothing.
        pub probe: bool = true,
        /// Client: how long each attempt of a request waits for its answer.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub timeout: f64 = 2.0,
        /// Client: further attempts of a request that was not answered; over TCP there are none.
        #[schemars(range(max = 100))]
        pub retries: u32 = 2,
        /// Client: rows that `get_bulk` and `walk` ask for at once, where the call does not say.
        #[schemars(range(min = 1, max = 10_000))]
        pub max_repetitions: u32 = 25,
        /// Client: the most rows that one `walk` gives.
        #[schemars(range(min = 1, max = 10_000_000))]
        pub max_rows: u32 = 100_000,
        /// Client: the most bytes of messages that one `walk` takes.
        #[schemars(range(min = 1))]
        pub max_answer: u32 = 64 << 20,
        /// Client: requests that wait for answers at once on one connection; further ones wait.
        #[schemars(range(min = 1, max = 65536))]
        pub max_requests: u32 = 64,
        /// The most bytes of a message that is read over TCP.
        #[schemars(range(min = 484))]
        pub max_message: u32 = 1 << 20,
        /// Local address to send from, `IP` or `IP:PORT`.
        pub bind: Option<String>,
        /// Listener: communities of `v1` and `v2c` whose notifications are taken. Without any these versions are not
        /// taken.
        pub communities: Vec<Community>,
        /// Listener: users of `v3` whose notifications are taken.
        pub users: Vec<UserOptions>,
        /// Listener: peers that are told apart at once; those of more are dropped.
        #[schemars(range(min = 1))]
        pub sessions: u32 = 1024,
        /// Listener: seconds without a message after which the session of a peer ends; 0: never.
        pub idle: u32 = 300,
        /// Listener: notifications of one peer that wait to be received; more are dropped, and informs of them are not
        /// acknowledged.
        #[schemars(range(min = 1))]
        pub queue: u32 = 256,
        /// Listener: bytes of all peers that wait to be read; more are dropped.
        #[schemars(range(min = 65536))]
        pub buffer: u32 = 16 << 20,
        /// Listener: receive buffer of the socket in bytes; 0: the system's.
        pub recv_buffer: u32 = 0,
        /// Listener: let several listeners share the port (`SO_REUSEPORT`).
        pub reuse_port: bool = false,
        /// Events kept while nobody fetches them; the oldest are dropped.
        #[schemars(range(min = 1))]
        pub events: u32 = 256,
    }

    /// A user of a listener.
    pub struct UserOptions {
        /// Its name; must be there, once for each engine.
        pub name: String,
        /// The engine that it sends traps from, as hexadecimal digits. Without it any.
        pub engine_id: Option<String>,
        /// How its messages are authenticated.
        pub auth: AuthProtocol = AuthProtocol::None,
        /// The password of `auth`; at least 8 characters.
        pub auth_password: Option<Secret>,
        /// How its contents are encrypted.
        pub privacy: PrivacyProtocol = PrivacyProtocol::None,
        /// The password of `privacy`; at least 8 characters.
        pub privacy_password: Option<Secret>,
    }

    /// A community of a listener.
    pub struct Community {
        /// Its name in messages and events, which is no secret; must be there.
        pub name: String,
        /// The community itself; must be there.
        pub community: Option<Secret>,
    }

    /// What messages travel over.
    pub enum Transport {
        /// Datagrams (RFC 3417 §3).
        Udp,
        /// A connection (RFC 3430).
        Tcp,
    }

    /// Versions of SNMP.
    pub enum Version {
        /// RFC 1157.
        V1,
        /// RFC 1901, with communities.
        V2c,
        /// RFC 3412, with users (RFC 3414).
        V3,
    }
}
