//! Control frames of the peer, told by events.

use super::Socket;
use jackfield_plugin_api::EventQueue;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::task::Context;
use tokio_tungstenite::tungstenite::Message as WsMessage;

impl Socket {
    /// Tells pings, pongs and the close of the peer from now on.
    pub(crate) fn tells(mut self, events: Option<Arc<EventQueue>>) -> Self {
        self.events = events;
        self
    }

    pub(super) fn tell_control(&self, item: &WsMessage) {
        let Some(events) = &self.events else { return };
        match item {
            WsMessage::Ping(payload) => events.tell("ping", data(payload)),
            WsMessage::Pong(payload) => events.tell("pong", data(payload)),
            WsMessage::Close(frame) => {
                let frame = frame.as_ref();
                let code = frame.map(|frame| u16::from(frame.code));
                let reason = frame.map(|frame| frame.reason.as_str());
                events.tell("close", json!({ "code": code, "reason": reason }));
            }
            _ => {}
        }
    }

    /// Reads for who waits for events and for nothing else, as far as messages may be kept.
    pub(crate) fn read_on(&mut self, cx: &mut Context<'_>) {
        self.fill(cx);
    }
}

/// A payload, of at most 125 bytes: as hexadecimal digits, and as text where it is one.
fn data(payload: &[u8]) -> serde_json::Value {
    let digits = payload.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a text does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    match std::str::from_utf8(payload) {
        Ok(text) => json!({ "payload": digits, "text": text }),
        Err(_) => json!({ "payload": digits }),
    }
}
