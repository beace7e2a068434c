//! The metadata of messages: what of a publication is not its content, as JSON.

use crate::packet::{Properties, Publication};
use bytes::Bytes;
use data_encoding::BASE64;
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands in the metadata of a message, and in parameters of `publish`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    topic: String,
    qos: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<u32>,
}

/// A publication as a message.
pub(crate) fn message_of(publication: Publication, id: u16) -> Message {
    let Publication { topic, payload, qos, retain, dup, properties } = publication;
    let mut user: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in properties.user {
        user.entry(name).or_default().push(value);
    }
    let metadata = Metadata {
        topic,
        qos,
        retain,
        dup,
        expiry: properties.expiry,
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation: properties.correlation.map(|data| BASE64.encode(&data)),
        user,
        subscriptions: properties.subscriptions,
    };
    // A peer may call text what is none.
    let text = properties.text && std::str::from_utf8(&payload).is_ok();
    let kind = if text { MessageKind::TEXT } else { MessageKind::BINARY };
    // What is written here can always be written.
    let metadata = serde_json::to_vec(&metadata).unwrap_or_default();
    Message::of(kind, payload).with_id(u64::from(id)).with_metadata(metadata)
}

/// What a message without a topic of its own is published with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usual {
    pub(crate) topic: Option<String>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// A message as a publication. Metadata of another driver counts as none.
///
/// # Errors
/// [`ErrorKind::Config`] if it has no topic and there is no usual one.
pub(crate) fn publication_of(message: Message, usual: &Usual) -> Result<Publication> {
    let text = message.kind == MessageKind::TEXT;
    let given: Metadata = match message.metadata.is_empty() {
        true => Metadata::default(),
        false => serde_json::from_slice(&message.metadata).unwrap_or_default(),
    };
    if given.topic.is_empty() {
        let topic = usual.topic.clone().ok_or_else(no_topic)?;
        let mut publication = Publication::new(topic, message.payload, usual.qos);
        publication.retain = usual.retain;
        publication.properties.text = text;
        return Ok(publication);
    }
    let correlation = given.correlation.map(|data| BASE64.decode(data.as_bytes()));
    let correlation = correlation.transpose().unwrap_or_default().map(Bytes::from);
    let user = given
        .user
        .into_iter()
        .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
    let properties = Properties {
        text,
        expiry: given.expiry,
        content_type: given.content_type,
        response_topic: given.response_topic,
        correlation,
        user: user.collect(),
        // They are those of another connection.
        subscriptions: Vec::new(),
    };
    let mut publication = Publication::new(given.topic, message.payload, given.qos.min(2));
    publication.retain = given.retain;
    publication.properties = properties;
    Ok(publication)
}

fn no_topic() -> Error {
    let text = "a message without a topic: expected one in its metadata, or the option `topic`";
    Error::new(ErrorKind::Config, text)
}
