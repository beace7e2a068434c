//! COM-PORT-OPTION (RFC 2217), as client and as server.

use super::{Engine, MAX_ASKS};
use crate::com_port::{self, Said, Setting, Topic};
use crate::line::{self, LineState, Modem};
use crate::negotiation::{COM_PORT, End};
use bytes::BytesMut;
use jackfield_plugin_api::Role;
use serde_json::{Value, json};

impl Engine {
    /// Says something about the line: asks as a client, tells as a server.
    pub(crate) fn say(&mut self, said: &Said, out: &mut BytesMut) {
        let bytes = com_port::bytes(said, self.role == Role::Server);
        self.subnegotiation(COM_PORT, &bytes, out);
    }

    pub(super) fn said(&mut self, said: Said, by_server: bool, out: &mut BytesMut) {
        match said {
            Said::Setting(setting) if by_server => {
                self.com.settings.take(setting);
                *self.com.answers.entry(setting.topic).or_default() += 1;
            }
            Said::Setting(setting) => self.asked(setting, out),
            Said::ModemState(bits) if by_server => {
                let modem = Modem::of_bits(bits);
                self.com.modem = Some(modem);
                self.tell("modem", serde_json::to_value(modem).unwrap_or_default());
            }
            Said::LineState(bits) if by_server && bits & com_port::ERRORS != 0 => {
                let state = LineState::of_bits(bits);
                self.tell("line", serde_json::to_value(state).unwrap_or_default());
            }
            Said::Signature(text) if !text.is_empty() => self.com.signature = Some(text),
            Said::Signature(_) => self.say(&Said::Signature("Jackfield".to_owned()), out),
            Said::ModemMask(mask) if !by_server => {
                self.com.mask = Some(mask);
                self.say(&Said::ModemMask(mask), out);
            }
            Said::LineMask(mask) if !by_server => {
                // Other states, such as how full buffers are, are never told.
                self.com.line_mask = mask & com_port::ERRORS;
                self.say(&Said::LineMask(self.com.line_mask), out);
            }
            Said::Suspend => self.com.suspended = true,
            Said::Resume => self.com.suspended = false,
            Said::LineState(_) | Said::ModemState(_) | Said::ModemMask(_) | Said::LineMask(_) => {}
        }
    }

    fn asked(&mut self, setting: Setting, out: &mut BytesMut) {
        let asked = match line::operation(setting) {
            // What a line does not take stands in the way of all that comes after it, and it is thrown away now.
            Some((operation, params)) if setting.topic == Topic::Purge => {
                if params["output"] == true {
                    self.held.discard();
                }
                let open = self.com.asks.len() < MAX_ASKS;
                open.then(|| self.ask(operation, &params))
            }
            Some((operation, params)) => self.ask_in_place(operation, &params),
            None => None,
        };
        match asked {
            Some(id) => drop(self.com.asks.insert(id, setting)),
            None => self.say(&Said::Setting(line::answer(setting, None)), out),
        }
    }

    /// Asks the route that joins this session to another for an operation of that one.
    pub(super) fn ask(&mut self, operation: &str, params: &Value) -> u64 {
        self.com.next += 1;
        let id = self.com.next;
        self.tell("call", json!({ "id": id, "operation": operation, "params": params }));
        id
    }

    /// Tells a client what came of its setting.
    pub(super) fn told_result(&mut self, id: u64, result: Option<&Value>, out: &mut BytesMut) {
        let Some(setting) = self.com.asks.remove(&id) else { return };
        if result.is_none() && line::begins_break(setting) {
            // A far end that can only send a break of a length of its own, such as one of SSH.
            self.ask("break", &json!({ "milliseconds": com_port::BREAK_MS }));
        }
        let answer = line::answer(setting, result);
        self.say(&Said::Setting(answer), out);
    }

    /// This has come on the line; tells a client that wants to know.
    pub(crate) fn line_is(&mut self, state: LineState, out: &mut BytesMut) {
        let bits = state.bits() & self.com.line_mask;
        if bits != 0 && self.negotiation.is_on(End::Remote, COM_PORT) {
            self.say(&Said::LineState(bits), out);
        }
    }

    /// The line's modem lines are so now; tells a client that wants to know.
    pub(crate) fn modem_is(&mut self, modem: Modem, out: &mut BytesMut) {
        let before = self.com.modem.replace(modem).unwrap_or_default();
        let bits = modem.bits(before);
        let wanted = self.com.mask.unwrap_or(0xff) & bits & 0xf0 != 0 || bits & 0x0f != 0;
        if wanted && self.negotiation.is_on(End::Remote, COM_PORT) {
            self.say(&Said::ModemState(bits), out);
        }
    }
}
