//! [`ConnectionInfo`]: everything about a connection's life at one moment.

use super::live::Live;
use super::machinery::Machinery;
use super::record::Transition;
use super::state::State;
use crate::addr::Addr;
use crate::work::OpeningStep;
use jackfield_plugin_api::Info;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What a connection is and does, each true or not. Serialised by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Flags {
    /// It accepts sessions; never so for a connection, always for a listener.
    pub is_listening: bool,
    /// We opened it, rather than the peer.
    pub is_client: bool,
    /// It is being closed or drained, or has ended.
    pub is_closing: bool,
    /// Its bytes are encrypted, by its own layer or one below.
    pub is_encrypted: bool,
    /// It is being opened, for the first time or again.
    pub is_connecting: bool,
    /// The host looks up the name that it is opened to.
    pub is_resolving: bool,
    /// What stands on its transport speaks with the peer: TLS, SSH, a login. Of an accepted one this and
    /// `is_resolving` are first about its own layers, then about what it is to be joined to. A transport with a
    /// handshake of its own, as QUIC, only connects.
    pub is_handshaking: bool,
    /// The peer has shown that it is there.
    pub is_connected: bool,
    /// It was lost and is being opened again.
    pub is_reconnecting: bool,
    /// It finishes what runs; nothing new.
    pub is_draining: bool,
    /// It has ended.
    pub is_closed: bool,
    /// No more posts fit into its queue.
    pub is_full: bool,
    /// Something was received that a program has not taken yet.
    pub is_readable: bool,
    /// Posts are taken.
    pub is_writable: bool,
    /// Its last check was passed, or there was none yet.
    pub is_healthy: bool,
    /// A handler is given what it receives.
    pub has_handler: bool,
}

impl Flags {
    /// What follows from a state alone.
    pub(super) fn of(state: State) -> Self {
        Flags {
            is_connecting: matches!(state, State::Connecting | State::Reconnecting),
            is_connected: state == State::Connected,
            is_reconnecting: state == State::Reconnecting,
            is_draining: state == State::Draining,
            is_closed: state.is_final(),
            ..Flags::default()
        }
    }
}

/// Everything about one life, as others read it. Times are milliseconds; those named `_at` since
/// 1970.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConnectionInfo {
    /// Never used again in this process.
    pub id: u64,
    /// The name of the connection; of an accepted one that of its listener.
    pub name: String,
    /// The listener that has accepted it; `None` if it was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// What an accepted one is joined to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The drivers of its stack, top first, joined by `+`; empty for a program's own target.
    pub driver: String,
    /// Where it goes, without a password; of an accepted one where its listener listens.
    pub uri: String,
    /// `connecting`, `connected`, …
    pub state: &'static str,
    /// What it is and does.
    pub flags: Flags,
    /// Our end; `None` if its transport has no addresses.
    #[schemars(with = "Option<String>")]
    pub local: Option<Addr>,
    /// The peer's end.
    #[schemars(with = "Option<String>")]
    pub peer: Option<Addr>,
    /// Who the peer has proven to be.
    pub identity: Option<String>,
    /// What else its drivers tell of the session.
    pub facts: Map<String, Value>,
    /// Free labels of its definition.
    pub labels: BTreeMap<String, String>,
    /// Texts that a program keeps with it.
    pub data: BTreeMap<String, String>,
    /// When its life began.
    pub created_at: u64,
    /// When its session, the present or last one, was established.
    pub established_at: Option<u64>,
    /// When it ended.
    pub closed_at: Option<u64>,
    /// When it was last active; of one that a route serves, when it came in.
    pub last_activity_at: u64,
    /// Time since its session was established; 0 without one.
    pub uptime_ms: u64,
    /// Time since its life began.
    pub age_ms: u64,
    /// Time since it was last active.
    pub idle_ms: u64,
    /// Bytes received, over all its sessions.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Packets received over the session that it has or had last, where its protocol counts them
    /// (quic and webtransport: UDP datagrams).
    pub packets_in: Option<u64>,
    /// Packets sent, retransmitted ones included.
    pub packets_out: Option<u64>,
    /// Calls made.
    pub calls: u64,
    /// Calls that run now.
    pub calls_running: usize,
    /// Calls, attempts and checks that failed.
    pub errors: u64,
    /// Times that it was opened again.
    pub reconnects: u32,
    /// Times that it was told to have been idle for the idle time.
    pub idle_notices: u32,
    /// The last round trip, if there was one.
    pub round_trip_ms: Option<f64>,
    /// Posts that wait to be sent.
    pub buffered_posts: usize,
    /// Their bytes.
    pub buffered_bytes: usize,
    /// What it has received and a program that takes it by `receive` has not taken yet.
    pub unread: usize,
    /// Its bytes.
    pub unread_bytes: usize,
    /// The last error.
    pub last_error: Option<String>,
}

/// A life as others read it: its info and its last changes of state.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveSnapshot {
    /// Everything about it.
    #[serde(flatten)]
    pub info: ConnectionInfo,
    /// The last changes of state, oldest first.
    pub steps: Vec<Transition>,
}

impl Live {
    /// Whether a listener has accepted it.
    pub fn is_accepted(&self) -> bool {
        self.spec.inbound.is_some()
    }

    /// Posts that wait to be sent, and their bytes.
    fn buffered(&self) -> (usize, usize) {
        let level = self.machinery.get().map(|it| it.outbox.level());
        level.map_or((0, 0), |(posts, bytes, _)| (posts, bytes))
    }

    /// Payloads that wait to be taken, and their bytes.
    fn unread(&self) -> (usize, usize) {
        let inbox = self.machinery.get().and_then(|it| it.handler.borrow().inbox.clone());
        inbox.map_or((0, 0), |inbox| inbox.level())
    }

    /// What it is and does now.
    pub fn flags(&self) -> Flags {
        let machinery = self.machinery.get();
        let session = machinery.and_then(|it| it.session.load_full());
        self.flags_of(session.map(|session| session.info()).as_ref())
    }

    /// What follows from its state, and from the step of being opened.
    fn opening_flags(&self) -> Flags {
        let (flags, step) = (Flags::of(self.state()), self.opening.load(Ordering::Relaxed));
        let is_at = |at: OpeningStep| flags.is_connecting && step == at as u8;
        Flags {
            is_resolving: is_at(OpeningStep::Resolving),
            is_handshaking: is_at(OpeningStep::Handshaking),
            ..flags
        }
    }

    fn flags_of(&self, info: Option<&Info>) -> Flags {
        let machinery = self.machinery.get();
        let encrypted =
            info.map_or_else(|| self.encrypted.load(Ordering::Relaxed), |it| it.encrypted);
        let is_full = machinery.is_some_and(|it| it.outbox.level().2);
        Flags {
            is_client: !self.is_accepted(),
            is_closing: self.is_closing(),
            is_encrypted: encrypted,
            is_full,
            is_readable: self.unread().0 > 0,
            is_writable: !is_full && !self.is_closing() && self.is_ours("posting").is_ok(),
            is_healthy: machinery.is_none_or(|it| it.healthy.load(Ordering::Relaxed)),
            has_handler: machinery.is_some_and(|it| it.handler.borrow().reader().is_some()),
            ..self.opening_flags()
        }
    }

    /// What is known of a session that was, or that is served elsewhere.
    pub(crate) fn known_info(&self) -> Info {
        if let Some(last) = self.last_session_info() {
            return last;
        }
        let mut info = Info::new();
        info.peer = self.peer().map(ToString::to_string);
        info.identity = self.identity.get().map(ToString::to_string);
        info
    }

    /// When its first session began and when it ended, in milliseconds of its age.
    fn began_and_ended(&self) -> (Option<u64>, Option<u64>) {
        if self.machinery.get().is_none() {
            return (None, None);
        }
        let history = self.record();
        (history.established, history.closed)
    }

    /// Everything about it at this moment.
    pub fn info(&self) -> ConnectionInfo {
        let machinery = self.machinery.get();
        let session = machinery.and_then(|it| it.session.load_full()).map(|it| it.info());
        let flags = self.flags_of(session.as_ref());
        let session = session.unwrap_or_else(|| self.known_info());
        let (buffered_posts, buffered_bytes) = self.buffered();
        let (unread, unread_bytes) = self.unread();
        let (age_ms, idle_ms) = (self.traffic.age_ms(), millis(self.traffic.idle()));
        let at = |age: u64| self.created_at.saturating_add(age);
        let (established, closed) = self.began_and_ended();
        let count = |get: fn(&Machinery) -> u64| machinery.map_or(0, |it| get(it));
        let small = |get: fn(&Machinery) -> &AtomicU32| {
            machinery.map_or(0, |it| get(it).load(Ordering::Relaxed))
        };
        let nanos = count(|it| it.round_trip_nanos.load(Ordering::Relaxed));
        let stack = self.spec.target.stack();
        let uptime = established.filter(|_| flags.is_connected || flags.is_draining);
        let inbound = self.spec.inbound.as_ref();
        ConnectionInfo {
            id: self.id,
            name: self.name.to_string(),
            listener: inbound.map(|inbound| inbound.listener.to_string()),
            to: inbound.map(|inbound| inbound.to.to_string()),
            driver: stack.name(),
            uri: stack.display().to_owned(),
            state: self.state().as_str(),
            flags,
            local: session.local.map(Addr::from),
            peer: session.peer.map(Addr::from),
            identity: session.identity,
            packets_in: packets(&session.facts, "received_packets"),
            packets_out: packets(&session.facts, "sent_packets"),
            facts: session.facts,
            labels: self.spec.labels.clone(),
            data: machinery.map(|it| it.data.texts()).unwrap_or_default(),
            created_at: self.created_at,
            established_at: established.map(at),
            closed_at: closed.map(at),
            last_activity_at: at(age_ms.saturating_sub(idle_ms)),
            uptime_ms: uptime.map_or(0, |since| age_ms.saturating_sub(since)),
            age_ms,
            idle_ms,
            bytes_in: self.traffic.bytes_to_b(),
            bytes_out: self.traffic.bytes_to_a(),
            messages_in: self.traffic.messages_to_b(),
            messages_out: self.traffic.messages_to_a(),
            calls: count(|it| it.calls.total()),
            calls_running: machinery.map_or(0, |it| it.calls.running()),
            errors: count(|it| it.errors.load(Ordering::Relaxed)),
            reconnects: small(|it| &it.reconnects),
            idle_notices: small(|it| &it.idle_notices),
            round_trip_ms: (nanos > 0).then(|| Duration::from_nanos(nanos).as_secs_f64() * 1e3),
            buffered_posts,
            buffered_bytes,
            unread,
            unread_bytes,
            last_error: machinery.and_then(|_| self.cause()).map(|error| error.to_string()),
        }
    }

    /// As others read it; its last steps say which timer, rule or call decided.
    pub fn snapshot(&self) -> LiveSnapshot {
        LiveSnapshot { info: self.info(), steps: self.steps() }
    }
}

fn packets(facts: &Map<String, Value>, name: &str) -> Option<u64> {
    facts.get(name).and_then(Value::as_u64)
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
