//! [`Event`] and [`EventKind`]: something that happened, and of what.

use super::Cause;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
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
        peer: Option<String>,
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
        /// Where it is.
        peer: Option<String>,
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
    /// Nothing has happened for the idle time; it will be closed unless somebody objects.
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
        local: Option<String>,
    },
    /// A listener accepts no more; only among the events of a host.
    ListenerDown {
        /// The listener, as it is written.
        listener: String,
        /// Why.
        cause: Cause,
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

impl EventKind {
    /// Its name, as it is serialised.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Created => "created",
            EventKind::Accepted { .. } => "accepted",
            EventKind::Connecting => "connecting",
            EventKind::Secured { .. } => "secured",
            EventKind::Connected { .. } => "connected",
            EventKind::Upgraded => "upgraded",
            EventKind::Lost { .. } => "lost",
            EventKind::Reconnecting { .. } => "reconnecting",
            EventKind::Error { .. } => "error",
            EventKind::Idle { .. } => "idle",
            EventKind::Health { .. } => "health",
            EventKind::Writable => "writable",
            EventKind::Driver { .. } => "driver",
            EventKind::Plugin { .. } => "plugin",
            EventKind::ListenerUp { .. } => "listener_up",
            EventKind::ListenerDown { .. } => "listener_down",
            EventKind::Draining => "draining",
            EventKind::Closing { .. } => "closing",
            EventKind::Missed { .. } => "missed",
            EventKind::Closed { .. } => "closed",
        }
    }
}
