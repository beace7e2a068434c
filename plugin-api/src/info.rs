//! What a session says of itself: [`Info`], and what happens to it: [`Event`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// Facts of a session, as they are when asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Info {
    /// Our end, as the driver writes addresses (`127.0.0.1:22`, `/dev/ttyS0`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The peer's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Whether bytes are encrypted by this layer or one below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// Who the peer has proven to be: a certificate's subject, a host key's fingerprint, a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Everything else, by names that the driver's README lists: negotiated protocol, cipher,
    /// round-trip time.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl Info {
    /// No facts yet.
    pub fn new() -> Self {
        Info::default()
    }

    /// Sets our end.
    #[must_use]
    pub fn local(mut self, address: impl Into<String>) -> Self {
        self.local = Some(address.into());
        self
    }

    /// Sets the peer's end.
    #[must_use]
    pub fn peer(mut self, address: impl Into<String>) -> Self {
        self.peer = Some(address.into());
        self
    }

    /// Says that bytes are encrypted.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Sets who the peer has proven to be.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The facts of a layer on top of its carrier: the carrier's, then this layer's own over them.
    #[must_use]
    pub fn over(self, carrier: &Info) -> Self {
        let mut facts = carrier.facts.clone();
        facts.extend(self.facts);
        Info {
            local: self.local.or_else(|| carrier.local.clone()),
            peer: self.peer.or_else(|| carrier.peer.clone()),
            encrypted: self.encrypted || carrier.encrypted,
            identity: self.identity.or_else(|| carrier.identity.clone()),
            facts,
        }
    }
}

/// The facts of a connected socket: its ends, which become text when somebody asks.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketEnds {
    /// Our end.
    pub local: Option<SocketAddr>,
    /// The peer's end.
    pub peer: Option<SocketAddr>,
}

impl From<SocketEnds> for Info {
    fn from(ends: SocketEnds) -> Self {
        let text = |end: Option<SocketAddr>| end.map(|end| end.to_string());
        Info { local: text(ends.local), peer: text(ends.peer), ..Info::default() }
    }
}

/// Something that happened beside the data: a modem line changed, a window was resized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its name, listed in the driver's README.
    pub name: String,
    /// What belongs to it.
    #[serde(default)]
    pub data: Value,
}

impl Event {
    /// `name` has happened, with what belongs to it.
    pub fn new(name: impl Into<String>, data: impl Into<Value>) -> Self {
        Event { name: name.into(), data: data.into() }
    }
}
