//! [`MqttOptions`].

use jackfield_plugin_api::{Secret, options};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

options! {
    /// Options of `mqtt`, for connecting and accepting.
    pub struct MqttOptions {
        /// Client: the version of the protocol that is spoken.
        pub version: MqttVersion = MqttVersion::Five,
        /// Client: what the server knows the session by; empty: the server makes one up.
        pub client_id: String,
        /// Client: begin a new session at each connection, and forget what an earlier one has left.
        pub clean_start: bool = true,
        /// Client: seconds that the session is kept after the connection; 4294967295: for ever. By 3.1.1 it is
        /// kept for as long as the server likes where `clean_start` is off.
        pub session_expiry: u32 = 0,
        /// Client: seconds of silence after which a ping is sent; 0: never.
        pub keepalive: u16 = 60,
        /// Listener: the most seconds of silence that a client of version 5 may ask for, who is told; 0: any, and none.
        pub max_keepalive: u16 = 0,
        /// Client: filters that are subscribed to when the connection is there.
        pub subscribe: Filters = Filters(Vec::new()),
        /// Client: what the server publishes when the connection breaks.
        pub will: Option<WillOptions>,
        /// The topic of messages that have none of their own: those of a stream, of a WebSocket.
        pub topic: Option<String>,
        /// The quality of service of `subscribe`, and of messages that have no topic of their own.
        #[schemars(range(max = 2))]
        pub qos: u8 = 0,
        /// Whether messages that have no topic of their own are retained.
        pub retain: bool = false,
        /// Client: what of topics is different on the two sides; where there is one, other topics do not pass.
        pub map: Vec<MapEntry>,
        /// Listener: topics whose messages are operations of the destination.
        pub calls: Vec<CallEntry>,
        /// Listener: names and passwords of those who may connect, the passwords also as hashes of `mosquitto_passwd`
        /// (`$7$…`). A listener without them needs `anonymous` or `certificates`.
        pub users: BTreeMap<String, Secret>,
        /// Listener: whether clients without a user name may connect; where there are no `users`, anybody.
        pub anonymous: bool = false,
        /// Listener: whether clients without one of `users` may connect that the layer below knows, such as by a
        /// certificate that it has checked.
        pub certificates: bool = false,
        /// The most bytes of a packet that is received.
        #[schemars(range(min = 1024, max = 268_435_455))]
        pub max_packet: u32 = 1 << 20,
        /// The most messages of QoS 1 and 2 that the peer may send before the first of them was taken.
        #[schemars(range(min = 1))]
        pub receive_maximum: u16 = 64,
        /// The most messages of QoS 1 and 2 that are sent before the first of them is answered.
        #[schemars(range(min = 1))]
        pub inflight: u16 = 64,
        /// The most topics for which the peer may use a number (MQTT 5).
        pub topic_alias_maximum: u16 = 16,
        /// The most topics for which a number is sent, where the peer takes that (MQTT 5).
        pub topic_aliases: u16 = 0,
        /// Bytes of messages that wait to be taken before no more are read.
        #[schemars(range(min = 1024))]
        pub read_ahead: u32 = 1 << 20,
        /// Bytes that wait to be written before no more messages are taken.
        #[schemars(range(min = 1024))]
        pub write_buffer: u32 = 256 << 10,
        /// Seconds that each answer of the peer may take: to a message, a subscription, a ping.
        #[schemars(range(min = 1))]
        pub answer_timeout: u32 = 60,
        /// Tell each packet of both sides by an event `packet`, without its content.
        pub packets: bool = false,
        /// Events kept until they are fetched; the oldest are dropped.
        #[schemars(range(min = 1))]
        pub events: u32 = 256,
    }

    /// What a server publishes when the connection breaks.
    pub struct WillOptions {
        /// Its topic.
        pub topic: String,
        /// Its content.
        pub payload: String,
        /// Its quality of service.
        #[schemars(range(max = 2))]
        pub qos: u8 = 0,
        /// Whether it is retained.
        pub retain: bool = false,
        /// Seconds after the break (MQTT 5).
        pub delay: u32 = 0,
    }

    /// One of `calls`: messages of these topics are no messages for the destination; each runs an operation there.
    pub struct CallEntry {
        /// A filter: `+` and `#` stand for whole levels.
        pub topic: String,
        /// The operation; its parameters are the content of a message, a JSON object, or none.
        pub operation: String,
        /// Where the answer is published to the client, if its message does not say that (MQTT 5, response topic).
        pub answer: Option<String>,
    }

    /// One rule of `map`: topics that begin with `remote` at the peer begin with `local` on the other side of the
    /// route.
    pub struct MapEntry {
        /// The beginning on the other side of the route; may be empty.
        pub local: String,
        /// The beginning at the peer of this connection; may be empty.
        pub remote: String,
        /// Which messages may pass.
        pub direction: Direction = Direction::Both,
        /// The highest quality of service with which they pass.
        #[schemars(range(max = 2))]
        pub qos: u8 = 2,
    }

    /// Which messages pass a rule.
    pub enum Direction {
        /// Those from the peer and those to it.
        Both,
        /// Those from the peer.
        In,
        /// Those to the peer.
        Out,
    }
}

impl Serialize for WillOptions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Only a default is written, and there is none.
        serializer.serialize_none()
    }
}

impl Serialize for CallEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl Serialize for MapEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// MQTT 5.0.
    #[serde(rename = "5")]
    Five,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    ThreeOneOne,
}

/// Filters: a list, or one as a text, as it stands in a URI.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Filters(pub Vec<String>);

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(filter) => Filters(vec![filter]),
            OneOrMany::Many(filters) => Filters(filters),
        })
    }
}

impl JsonSchema for Filters {
    fn schema_name() -> Cow<'static, str> {
        "Filters".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}
