//! From bytes to [`Packet`]s, by `mqtt-protocol-core`; what it does not look at is checked here: flags of the fixed
//! header, reserved bits, topics and filters.

use crate::decode_greeting::{connack_5, connect_3, connect_5};
use crate::packet::{AckKind, Connack, Filter, Packet, Properties, Publication, Version};
use crate::plain;
use crate::reason;
use crate::topic::{is_filter, is_topic};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::common::{ArcPayload, Cursor};
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, RawPacket};
use mqtt_protocol_core::mqtt::packet::{PayloadFormat, Property, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

/// A packet that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    /// The reason code of version 5.
    pub(crate) code: u8,
    /// In words.
    pub(crate) text: String,
}

impl Wrong {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Wrong { code, text: text.into() }
    }

    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Wrong::new(reason::MALFORMED, text)
    }
}

impl From<MqttError> for Wrong {
    fn from(error: MqttError) -> Self {
        let code = match error {
            MqttError::PacketTooLarge => reason::TOO_LARGE,
            MqttError::ProtocolError => reason::PROTOCOL,
            MqttError::UnsupportedProtocolVersion => reason::UNSUPPORTED_VERSION,
            MqttError::ClientIdentifierNotValid => reason::BAD_CLIENT_ID,
            _ => reason::MALFORMED,
        };
        Wrong::new(code, reason::words(code))
    }
}

pub(crate) type Result<T> = std::result::Result<T, Wrong>;

/// Takes packets out of a stream of bytes.
pub(crate) struct Decoder {
    framing: PacketBuilder,
    /// `None` until a CONNECT says it.
    version: Option<Version>,
    most: u32,
    /// Whether a part of a packet has come.
    has_part: bool,
}

impl Decoder {
    /// Of packets with at most `max_packet` bytes. Nothing of a longer one is kept.
    pub(crate) fn new(version: Option<Version>, max_packet: u32) -> Self {
        let framing = PacketBuilder::with_maximum_packet_size(max_packet);
        Decoder { framing, version, most: max_packet, has_part: false }
    }

    /// The next packet of `bytes`, which is moved behind it; `None` if only a part of it is there.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Packet>> {
        if let (false, Some(version)) = (self.has_part, self.version)
            && let Some((packet, length)) = plain::read(bytes, version, self.most)
        {
            *bytes = &bytes[length..];
            return Ok(Some(packet));
        }
        let mut cursor = Cursor::new(*bytes);
        let built = self.framing.feed(&mut cursor);
        let read = usize::try_from(cursor.position()).unwrap_or(bytes.len()).min(bytes.len());
        *bytes = &bytes[read..];
        self.has_part = matches!(built, PacketBuildResult::Incomplete);
        match built {
            PacketBuildResult::Incomplete => Ok(None),
            PacketBuildResult::Error(MqttError::PacketTooLarge) => {
                Err(Wrong::new(reason::TOO_LARGE, "a packet is longer than max_packet"))
            }
            PacketBuildResult::Error(_) => {
                Err(Wrong::malformed("a length of more than four bytes"))
            }
            PacketBuildResult::Complete(raw) => self.packet(&raw).map(Some),
        }
    }

    fn packet(&mut self, raw: &RawPacket) -> Result<Packet> {
        let version = match (self.version, raw.packet_type()) {
            (Some(version), _) => version,
            (None, 1) => *self.version.insert(version_of(raw.data_as_slice())?),
            (None, _) => {
                return Err(Wrong::new(reason::PROTOCOL, "the first packet is no CONNECT"));
            }
        };
        let wanted = match raw.packet_type() {
            3 => raw.flags(),
            6 | 8 | 10 => 2,
            _ => 0,
        };
        if raw.flags() != wanted {
            return Err(Wrong::malformed("reserved flags of a packet are set"));
        }
        match version {
            Version::V311 => decode_3(raw),
            Version::V5 => decode_5(raw),
        }
    }
}

/// The version that a CONNECT names (§3.1.2.2).
fn version_of(connect: &[u8]) -> Result<Version> {
    match connect.get(..7) {
        Some([0, 4, b'M', b'Q', b'T', b'T', 4]) => Ok(Version::V311),
        Some([0, 4, b'M', b'Q', b'T', b'T', 5]) => Ok(Version::V5),
        Some([0, 4, b'M', b'Q', b'T', b'T', _]) | Some([0, 6, b'M', b'Q', b'I', b's', b'd']) => {
            let text = "expected version 3.1.1 or 5 of the protocol";
            Err(Wrong::new(reason::UNSUPPORTED_VERSION, text))
        }
        _ => Err(Wrong::malformed("a CONNECT does not begin with the name of the protocol")),
    }
}

fn decode_3(raw: &RawPacket) -> Result<Packet> {
    use mqtt_protocol_core::mqtt::connection::PacketData;
    let ack = |kind, id| acked(kind, id, 0);
    Ok(match raw.packet_type() {
        1 => Packet::Connect(Box::new(connect_3(raw)?)),
        2 => {
            let packet = raw.parse_exact(v3_1_1::Connack::parse)?;
            Packet::Connack(Connack {
                session_present: packet.session_present(),
                code: packet.return_code() as u8,
                ..Connack::default()
            })
        }
        3 => {
            let PacketData::Publish(data) = &raw.data else { return Err(wrong_data()) };
            let (packet, _) = v3_1_1::Publish::parse(raw.flags(), data.clone())?;
            let publication = Publication {
                topic: packet.topic_name().to_owned(),
                payload: content(packet.payload()),
                qos: packet.qos() as u8,
                retain: packet.retain(),
                dup: packet.dup(),
                properties: Properties::default(),
            };
            published(publication, packet.packet_id(), None)?
        }
        4 => ack(AckKind::Puback, raw.parse_exact(v3_1_1::Puback::parse)?.packet_id())?,
        5 => ack(AckKind::Pubrec, raw.parse_exact(v3_1_1::Pubrec::parse)?.packet_id())?,
        6 => ack(AckKind::Pubrel, raw.parse_exact(v3_1_1::Pubrel::parse)?.packet_id())?,
        7 => ack(AckKind::Pubcomp, raw.parse_exact(v3_1_1::Pubcomp::parse)?.packet_id())?,
        8 => {
            let packet = raw.parse_exact(v3_1_1::Subscribe::parse)?;
            subscribe(packet.packet_id(), packet.entries(), None)?
        }
        9 => {
            let packet = raw.parse_exact(v3_1_1::Suback::parse)?;
            let codes = packet.return_codes().into_iter().map(|code| code as u8).collect();
            Packet::Suback { id: packet.packet_id(), codes }
        }
        10 => {
            let packet = raw.parse_exact(v3_1_1::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned());
            unsubscribe(packet.packet_id(), filters.collect())?
        }
        11 => {
            let packet = raw.parse_exact(v3_1_1::Unsuback::parse)?;
            Packet::Unsuback { id: packet.packet_id(), codes: Vec::new() }
        }
        kind => empty(kind, raw.data_as_slice())?,
    })
}

fn decode_5(raw: &RawPacket) -> Result<Packet> {
    use mqtt_protocol_core::mqtt::connection::PacketData;
    Ok(match raw.packet_type() {
        1 => Packet::Connect(Box::new(connect_5(raw)?)),
        // A server that does not know version 5 answers in the form of 3.1.1.
        2 if raw.remaining_length() == 2 => {
            let code = raw.parse_exact(v3_1_1::Connack::parse)?.return_code() as u8;
            let code = reason::of_return_code(code);
            Packet::Connack(Connack { code, ..Connack::default() })
        }
        2 => Packet::Connack(connack_5(&raw.parse_exact(v5_0::Connack::parse)?)),
        3 => {
            let PacketData::Publish(data) = &raw.data else { return Err(wrong_data()) };
            let (packet, _) = v5_0::Publish::parse(raw.flags(), data.clone())?;
            let (properties, alias) = properties_of(packet.props());
            let publication = Publication {
                topic: packet.topic_name().to_owned(),
                payload: content(packet.payload()),
                qos: packet.qos() as u8,
                retain: packet.retain(),
                dup: packet.dup(),
                properties,
            };
            published(publication, packet.packet_id(), alias)?
        }
        4..=7 => answer_5(raw)?,
        8 => {
            let packet = raw.parse_exact(v5_0::Subscribe::parse)?;
            let (properties, _) = properties_of(packet.props());
            let number = properties.subscriptions.first().copied();
            subscribe(packet.packet_id(), packet.entries(), number)?
        }
        9 => {
            let packet = raw.parse_exact(v5_0::Suback::parse)?;
            let codes = packet.reason_codes().into_iter().map(|code| code as u8).collect();
            Packet::Suback { id: packet.packet_id(), codes }
        }
        10 => {
            let packet = raw.parse_exact(v5_0::Unsubscribe::parse)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().to_owned());
            unsubscribe(packet.packet_id(), filters.collect())?
        }
        11 => {
            let packet = raw.parse_exact(v5_0::Unsuback::parse)?;
            let codes = packet.reason_codes().into_iter().map(|code| code as u8).collect();
            Packet::Unsuback { id: packet.packet_id(), codes }
        }
        14 => {
            let packet = raw.parse_exact(v5_0::Disconnect::parse)?;
            let props = packet.props().as_deref().unwrap_or_default();
            let code = packet.reason_code().map_or(0, |code| code as u8);
            Packet::Disconnect { code, reason: reason_of(props), expiry: expiry_of(props) }
        }
        15 => Packet::Auth,
        kind => empty(kind, raw.data_as_slice())?,
    })
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
fn answer_5(raw: &RawPacket) -> Result<Packet> {
    let (kind, id, code) = match raw.packet_type() {
        4 => {
            let packet = raw.parse_exact(v5_0::Puback::parse)?;
            let code = packet.reason_code().map(|code| code as u8);
            (AckKind::Puback, packet.packet_id(), code)
        }
        5 => {
            let packet = raw.parse_exact(v5_0::Pubrec::parse)?;
            let code = packet.reason_code().map(|code| code as u8);
            (AckKind::Pubrec, packet.packet_id(), code)
        }
        6 => {
            let packet = raw.parse_exact(v5_0::Pubrel::parse)?;
            let code = packet.reason_code().map(|code| code as u8);
            (AckKind::Pubrel, packet.packet_id(), code)
        }
        _ => {
            let packet = raw.parse_exact(v5_0::Pubcomp::parse)?;
            let code = packet.reason_code().map(|code| code as u8);
            (AckKind::Pubcomp, packet.packet_id(), code)
        }
    };
    acked(kind, id, code.unwrap_or_default())
}

fn wrong_data() -> Wrong {
    Wrong::malformed("a PUBLISH without its content")
}

/// A packet that is nothing but its head.
fn empty(kind: u8, data: &[u8]) -> Result<Packet> {
    if !data.is_empty() {
        return Err(Wrong::malformed("a packet has more than it may"));
    }
    match kind {
        12 => Ok(Packet::Pingreq),
        13 => Ok(Packet::Pingresp),
        14 => Ok(Packet::Disconnect { code: 0, reason: None, expiry: None }),
        _ => Err(Wrong::malformed("a packet of a kind that there is not")),
    }
}

/// The content of a message, without a copy.
fn content(payload: &ArcPayload) -> Bytes {
    if payload.is_empty() {
        return Bytes::new();
    }
    Bytes::from_owner(Content(payload.clone()))
}

struct Content(ArcPayload);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn published(publication: Publication, id: Option<u16>, alias: Option<u16>) -> Result<Packet> {
    let id = id.unwrap_or_default();
    if (publication.qos > 0) == (id == 0) {
        return Err(Wrong::malformed("a message with the packet identifier 0"));
    }
    if publication.qos == 0 && publication.dup {
        return Err(Wrong::malformed("a message of QoS 0 says that it was sent before"));
    }
    let named_by_alias = publication.topic.is_empty() && alias.is_some();
    if !named_by_alias && !is_topic(&publication.topic) {
        return Err(Wrong::new(reason::BAD_TOPIC, "a message has no topic, or one with wildcards"));
    }
    Ok(Packet::Publish { publication, id, alias })
}

fn acked(kind: AckKind, id: u16, code: u8) -> Result<Packet> {
    if id == 0 {
        return Err(Wrong::malformed("an answer to the packet identifier 0"));
    }
    Ok(Packet::Ack { kind, id, code })
}

fn subscribe(id: u16, entries: &[SubEntry], number: Option<u32>) -> Result<Packet> {
    if id == 0 || entries.is_empty() {
        return Err(Wrong::new(reason::PROTOCOL, "a SUBSCRIBE without identifier or filters"));
    }
    let filters = entries.iter().map(|entry| {
        let options = entry.sub_opts();
        Filter {
            filter: entry.topic_filter().to_owned(),
            qos: options.qos() as u8,
            no_local: options.nl(),
            retain_as_published: options.rap(),
            retain_handling: options.rh() as u8,
        }
    });
    let filters: Vec<Filter> = filters.collect();
    if filters.iter().any(|filter| !is_filter(&filter.filter)) {
        return Err(Wrong::new(reason::BAD_FILTER, "a SUBSCRIBE with a filter that is none"));
    }
    Ok(Packet::Subscribe { id, filters, number })
}

fn unsubscribe(id: u16, filters: Vec<String>) -> Result<Packet> {
    if id == 0 || filters.is_empty() {
        return Err(Wrong::new(reason::PROTOCOL, "an UNSUBSCRIBE without identifier or filters"));
    }
    Ok(Packet::Unsubscribe { id, filters })
}

pub(crate) fn expiry_of(properties: &[Property]) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
        _ => None,
    })
}

pub(crate) fn reason_of(properties: &[Property]) -> Option<String> {
    properties.iter().find_map(|property| match property {
        // It is logged, and the peer wrote it.
        Property::ReasonString(text) => Some(text.val().chars().take(256).collect()),
        _ => None,
    })
}

/// Those of a message, and its alias.
pub(crate) fn properties_of(given: &[Property]) -> (Properties, Option<u16>) {
    let (mut found, mut alias) = (Properties::default(), None);
    for property in given {
        match property {
            Property::PayloadFormatIndicator(format) => {
                found.text = format.val() == PayloadFormat::String as u8;
            }
            Property::MessageExpiryInterval(seconds) => found.expiry = Some(seconds.val()),
            Property::ContentType(text) => found.content_type = Some(text.val().to_owned()),
            Property::ResponseTopic(text) => found.response_topic = Some(text.val().to_owned()),
            Property::CorrelationData(data) => {
                found.correlation = Some(Bytes::copy_from_slice(data.val()));
            }
            Property::UserProperty(pair) => {
                found.user.push((pair.key().to_owned(), pair.val().to_owned()));
            }
            Property::SubscriptionIdentifier(number) => found.subscriptions.push(number.val()),
            Property::TopicAlias(number) => alias = Some(number.val()),
            _ => {}
        }
    }
    (found, alias)
}
