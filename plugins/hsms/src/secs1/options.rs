//! [`Secs1Options`].

use crate::endpoint::seconds;
use crate::options::{HsmsOptions, Mode, secs_options};
use jackfield_plugin_api::Result;
use std::collections::BTreeSet;
use std::time::Duration;

secs_options! {
    /// Options of `secs1`. Times are in seconds, with a fraction if need be.
    pub struct Secs1Options {
        /// The device id of messages that name none; 0 to 32767.
        #[schemars(range(max = 32767))]
        pub session_id: u16 = 0,
        /// Further devices at the line. Blocks of any other are dropped.
        #[schemars(inner(range(max = 32767)))]
        pub more_devices: Vec<u16>,
        /// We are the equipment: blocks of ours have the R bit, we are the master where both ask at once, and `stream9`
        /// counts. Without it we are the host.
        pub equipment: bool = false,
        /// T1: how long a peer may pause within a block.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t1: f64 = 0.5,
        /// T2: from ENQ to EOT, from EOT to the length, from the end of a block to its ACK. Also how long what was sent
        /// may take to leave when the connection is closed.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t2: f64 = 10.0,
        /// T3: how long the answer to a message may take, from its last block; its transaction ends then.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t3: f64 = 45.0,
        /// T4: how long the next block of a message may take; what has come of it is dropped then.
        #[schemars(range(min = 0.01, max = 3600.0))]
        pub t4: f64 = 45.0,
        /// RTY: how often a block is sent again before its message is given up.
        #[schemars(range(max = 31))]
        pub rty: u8 = 3,
        /// The most bytes of a message's content, in either direction: at most 32767 blocks of 244.
        #[schemars(range(min = 1, max = 7_995_148))]
        pub max_message: u32 = 7_995_148,
        /// Messages of one connection that may have begun and not ended: their blocks may come by turns.
        #[schemars(range(min = 1, max = 1024))]
        pub max_open_messages: u32 = 16,
        /// Bytes that wait to be sent before senders wait; a message more, if it is longer.
        #[schemars(range(min = 1))]
        pub write_buffer: u32 = 64 << 10,
        /// Establish communications (GEM, E30) when a session is opened: S1F13 is sent, by a host after T1, again and
        /// again until the peer accepts by S1F14 with 0, or its own S1F13 was accepted. Before that nothing else is sent,
        /// and what else comes is aborted.
        pub establish: bool = false,
    }
}

impl Secs1Options {
    /// All devices at the line.
    pub(crate) fn devices(&self) -> BTreeSet<u16> {
        self.more_devices.iter().copied().chain([self.session_id]).collect()
    }

    /// What is above the blocks.
    pub(crate) fn common(self) -> HsmsOptions {
        HsmsOptions {
            session_id: self.session_id,
            // A message is one of its device.
            mode: Mode::Generic,
            t3: self.t3,
            max_message: self.max_message,
            max_unfinished: self.max_unfinished,
            max_depth: self.max_depth,
            max_items: self.max_items,
            equipment: self.equipment,
            stream9: self.stream9,
            known: self.known,
            max_transactions: self.max_transactions,
            max_streams: self.max_streams,
            read_ahead: self.read_ahead,
            write_buffer: self.write_buffer,
            packets: self.packets,
            events: self.events,
            establish: self.establish,
            establish_timeout: self.establish_timeout,
            establish_delay: self.establish_delay,
            establish_wait: self.establish_wait,
            establish_initiate: self.establish_initiate,
            answers: self.answers,
            plain: self.plain,
            peers: self.peers,
            ..HsmsOptions::default()
        }
    }
}

/// The timers and retries of E4 §7 and §9.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineTimes {
    pub(crate) t1: Duration,
    pub(crate) t2: Duration,
    pub(crate) t4: Duration,
    pub(crate) rty: u8,
    /// Messages that may have begun.
    pub(crate) open_messages: usize,
}

impl LineTimes {
    pub(crate) fn new(options: &Secs1Options) -> Result<Self> {
        Ok(LineTimes {
            t1: seconds("t1", options.t1)?,
            t2: seconds("t2", options.t2)?,
            t4: seconds("t4", options.t4)?,
            rty: options.rty,
            // At most 1024 by its schema.
            open_messages: usize::try_from(options.max_open_messages).unwrap_or(usize::MAX),
        })
    }
}
