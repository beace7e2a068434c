//! [`Engine`]: one connection without its input and output. Bytes are fed to it and taken from it; what its owner
//! has to do something about waits in its inbox.

mod receiving;
mod sending;
mod time;

use crate::decode::{Decoder, Wrong};
use crate::encode::encode;
use crate::incoming::Incoming;
use crate::outgoing::{Outgoing, Unanswered, Unfinished};
use crate::packet::{AckKind, Connack, Connect, Filter, Packet, Publication, Version, Will};
use crate::{packets, reason};
use bytes::BytesMut;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Origin, Result, Role};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How much one connection may hold, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of a packet that is received.
    pub(crate) max_packet: u32,
    /// Messages that the peer may send before the first of them was taken and answered.
    pub(crate) receive_maximum: u16,
    /// Messages of ours without an answer.
    pub(crate) inflight: u16,
    /// Topic aliases that the peer may use.
    pub(crate) alias_maximum: u16,
    /// Topic aliases that we use.
    pub(crate) aliases: u16,
    /// Bytes of messages that wait to be taken.
    pub(crate) read_ahead: usize,
    /// Bytes that wait to be written.
    pub(crate) write_buffer: usize,
    /// For each answer.
    pub(crate) answer_timeout: Duration,
}

/// What the owner of a connection is to do something about.
pub(crate) enum Received {
    Connect(Box<Connect>),
    Connack(Connack),
    /// To be answered with [`Engine::acknowledge`] where its QoS is not 0.
    Publish {
        publication: Publication,
        id: u16,
    },
    Subscribe {
        id: u16,
        filters: Vec<Filter>,
        number: Option<u32>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
}

impl Received {
    /// About how much memory it takes while it waits.
    fn memory(&self) -> usize {
        let plain = |filters: usize, text: usize| filters * size_of::<Filter>() + text;
        match self {
            Received::Publish { publication, .. } => publication.memory(),
            Received::Subscribe { filters, .. } => {
                plain(filters.len(), filters.iter().map(|filter| filter.filter.len()).sum())
            }
            Received::Unsubscribe { filters, .. } => {
                plain(filters.len(), filters.iter().map(String::len).sum())
            }
            Received::Connect(_) | Received::Connack(_) => 0,
        }
    }
}

/// How a connection has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// `None`: as it should.
    pub(crate) error: Option<Error>,
    /// The peer has said that its will is not to be published (§3.14.4).
    pub(crate) polite: bool,
    /// What a DISCONNECT has said of how long the session is kept.
    pub(crate) expiry: Option<u32>,
}

/// What a session keeps between its connections.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) unanswered: Unanswered,
    /// Messages of QoS 2 that were received and not released.
    pub(crate) held: HashSet<u16>,
}

/// One connection.
pub(crate) struct Engine {
    role: Role,
    limits: Limits,
    decoder: Decoder,
    version: Version,
    /// Came behind a CONNECT that is not answered yet.
    rest: BytesMut,
    pub(crate) out: BytesMut,
    pub(crate) outgoing: Outgoing,
    incoming: Incoming,
    inbox: VecDeque<Received>,
    inbox_bytes: usize,
    /// Whether somebody takes what is in the inbox.
    pub(crate) is_read: bool,
    /// Messages of QoS 0 that nobody took in time.
    pub(crate) dropped: u64,
    /// Topics and codes of messages that were refused and for which nobody waits.
    pub(crate) refused: VecDeque<(Option<String>, u8)>,
    pings: VecDeque<oneshot::Sender<Result<()>>>,
    /// Since when the answer to a PINGREQ is due.
    pinged: Option<Duration>,
    /// CONNECT was answered.
    connected: bool,
    greeted: bool,
    /// Whether the session goes on after this connection.
    keeps: bool,
    peer_max_packet: usize,
    pub(crate) max_qos: u8,
    keepalive: Duration,
    last_sent: Duration,
    last_received: Duration,
    /// Since when the peer is read again: what it has sent meanwhile is still on its way.
    resumed: Duration,
    paused: bool,
    will: Option<Will>,
    ended: Option<Ended>,
    kept: Option<Kept>,
    /// Where each packet is told.
    pub(crate) packets: Option<Arc<EventQueue>>,
}

impl Engine {
    pub(crate) fn new(role: Role, version: Version, limits: Limits, now: Duration) -> Self {
        let known = (role == Role::Client).then_some(version);
        Engine {
            role,
            limits,
            decoder: Decoder::new(known, limits.max_packet),
            version,
            rest: BytesMut::new(),
            out: BytesMut::new(),
            outgoing: Outgoing::new(limits.inflight),
            incoming: Incoming::new(limits.receive_maximum, limits.alias_maximum),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            is_read: false,
            dropped: 0,
            refused: VecDeque::new(),
            pings: VecDeque::new(),
            pinged: None,
            connected: false,
            greeted: false,
            keeps: false,
            peer_max_packet: crate::encode::LONGEST,
            max_qos: 2,
            keepalive: Duration::ZERO,
            last_sent: now,
            last_received: now,
            resumed: now,
            paused: false,
            will: None,
            ended: None,
            kept: None,
            packets: None,
        }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// The will of a client that has not taken it back; once.
    pub(crate) fn take_will(&mut self) -> Option<Will> {
        self.will.take()
    }

    /// What the session keeps, once this connection has ended; once.
    pub(crate) fn take_kept(&mut self) -> Option<Kept> {
        self.kept.take()
    }

    /// Whether more is to be read from the peer: while there is room, and while it may say something.
    pub(crate) fn wants_read(&self) -> bool {
        let waits_for_us = self.role == Role::Server && self.greeted && !self.connected;
        let full = self.inbox_bytes >= self.limits.read_ahead;
        let reads = self.is_read || self.role == Role::Server;
        let paused = full && reads || self.incoming.is_full();
        self.ended.is_none() && !waits_for_us && !paused
    }

    /// Whether messages may be sent: there is room in the buffer, and for one that is to be answered.
    pub(crate) fn has_room(&self, qos: u8) -> bool {
        self.out.len() < self.limits.write_buffer && (qos == 0 || self.outgoing.has_room())
    }

    /// What came next.
    pub(crate) fn take(&mut self) -> Option<Received> {
        let received = self.inbox.pop_front()?;
        self.inbox_bytes = self.inbox_bytes.saturating_sub(received.memory());
        Some(received)
    }

    /// All that came.
    pub(crate) fn take_all(&mut self) -> VecDeque<Received> {
        self.inbox_bytes = 0;
        std::mem::take(&mut self.inbox)
    }

    fn put(&mut self, received: Received) {
        self.inbox_bytes += received.memory();
        self.inbox.push_back(received);
    }

    /// The peer has sent `bytes`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], now: Duration) {
        while !bytes.is_empty() && self.ended.is_none() {
            if self.role == Role::Server && self.greeted && !self.connected {
                self.rest.extend_from_slice(bytes);
                return;
            }
            let before = bytes.len();
            let handled = match self.decoder.next(&mut bytes) {
                Ok(None) if bytes.len() == before => return,
                Ok(None) => Ok(()),
                Ok(Some(packet)) => {
                    self.last_received = now;
                    self.tell(&packet, "peer");
                    self.handle(packet, now)
                }
                Err(wrong) => Err(wrong),
            };
            if let Err(wrong) = handled {
                self.fault(&wrong);
            }
        }
    }

    /// The peer has broken a rule: it is told, as far as its version can be told, and the connection ends.
    pub(crate) fn fault(&mut self, wrong: &Wrong) {
        let whose = if self.role == Role::Client { "server" } else { "client" };
        let kind =
            if wrong.code == reason::TOO_LARGE { ErrorKind::Limit } else { ErrorKind::Protocol };
        let origin = if self.role == Role::Client { Origin::Upstream } else { Origin::Downstream };
        let error = Error::new(kind, format!("the {whose} breaks the protocol: {}", wrong.text))
            .with_code(reason::REASON, wrong.code)
            .with_origin(origin);
        if self.role == Role::Server && !self.connected {
            // Before the connection is there only CONNACK may be sent; a version that is not known is told in
            // the form of 3.1.1, which all understand.
            if wrong.code == reason::UNSUPPORTED_VERSION || self.greeted {
                let connack = Connack { code: wrong.code, ..Connack::default() };
                self.write(&Packet::Connack(connack));
            }
            return self.end(Ended { error: Some(error), polite: false, expiry: None });
        }
        self.leave(wrong.code, Some(error));
    }

    /// Says goodbye with `code` and ends.
    pub(crate) fn leave(&mut self, code: u8, error: Option<Error>) {
        if self.ended.is_some() {
            return;
        }
        let client_of_3 = self.role == Role::Client && code == reason::SUCCESS;
        if self.connected && (self.version == Version::V5 || client_of_3) {
            self.write(&Packet::Disconnect { code, reason: None, expiry: None });
        }
        self.end(Ended { error, polite: false, expiry: None });
    }

    /// The connection below has ended, or failed with `error`.
    pub(crate) fn broken(&mut self, error: Error) {
        self.out.clear();
        self.end(Ended { error: Some(error), polite: false, expiry: None });
    }

    fn end(&mut self, ended: Ended) {
        if self.ended.is_some() {
            return;
        }
        let closed =
            || Error::new(ErrorKind::Closed, "the connection ended before the answer came");
        let error = match &ended.error {
            Some(error) => closed().with("cause", error),
            None => closed(),
        };
        for waiter in self.pings.drain(..) {
            let _ = waiter.send(Err(error.clone()));
        }
        let unanswered = self.outgoing.end(&error);
        // Before CONNACK what an earlier connection has left is as it was.
        if self.keeps && self.connected {
            self.kept = Some(Kept { unanswered, held: self.incoming.held() });
        }
        self.ended = Some(ended);
    }

    fn resume(&mut self, kept: Kept, now: Duration) {
        self.incoming.resume(kept.held);
        for Unfinished { id, publication, .. } in self.outgoing.resume(kept.unanswered, now) {
            match publication {
                Some(mut publication) => {
                    publication.dup = true;
                    self.write(&Packet::Publish { publication, id, alias: None });
                }
                None => {
                    self.write(&Packet::Ack { kind: AckKind::Pubrel, id, code: reason::SUCCESS });
                }
            }
        }
    }

    /// Writes what can always be written.
    fn write(&mut self, packet: &Packet) {
        // Only a message can be too long, and those come from `publish`.
        let _ = self.try_write(packet);
    }

    fn try_write(&mut self, packet: &Packet) -> Result<()> {
        encode(packet, self.version, self.peer_max_packet, &mut self.out)?;
        self.tell(packet, "us");
        Ok(())
    }

    fn tell(&self, packet: &Packet, by: &str) {
        if let Some(events) = &self.packets {
            events.tell("packet", packets::facts(packet, by));
        }
    }

    /// What `out` had is on its way.
    pub(crate) fn sent(&mut self, now: Duration) {
        self.last_sent = now;
    }

    fn ping_now(&mut self, now: Duration) {
        self.write(&Packet::Pingreq);
        self.pinged = Some(self.pinged.unwrap_or(now));
    }

    /// Whether the connection can still be used.
    fn usable(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(Ended { error: Some(error), .. }) => {
                Err(Error::new(ErrorKind::Closed, "the connection has ended").with("cause", error))
            }
            Some(_) => Err(Error::new(ErrorKind::Closed, "the connection has ended")),
        }
    }
}
