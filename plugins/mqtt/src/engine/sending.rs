//! What the owner sends.

use super::{Ended, Engine, Kept};
use crate::outgoing::{Told, Waiter};
use crate::packet::{Connack, Connect, Filter, Packet, Publication, Version};
use crate::reason;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::time::Duration;

impl Engine {
    /// Asks the server for a connection, which goes on with `kept`.
    pub(crate) fn connect(&mut self, connect: Connect, kept: Option<Kept>) -> Result<()> {
        self.keepalive = Duration::from_secs(u64::from(connect.keepalive));
        self.keeps = connect.expiry > 0;
        self.kept = kept.filter(|_| !connect.clean);
        self.try_write(&Packet::Connect(Box::new(connect)))
    }

    /// Answers a CONNECT; a code that is not 0 ends the connection.
    pub(crate) fn answer(
        &mut self,
        connect: &Connect,
        connack: Connack,
        kept: Option<Kept>,
        now: Duration,
    ) {
        if self.ended.is_some() || self.connected {
            return;
        }
        let (code, keepalive) = (connack.code, connack.keepalive);
        let session_present = connack.session_present;
        self.write(&Packet::Connack(connack));
        if code != reason::SUCCESS {
            return self.end(Ended { error: None, polite: true, expiry: None });
        }
        self.connected = true;
        let keepalive = keepalive.unwrap_or(connect.keepalive);
        self.keepalive = Duration::from_secs(u64::from(keepalive));
        self.last_received = now;
        self.keeps = connect.expiry > 0;
        self.will.clone_from(&connect.will);
        let window = usize::from(connect.receive_maximum.unwrap_or(u16::MAX));
        self.outgoing.window = self.outgoing.window.min(window);
        if let Some(most) = connect.max_packet {
            self.peer_max_packet = usize::try_from(most).unwrap_or(usize::MAX);
        }
        self.outgoing.alias_maximum = connect.alias_maximum.min(self.limits.aliases);
        if session_present {
            self.resume(kept.unwrap_or_default(), now);
        }
        let rest = self.rest.split();
        self.feed(&rest, now);
    }

    /// Sends a message, for which there is room.
    ///
    /// # Errors
    /// It is too long or cannot be written, there is no room, or the connection has ended.
    pub(crate) fn publish(
        &mut self,
        mut publication: Publication,
        told: Told,
        now: Duration,
    ) -> Result<()> {
        self.usable()?;
        publication.qos = publication.qos.min(self.max_qos);
        let mut id = 0;
        if publication.qos > 0 {
            let room = self.outgoing.message(&publication, self.keeps, now);
            id = room.ok_or_else(|| {
                Error::new(ErrorKind::Limit, "too many messages have no answer yet")
            })?;
        }
        let mut alias = None;
        if self.version == Version::V5
            && self.outgoing.alias_maximum > 0
            && let Some((number, known)) = self.outgoing.alias(&publication.topic)
        {
            alias = Some(number);
            if known {
                publication.topic.clear();
            }
        }
        let answered = publication.qos > 0;
        let written = self.try_write(&Packet::Publish { publication, id, alias });
        if written.is_err() {
            self.outgoing.forget(id);
            // The peer was not told what the newest number stands for.
            self.outgoing.alias_maximum = 0;
        } else if answered {
            self.outgoing.tell(id, told);
        } else if let Told::Caller(waiter) = told {
            let _ = waiter.send(Ok(reason::SUCCESS));
        }
        written
    }

    /// Subscribes; the waiter is told the code for each filter.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    pub(crate) fn subscribe(
        &mut self,
        filters: Vec<Filter>,
        waiter: Waiter<Vec<u8>>,
        now: Duration,
    ) -> Result<()> {
        self.ask(true, waiter, now, |id| Packet::Subscribe { id, filters, number: None })
    }

    /// Ends subscriptions; the waiter is told the code for each filter, none by 3.1.1.
    ///
    /// # Errors
    /// As [`Engine::publish`].
    pub(crate) fn unsubscribe(
        &mut self,
        filters: Vec<String>,
        waiter: Waiter<Vec<u8>>,
        now: Duration,
    ) -> Result<()> {
        self.ask(false, waiter, now, |id| Packet::Unsubscribe { id, filters })
    }

    fn ask(
        &mut self,
        subscribes: bool,
        waiter: Waiter<Vec<u8>>,
        now: Duration,
        packet: impl FnOnce(u16) -> Packet,
    ) -> Result<()> {
        self.usable()?;
        let id = self.outgoing.ask(subscribes, now, waiter);
        let id =
            id.ok_or_else(|| Error::new(ErrorKind::Limit, "all packet identifiers are used"))?;
        let written = self.try_write(&packet(id));
        if written.is_err() {
            self.outgoing.forget(id);
        }
        written
    }

    /// Answers a SUBSCRIBE.
    pub(crate) fn suback(&mut self, id: u16, codes: Vec<u8>) {
        if self.ended.is_none() {
            self.write(&Packet::Suback { id, codes });
        }
    }

    /// Answers an UNSUBSCRIBE.
    pub(crate) fn unsuback(&mut self, id: u16, codes: Vec<u8>) {
        if self.ended.is_none() {
            self.write(&Packet::Unsuback { id, codes });
        }
    }

    /// Sends a PINGREQ; the waiter is told when its answer has come.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn ping(
        &mut self,
        waiter: oneshot::Sender<Result<()>>,
        now: Duration,
    ) -> Result<()> {
        self.usable()?;
        if self.pings.len() >= 64 {
            return Err(Error::new(ErrorKind::Limit, "too many pings have no answer"));
        }
        self.pings.push_back(waiter);
        if self.pinged.is_none() {
            self.ping_now(now);
        }
        Ok(())
    }
}
