//! What the peer sends, packet by packet.

use super::{Ended, Engine, Received};
use crate::decode::Wrong;
use crate::outgoing::Answered;
use crate::packet::{AckKind, Connack, Packet, Publication, Version};
use crate::reason;
use jackfield_plugin_api::{Origin, Role};
use std::time::Duration;

impl Engine {
    pub(super) fn handle(&mut self, packet: Packet, now: Duration) -> Result<(), Wrong> {
        let unexpected = |packet: &Packet| {
            Err(Wrong::new(reason::PROTOCOL, format!("an unexpected {}", packet.name())))
        };
        let first = matches!(packet, Packet::Connect(_) | Packet::Connack(_));
        if first == self.greeted {
            return unexpected(&packet);
        }
        match (packet, self.role) {
            (Packet::Connect(connect), Role::Server) => {
                self.greeted = true;
                self.version = connect.version;
                self.put(Received::Connect(connect));
            }
            (Packet::Connack(connack), Role::Client) => self.on_connack(connack, now),
            (Packet::Publish { publication, id, alias }, _) => {
                self.on_publish(publication, id, alias)?;
            }
            (Packet::Ack { kind: AckKind::Pubrel, id, .. }, _) => {
                let known = self.incoming.release(id);
                let code = if known { reason::SUCCESS } else { reason::UNKNOWN_ID };
                self.write(&Packet::Ack { kind: AckKind::Pubcomp, id, code });
            }
            (Packet::Ack { kind, id, code }, _) => self.on_answer(kind, id, code, now)?,
            (Packet::Subscribe { id, filters, number }, Role::Server) => {
                self.put(Received::Subscribe { id, filters, number });
            }
            (Packet::Unsubscribe { id, filters }, Role::Server) => {
                self.put(Received::Unsubscribe { id, filters });
            }
            (Packet::Suback { id, codes }, Role::Client) => {
                self.outgoing.granted(id, true, codes)?;
            }
            (Packet::Unsuback { id, codes }, Role::Client) => {
                self.outgoing.granted(id, false, codes)?;
            }
            (Packet::Pingreq, Role::Server) => self.write(&Packet::Pingresp),
            (Packet::Pingresp, Role::Client) => {
                self.pinged = None;
                for waiter in self.pings.drain(..) {
                    let _ = waiter.send(Ok(()));
                }
            }
            (Packet::Disconnect { code, reason, expiry }, role) => {
                if role == Role::Client && self.version == Version::V311 {
                    return Err(Wrong::new(reason::PROTOCOL, "an unexpected DISCONNECT"));
                }
                self.on_disconnect(code, reason.as_deref(), expiry);
            }
            (packet, _) => return unexpected(&packet),
        }
        Ok(())
    }

    fn on_connack(&mut self, connack: Connack, now: Duration) {
        self.greeted = true;
        if connack.code == reason::SUCCESS {
            self.connected = true;
            if let Some(most) = connack.receive_maximum {
                self.outgoing.window = self.outgoing.window.min(usize::from(most));
            }
            if let Some(most) = connack.max_packet {
                self.peer_max_packet = usize::try_from(most).unwrap_or(usize::MAX);
            }
            self.max_qos = connack.max_qos.unwrap_or(2);
            self.outgoing.alias_maximum = connack.alias_maximum.min(self.limits.aliases);
            if let Some(seconds) = connack.keepalive {
                self.keepalive = Duration::from_secs(u64::from(seconds));
            }
            if connack.expiry == Some(0) {
                self.keeps = false;
            }
            let kept = self.kept.take().unwrap_or_default();
            if connack.session_present {
                self.resume(kept, now);
            }
        }
        self.put(Received::Connack(connack));
    }

    fn on_publish(
        &mut self,
        mut publication: Publication,
        id: u16,
        alias: Option<u16>,
    ) -> Result<(), Wrong> {
        if let Some(alias) = alias {
            self.incoming.alias(&mut publication.topic, alias)?;
        }
        if publication.qos > 0 && self.incoming.is_repeated(&publication, id) {
            // Its content was taken already; an answer that was lost is given again.
            if self.incoming.is_recorded(id) {
                self.write(&Packet::Ack { kind: AckKind::Pubrec, id, code: reason::SUCCESS });
            }
            return Ok(());
        }
        if publication.qos > 0 {
            let limited = self.role == Role::Server && self.version == Version::V5;
            self.incoming.arrived(&publication, id, limited)?;
        }
        let full = self.inbox_bytes >= self.limits.read_ahead;
        if full && !self.is_read && publication.qos == 0 {
            self.dropped += 1;
            return Ok(());
        }
        self.put(Received::Publish { publication, id });
        Ok(())
    }

    /// A message of QoS 1 or 2 has been taken over, or was refused with a code from 128 on.
    pub(crate) fn acknowledge(&mut self, publication_qos: u8, id: u16, code: u8) {
        if publication_qos == 0 || self.ended.is_some() {
            return;
        }
        self.incoming.taken(publication_qos, id, code);
        let kind = if publication_qos == 1 { AckKind::Puback } else { AckKind::Pubrec };
        self.write(&Packet::Ack { kind, id, code });
    }

    fn on_answer(&mut self, kind: AckKind, id: u16, code: u8, now: Duration) -> Result<(), Wrong> {
        match self.outgoing.answered(kind, id, code, now)? {
            Answered::Release { code } => {
                self.write(&Packet::Ack { kind: AckKind::Pubrel, id, code });
            }
            Answered::Done { topic, code } if code >= reason::UNSPECIFIED => {
                if self.refused.len() < 64 {
                    self.refused.push_back((topic, code));
                }
            }
            Answered::Done { .. } | Answered::Nothing => {}
        }
        Ok(())
    }

    fn on_disconnect(&mut self, code: u8, reason: Option<&str>, expiry: Option<u32>) {
        // A server ends with 0x98 what has come to its end by its own wish.
        let whole = code == reason::SUCCESS || code == reason::ADMINISTRATIVE;
        let polite = self.role == Role::Client || code == reason::SUCCESS;
        if polite {
            self.will = None;
        }
        let error = (!whole).then(|| {
            let error = reason::disconnected(code, reason);
            if self.role == Role::Server { error.with_origin(Origin::Downstream) } else { error }
        });
        self.out.clear();
        self.end(Ended { error, polite, expiry });
    }
}
