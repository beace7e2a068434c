//! What MQTT says, in one form for both versions: what a connection, the broker and the codec speak of.

use bytes::Bytes;
use std::fmt;

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    V311,
    V5,
}

impl Version {
    /// Its name in options and facts.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        }
    }
}

/// What beside its content belongs to a message (MQTT 5.0 §3.3.2.3). 3.1.1 has none of it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Properties {
    /// Whether the content is UTF-8 text.
    pub(crate) text: bool,
    /// Seconds that the message is worth something.
    pub(crate) expiry: Option<u32>,
    pub(crate) content_type: Option<String>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Bytes>,
    pub(crate) user: Vec<(String, String)>,
    /// Numbers of the subscriptions that it matches.
    pub(crate) subscriptions: Vec<u32>,
}

impl Properties {
    /// Whether a message has none of it.
    pub(crate) fn is_empty(&self) -> bool {
        let Properties {
            text,
            expiry,
            content_type,
            response_topic,
            correlation,
            user,
            subscriptions,
        } = self;
        let texts = content_type.is_some() || response_topic.is_some() || correlation.is_some();
        !text && expiry.is_none() && !texts && user.is_empty() && subscriptions.is_empty()
    }
}

/// A message of a topic.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Whether it was sent before.
    pub(crate) dup: bool,
    pub(crate) properties: Properties,
}

impl Publication {
    pub(crate) fn new(topic: impl Into<String>, payload: impl Into<Bytes>, qos: u8) -> Self {
        Publication {
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain: false,
            dup: false,
            properties: Properties::default(),
        }
    }

    /// About how much memory it takes.
    pub(crate) fn memory(&self) -> usize {
        self.size() + size_of::<Self>()
    }

    /// About how many bytes it has.
    pub(crate) fn size(&self) -> usize {
        let user = |(name, value): &(String, String)| name.len() + value.len();
        let properties = &self.properties;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.topic.len()
            + self.payload.len()
            + text(&properties.content_type)
            + text(&properties.response_topic)
            + properties.correlation.as_ref().map_or(0, Bytes::len)
            + properties.user.iter().map(user).sum::<usize>()
    }
}

/// Without its content, which may be secret.
impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} qos {} ({} bytes)", self.topic, self.qos, self.payload.len())
    }
}

/// What is to be published when a connection breaks (§3.1.2.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Will {
    pub(crate) publication: Publication,
    /// Seconds after the break.
    pub(crate) delay: u32,
}

/// What a client wants (§3.1).
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keepalive: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Bytes>,
    pub(crate) will: Option<Will>,
    /// Seconds that the session is kept after the connection; `u32::MAX`: for ever.
    pub(crate) expiry: u32,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) max_packet: Option<u32>,
    pub(crate) alias_maximum: u16,
    /// It wants another way to log in than a password (§4.12).
    pub(crate) enhanced: bool,
}

/// The answer to it (§3.2).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Connack {
    pub(crate) session_present: bool,
    /// 0, or why not: of 3.1.1 1 to 5, of 5 from 128.
    pub(crate) code: u8,
    pub(crate) reason: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) keepalive: Option<u16>,
    pub(crate) expiry: Option<u32>,
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) max_packet: Option<u32>,
    pub(crate) alias_maximum: u16,
    pub(crate) max_qos: Option<u8>,
    pub(crate) retain_available: Option<bool>,
}

/// One subscription that is asked for (§3.8.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Filter {
    pub(crate) filter: String,
    pub(crate) qos: u8,
    /// Not what this very client publishes.
    pub(crate) no_local: bool,
    /// Messages keep their retain flag.
    pub(crate) retain_as_published: bool,
    /// Retained messages: 0 at each subscribing, 1 if it is new, 2 never.
    pub(crate) retain_handling: u8,
}

impl Filter {
    pub(crate) fn new(filter: impl Into<String>, qos: u8) -> Self {
        Filter {
            filter: filter.into(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
        }
    }
}

/// The four answers to a message (§3.4 to 3.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckKind {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

/// Any packet.
pub(crate) enum Packet {
    Connect(Box<Connect>),
    Connack(Connack),
    Publish {
        publication: Publication,
        /// 0 where the QoS is 0.
        id: u16,
        alias: Option<u16>,
    },
    Ack {
        kind: AckKind,
        id: u16,
        code: u8,
    },
    Subscribe {
        id: u16,
        filters: Vec<Filter>,
        /// A number that its messages are to carry.
        number: Option<u32>,
    },
    Suback {
        id: u16,
        codes: Vec<u8>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Unsuback {
        id: u16,
        /// Empty in 3.1.1.
        codes: Vec<u8>,
    },
    Pingreq,
    Pingresp,
    Disconnect {
        code: u8,
        reason: Option<String>,
        /// Seconds that the session is kept, if that has changed.
        expiry: Option<u32>,
    },
    Auth,
}

impl Packet {
    /// Its name in the standard.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Packet::Connect(_) => "CONNECT",
            Packet::Connack(_) => "CONNACK",
            Packet::Publish { .. } => "PUBLISH",
            Packet::Ack { kind: AckKind::Puback, .. } => "PUBACK",
            Packet::Ack { kind: AckKind::Pubrec, .. } => "PUBREC",
            Packet::Ack { kind: AckKind::Pubrel, .. } => "PUBREL",
            Packet::Ack { kind: AckKind::Pubcomp, .. } => "PUBCOMP",
            Packet::Subscribe { .. } => "SUBSCRIBE",
            Packet::Suback { .. } => "SUBACK",
            Packet::Unsubscribe { .. } => "UNSUBSCRIBE",
            Packet::Unsuback { .. } => "UNSUBACK",
            Packet::Pingreq => "PINGREQ",
            Packet::Pingresp => "PINGRESP",
            Packet::Disconnect { .. } => "DISCONNECT",
            Packet::Auth => "AUTH",
        }
    }
}
