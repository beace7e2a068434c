//! [`HsmsOptions`].

use jackfield_plugin_api::options;

/// Options of one driver, and behind them those that `hsms` and `secs1` have in common.
macro_rules! secs_options {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        jackfield_plugin_api::options! {
            $(#[$meta])*
            pub struct $name {
                $($own)*
                /// Of equipment: a host is told by stream 9 of a device that is not ours (S9F1), of a stream (S9F3)
                /// or function (S9F5) that is not `known`, of data that is no item (S9F7), of T3 (S9F9), and of a
                /// message that is longer than `max_message` (S9F11). Nobody else is given such a message.
                pub stream9: bool = true,
                /// Of equipment: messages that are known beside those of `answers`: streams such as `S1` and
                /// messages such as `S2F41`. Without it those are known that somebody reads.
                pub known: Option<Vec<String>>,
                /// Bytes of messages that have begun and not ended, of all connections together; 64 KiB of each do not
                /// count.
                #[schemars(range(min = 1))]
                pub max_unfinished: u64 = 64 << 20,
                /// The most lists in lists of a message that is shown or written as SML or JSON.
                #[schemars(range(min = 1, max = 256))]
                pub max_depth: u32 = 64,
                /// The most items of such a message.
                #[schemars(range(min = 1, max = 16_777_216))]
                pub max_items: u32 = 1 << 20,
                /// Transactions that may be open in either direction at once.
                #[schemars(range(min = 1, max = 65536))]
                pub max_transactions: u32 = 256,
                /// Streams that may be open at once on one connection, which share it.
                #[schemars(range(min = 1, max = 1024))]
                pub max_streams: u32 = 64,
                /// Bytes of messages that are kept for whoever reads them, for each reader; a message more, if it is
                /// longer.
                #[schemars(range(min = 1))]
                pub read_ahead: u32 = 1 << 20,
                /// Tell each message of both sides by an event `packet`, without its content.
                pub packets: bool = false,
                /// Events kept while nobody fetches them; the oldest are dropped.
                #[schemars(range(min = 1))]
                pub events: u32 = 256,
                /// How long the answer to an S1F13 of `establish` may take.
                #[schemars(range(min = 0.01, max = 3600.0))]
                pub establish_timeout: f64 = 5.0,
                /// After how long an S1F13 that was denied or not answered is sent again (the
                /// `EstablishCommunicationsTimeout` of E30).
                #[schemars(range(min = 0.01, max = 3600.0))]
                pub establish_delay: f64 = 10.0,
                /// Whether opening waits until communications are established; else messages wait for that.
                pub establish_wait: bool = true,
                /// Whether we send S1F13; else the peer has to.
                pub establish_initiate: bool = true,
                /// What is answered by the driver itself: a message such as `S1F13` and its answer as SML.
                pub answers: std::collections::BTreeMap<String, String>,
                /// The message that contents without a header are sent as, such as those of a route from bytes; one
                /// that asks for no answer.
                pub plain: String = "S127F255".to_owned(),
                /// Listener: who may connect. Without it everybody may; with it a peer that fits no entry is refused.
                pub peers: Vec<$crate::options::PeerOptions>,
            }
        }
    };
}

pub(crate) use secs_options;

secs_options! {
    /// Options of `hsms`. Times are in seconds, with a fraction if need be.
    pub struct HsmsOptions {
        /// The session (device) of messages that name none; 0 to 32767. In `generic` mode also the one that is
        /// selected.
        #[schemars(range(max = 32767))]
        pub session_id: u16 = 0,
        /// `single`: one session for the whole connection (HSMS-SS, E37.1). `generic`: each session is selected
        /// by its id (E37.2).
        pub mode: Mode = Mode::Single,
        /// T3: how long an answer to a message may take; its transaction ends then, the connection does not.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t3: f64 = 45.0,
        /// T5, of a client: the least time between the end of a connection to a peer and the next one, of
        /// which up to a quarter is added by chance. 0: none.
        #[schemars(range(min = 0.0, max = 3600.0))]
        pub t5: f64 = 10.0,
        /// T6: how long the answer to a control message may take, then the connection ends; less than T7. Also how
        /// long what was sent may take to leave when the connection is closed.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t6: f64 = 5.0,
        /// T7: how long a connection may be without a selected session.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t7: f64 = 10.0,
        /// T8: how long a peer may pause within a message.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t8: f64 = 5.0,
        /// Time between our linktests while a session is selected; 0: none.
        #[schemars(range(min = 0.0, max = 86400.0))]
        pub linktest_interval: f64 = 60.0,
        /// The most bytes of a message's content, in either direction.
        #[schemars(range(min = 1))]
        pub max_message: u32 = 16 << 20,
        /// We are the equipment: `stream9` counts.
        pub equipment: bool = false,
        /// Sessions that one connection may have selected in `generic` mode.
        #[schemars(range(min = 1, max = 1024))]
        pub max_selected: u32 = 16,
        /// Bytes that wait to be sent before senders wait; a message more, if it is longer.
        #[schemars(range(min = 1))]
        pub write_buffer: u32 = 256 << 10,
        /// Establish communications (GEM, E30) when a session was selected: S1F13 is sent, again and again, until
        /// the peer accepts by S1F14 with 0, or its own S1F13 was accepted. Before that nothing else is sent, and what
        /// else comes is aborted. Much equipment answers nothing before.
        pub establish: bool = false,
    }
}

options! {
    /// One peer of a listener. What it says must all fit; the first entry that fits counts.
    pub struct PeerOptions {
        /// Its name, in `info` and events; must be there, once.
        pub name: String,
        /// The session that it selects or, in `single` mode, that its Select names.
        #[schemars(range(max = 32767))]
        pub session_id: Option<u16>,
        /// Addresses and networks that it comes from; empty: any.
        pub addresses: Vec<String>,
        /// Who it has proven to be by TLS, as `info` has it.
        pub identity: Option<String>,
        /// Whether it may connect now; else it is told that we are not ready.
        pub enabled: bool = true,
        /// Messages that are passed to it of those that begin a transaction: streams such as `S6` and messages
        /// such as `S5F1`. Empty: all.
        pub receives: Vec<String>,
        /// Whether it is asked for answers, and its answers count. Where several share a connection, one
        /// should.
        pub answers: bool = true,
    }

    /// How sessions are selected.
    pub enum Mode {
        /// HSMS-SS.
        Single,
        /// HSMS-GS.
        Generic,
    }
}
