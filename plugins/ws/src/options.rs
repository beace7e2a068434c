//! [`WsOptions`].

use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Options of `ws`, for connecting and accepting.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WsOptions {
    /// Client: headers of the request, by name.
    pub headers: BTreeMap<String, Secret>,
    /// Client: sent as `Authorization: Bearer …` (RFC 6750).
    pub bearer_token: Option<Secret>,
    /// Client: the `Origin` header.
    pub origin: Option<String>,
    /// Subprotocols, the preferred one first. A client offers them; a listener takes the first of
    /// these that the client offers.
    pub subprotocols: Vec<String>,
    /// Listener: values of `Origin` that may connect, `*` for any, also none at all; empty: pages from this
    /// very host and port, as the request names them, and what is no browser.
    pub origins: Vec<String>,
    /// The longest message in bytes, in either direction.
    pub max_message: u64,
    /// The longest frame that is received, in bytes.
    pub max_frame: u64,
    /// Bytes that are read at once; each connection holds as many.
    pub read_buffer: u64,
    /// Bytes that are collected before they are written without a flush. A connection holds
    /// at most these, one message, and 64 KiB of answers to pings.
    pub write_buffer: u64,
    /// Bytes of messages that are kept while a ping or close waits for its answer without a receiver.
    pub read_ahead: u64,
    /// Seconds between our pings; 0: none.
    pub ping_interval: u32,
    /// Seconds that the answer to one of them may take before the connection is lost.
    pub pong_timeout: u32,
    /// Seconds that the peer's answer to our close frame may take.
    pub close_timeout: u32,
    /// Seconds that a message may take from its first byte to its last; 0: as long as it likes.
    pub message_timeout: u32,
    /// Tell pings, pongs and the close of the peer by events, with their payloads.
    pub control_frames: bool,
    /// Listener: bytes of messages that have begun and not ended, of all its connections together; 16 KiB of
    /// each do not count. Who needs more is closed with 1013. Default: 64 MiB.
    pub max_unfinished: Option<u64>,
}

impl Default for WsOptions {
    fn default() -> Self {
        WsOptions {
            headers: BTreeMap::new(),
            bearer_token: None,
            origin: None,
            subprotocols: Vec::new(),
            origins: Vec::new(),
            max_message: 16 << 20,
            max_frame: 16 << 20,
            read_buffer: 16 << 10,
            write_buffer: 64 << 10,
            read_ahead: 1 << 20,
            ping_interval: 0,
            pong_timeout: 20,
            close_timeout: 5,
            message_timeout: 60,
            control_frames: false,
            max_unfinished: None,
        }
    }
}
