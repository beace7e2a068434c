//! [`Event`] and [`EventKind`]: something that happened, and of what.

use super::Cause;
use crate::addr::Addr;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Counts from 1 for each bus.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// The id of the connection that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What that connection is.
    #[serde(serialize_with = "shared", skip_serializing_if = "Option::is_none")]
    pub source: Option<Arc<Source>>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

fn shared<S: Serializer>(source: &Option<Arc<Source>>, serializer: S) -> Result<S::Ok, S::Error> {
    source.as_deref().serialize(serializer)
}

/// What tells events: a connection by its name, or all that one listener accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The name of a named connection; of an accepted one that of its listener.
    pub name: String,
    /// The listener of an accepted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The drivers of its stack, top first, joined by `+`.
    pub driver: String,
    /// Free labels of its definition.
    pub labels: BTreeMap<String, String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A life of a named connection begins; told to those who listen to its name or the host.
    Created,
    /// A listener has accepted a peer, before any layer has spoken with it.
    Accepted {
        /// Where it is; `None` if its transport has no addresses.
        peer: Option<Addr>,
    },
    /// Opening has begun.
    Connecting,
    /// What was opened is encrypted, by its own layer or one below; comes before `connected`.
    Secured {
        /// Who the peer has proven to be.
        identity: Option<String>,
    },
    /// The peer has shown that it is there.
    Connected {
        /// Where it is; `None` if its transport has no addresses.
        peer: Option<Addr>,
    },
    /// A session of requests now speaks something else.
    Upgraded,
    /// The session was lost.
    Lost {
        /// Why.
        cause: Cause,
    },
    /// Another attempt will be made.
    Reconnecting {
        /// Counts from 1.
        attempt: u32,
        /// Milliseconds until it begins.
        delay_ms: u64,
    },
    /// An attempt, a call or a check has failed, or code of the program has panicked. The connection may
    /// go on.
    Error {
        /// How.
        cause: Cause,
    },
    /// Nothing has happened for the idle time; it will be closed unless a subscriber calls
    /// [`Live::record_activity`](crate::connection::Live::record_activity).
    Idle {
        /// Milliseconds without activity.
        for_ms: u64,
    },
    /// A health check has changed its mind.
    Health {
        /// What it thinks now.
        healthy: bool,
        /// Milliseconds of the last round trip, if there was one.
        round_trip_ms: Option<f64>,
    },
    /// Posts are taken again after its queue was full.
    Writable,
    /// The driver tells something of its own.
    Driver {
        /// The driver's name for it.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
    /// The program tells a connection's subscribers and its handler something, by `Live::notify`.
    Program {
        /// The program's name for it.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
    /// A plugin tells something of its own, of no connection; only among the events of a host.
    Plugin {
        /// The plugin's name.
        plugin: String,
        /// The plugin's name for it.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
    /// A listener accepts from now on; only among the events of a host.
    ListenerUp {
        /// The listener, as it is written.
        listener: String,
        /// Where it listens, with the port that the system chose.
        local: Option<Addr>,
        /// Where what it accepts goes.
        to: String,
    },
    /// A listener accepts no more; only among the events of a host.
    ListenerDown {
        /// The listener, as it is written.
        listener: String,
        /// Why.
        cause: Cause,
    },
    /// A name was looked up, of where a connection goes.
    Resolved {
        /// The name.
        host: String,
        /// Its addresses, in the order of trying.
        addresses: Vec<SocketAddr>,
    },
    /// A connection, device, path, upstream, handler or route was defined at run time, or another put in its
    /// place.
    Defined {
        /// What: `connections.NAME`, `devices.NAME.PATH`, `upstreams.NAME`, `routes.LISTEN`, …
        what: String,
        /// Whether another was there by that name.
        replaced: bool,
    },
    /// Such a thing is there no more.
    Removed {
        /// What, as in [`EventKind::Defined`].
        what: String,
    },
    /// A plugin file came, or came back, while the host ran, and is used from now on.
    PluginAdmitted {
        /// The plugin's name.
        plugin: String,
        /// Its version.
        version: String,
        /// Counts the generations of this plugin from 1.
        generation: u32,
        /// Its file.
        file: String,
        /// What was built on its drivers before, and works again.
        used_by: Vec<String>,
    },
    /// A plugin file has other content, which is used from now on; sessions of the content before go on with that.
    PluginReplaced {
        /// The plugin's name.
        plugin: String,
        /// Its version.
        version: String,
        /// Counts the generations of this plugin from 1.
        generation: u32,
        /// Its file.
        file: String,
    },
    /// A plugin file is there no more: it gets no new sessions, and those that it has go on.
    PluginRemoved {
        /// The plugin's name.
        plugin: String,
        /// Its version.
        version: String,
        /// Its file.
        file: String,
        /// Sessions that run on it.
        sessions: usize,
        /// What is built on its drivers, and opens nothing until it is back.
        used_by: Vec<String>,
    },
    /// A plugin file that came or has changed is not used.
    PluginRefused {
        /// The plugin's name, if it has one.
        plugin: Option<String>,
        /// Its file.
        file: String,
        /// A short word for the reason.
        code: &'static str,
        /// The reason.
        reason: String,
        /// The generation that was loaded from that file before, and goes on.
        keeps: Option<u32>,
    },
    /// An upstream has one more target.
    TargetAdded {
        /// The upstream.
        upstream: String,
        /// The target, by its name there.
        target: String,
    },
    /// An upstream has a target no more; sessions to it go on.
    TargetRemoved {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// Active checks have an answer of a target again: it serves.
    TargetUp {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// Active checks have no answer of a target: it does not serve.
    TargetDown {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
        /// What the last check said.
        cause: Cause,
    },
    /// A target has failed too often in a row and gets no sessions for a while.
    TargetEjected {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
        /// Milliseconds.
        for_ms: u64,
        /// How it failed last.
        cause: Cause,
    },
    /// The ejection of a target is over: it is tried with one session at a time.
    TargetHalfOpen {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// A target that was ejected serves again.
    TargetRecovered {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// A target has weight 0 from now on: it gets no new sessions, and those it has go on.
    TargetDraining {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// A target that was to be drained has no more sessions.
    TargetDrained {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// A target weight changed.
    TargetWeight {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
        /// Its part of the sessions.
        weight: u32,
    },
    /// A pool could not open a session: the first time in a row, or in ten seconds.
    PoolOpenFailed {
        /// The upstream.
        upstream: String,
        /// The target whose pool it is.
        target: String,
        /// Why.
        cause: Cause,
    },
    /// A pool opens sessions again after it could not.
    PoolRecovered {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
    },
    /// All sessions of a pool are in use and callers wait: told at most once in ten seconds.
    PoolExhausted {
        /// The upstream.
        upstream: String,
        /// The target.
        target: String,
        /// Sessions at most.
        max_size: usize,
        /// Callers that wait.
        waiting: usize,
    },
    /// Somebody waits for the lease of an exclusive path.
    LeaseWaiting {
        /// `devices.NAME.PATH`.
        path: String,
        /// Who waits.
        caller: String,
        /// Who has it.
        holder: String,
    },
    /// Somebody has the lease of an exclusive path from now on.
    LeaseTaken {
        /// `devices.NAME.PATH`.
        path: String,
        /// Who.
        caller: String,
    },
    /// The holder of a lease has let go.
    LeaseReleased {
        /// `devices.NAME.PATH`.
        path: String,
        /// The user whose lease it was.
        caller: String,
        /// Milliseconds that the lease lasted.
        held_ms: u64,
    },
    /// Somebody made the holder of a lease let go.
    LeaseBroken {
        /// `devices.NAME.PATH`.
        path: String,
        /// The user whose lease it was.
        caller: String,
        /// Why.
        cause: Cause,
    },
    /// A lease was not renewed in time.
    LeaseExpired {
        /// `devices.NAME.PATH`.
        path: String,
        /// The user whose lease it was.
        caller: String,
    },
    /// Somebody has waited for a lease for too long.
    LeaseTimedOut {
        /// `devices.NAME.PATH`.
        path: String,
        /// Who.
        caller: String,
    },
    /// No new work from now on.
    Draining,
    /// It is being closed politely.
    Closing {
        /// Why, with the code that the peer is given.
        cause: Cause,
    },
    /// So many events before the next one were lost, because the reader was slow.
    Missed {
        /// How many.
        count: u64,
    },
    /// The end: of a connection's life, or, without an id, of the host. Of each exactly one, and the last.
    Closed {
        /// Why.
        cause: Cause,
    },
}
