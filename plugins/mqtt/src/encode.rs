//! From [`Packet`]s to bytes, by `mqtt-protocol-core`.

use crate::encode_greeting::{connack_5, connect_3, connect_5};
use crate::packet::{AckKind, Filter, Packet, Properties, Publication, Version};
use crate::plain;
use crate::reason;
use bytes::{BufMut, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use mqtt_protocol_core::mqtt::packet::{
    ContentType, CorrelationData, MessageExpiryInterval, PayloadFormat, PayloadFormatIndicator,
    Property, Qos, ReasonString, ResponseTopic, RetainHandling, SessionExpiryInterval, SubEntry,
    SubOpts, SubscriptionIdentifier, TopicAlias, UserProperty, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReturnCode, DisconnectReasonCode, MqttError, SubackReasonCode, SubackReturnCode,
    UnsubackReasonCode,
};

/// The longest packet there can be: a length of four bytes (§1.5.5).
pub(crate) const LONGEST: usize = 268_435_455;

pub(crate) type Built = std::result::Result<Vec<u8>, MqttError>;

/// Appends `packet` to `out`; nothing if it fails.
///
/// # Errors
/// [`ErrorKind::Limit`] if it would be longer than `most` bytes, [`ErrorKind::Config`] if what it says cannot be
/// said: a text of more than 65535 bytes.
pub(crate) fn encode(
    packet: &Packet,
    version: Version,
    most: usize,
    out: &mut BytesMut,
) -> Result<()> {
    if let Packet::Publish { publication, id, alias } = packet {
        if publication.size() > most.min(LONGEST - 1024) {
            return Err(too_long(publication.size(), most));
        }
        if alias.is_none() && plain::write(publication, *id, version, most, out) {
            return Ok(());
        }
    }
    if let Packet::Ack { kind, id, code } = packet {
        put_ack(*kind, *id, *code, version, out);
        return Ok(());
    }
    let built = build(packet, version).map_err(|error| {
        let text = format!("a {} cannot be written: {error:?}", packet.name());
        Error::new(ErrorKind::Config, text)
    })?;
    if built.len() > most {
        return Err(too_long(built.len(), most));
    }
    out.put_slice(&built);
    Ok(())
}

/// By the library.
pub(crate) fn build(packet: &Packet, version: Version) -> Built {
    match version {
        Version::V311 => encode_3(packet),
        Version::V5 => encode_5(packet),
    }
}

fn too_long(length: usize, most: usize) -> Error {
    Error::new(ErrorKind::Limit, "a message is longer than the peer takes")
        .with("bytes", length)
        .with("most", most)
}

/// The form is the same in both versions but for the code, which stands only where there is one to tell.
fn put_ack(kind: AckKind, id: u16, code: u8, version: Version, out: &mut BytesMut) {
    let head = match kind {
        AckKind::Puback => 0x40,
        AckKind::Pubrec => 0x50,
        AckKind::Pubrel => 0x62,
        AckKind::Pubcomp => 0x70,
    };
    let told = version == Version::V5 && code != reason::SUCCESS;
    out.put_slice(&[head, if told { 3 } else { 2 }]);
    out.put_u16(id);
    if told {
        out.put_u8(code);
    }
}

pub(crate) fn qos(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

fn encode_3(packet: &Packet) -> Built {
    Ok(match packet {
        Packet::Connect(connect) => connect_3(connect)?,
        Packet::Connack(connack) => v3_1_1::Connack::builder()
            .session_present(connack.session_present)
            .return_code(
                ConnectReturnCode::try_from(reason::return_code(connack.code))
                    .unwrap_or(ConnectReturnCode::ServerUnavailable),
            )
            .build()?
            .to_continuous_buffer(),
        Packet::Publish { publication, id, .. } => {
            let mut building = v3_1_1::Publish::builder()
                .topic_name(publication.topic.as_str())?
                .qos(qos(publication.qos))
                .retain(publication.retain)
                .dup(publication.dup)
                .payload(&publication.payload[..]);
            if publication.qos > 0 {
                building = building.packet_id(*id);
            }
            building.build()?.to_continuous_buffer()
        }
        Packet::Subscribe { id, filters, .. } => v3_1_1::Subscribe::builder()
            .packet_id(*id)
            .entries(entries(filters, Version::V311)?)
            .build()?
            .to_continuous_buffer(),
        Packet::Suback { id, codes } => {
            let codes = codes
                .iter()
                .map(|code| SubackReturnCode::try_from(*code).unwrap_or(SubackReturnCode::Failure));
            v3_1_1::Suback::builder()
                .packet_id(*id)
                .return_codes(codes.collect::<Vec<_>>())
                .build()?
                .to_continuous_buffer()
        }
        Packet::Unsubscribe { id, filters } => v3_1_1::Unsubscribe::builder()
            .packet_id(*id)
            .entries(filters.iter().map(String::as_str))?
            .build()?
            .to_continuous_buffer(),
        Packet::Unsuback { id, .. } => {
            v3_1_1::Unsuback::builder().packet_id(*id).build()?.to_continuous_buffer()
        }
        Packet::Pingreq => vec![0xc0, 0],
        Packet::Pingresp => vec![0xd0, 0],
        Packet::Disconnect { .. } => vec![0xe0, 0],
        Packet::Ack { .. } | Packet::Auth => return Err(MqttError::PacketNotAllowedToSend),
    })
}

fn encode_5(packet: &Packet) -> Built {
    Ok(match packet {
        Packet::Connect(connect) => connect_5(connect)?,
        Packet::Connack(connack) => connack_5(connack)?,
        Packet::Publish { publication, id, alias } => publish_5(publication, *id, *alias)?,
        Packet::Subscribe { id, filters, number } => {
            let mut building =
                v5_0::Subscribe::builder().packet_id(*id).entries(entries(filters, Version::V5)?);
            if let Some(number) = number {
                building = building.props(vec![SubscriptionIdentifier::new(*number)?.into()]);
            }
            building.build()?.to_continuous_buffer()
        }
        Packet::Suback { id, codes } => {
            let codes = codes.iter().map(|code| {
                SubackReasonCode::try_from(*code).unwrap_or(SubackReasonCode::UnspecifiedError)
            });
            v5_0::Suback::builder()
                .packet_id(*id)
                .reason_codes(codes.collect::<Vec<_>>())
                .build()?
                .to_continuous_buffer()
        }
        Packet::Unsubscribe { id, filters } => v5_0::Unsubscribe::builder()
            .packet_id(*id)
            .entries(filters.iter().map(String::as_str))?
            .build()?
            .to_continuous_buffer(),
        Packet::Unsuback { id, codes } => {
            let codes = codes.iter().map(|code| {
                UnsubackReasonCode::try_from(*code).unwrap_or(UnsubackReasonCode::UnspecifiedError)
            });
            v5_0::Unsuback::builder()
                .packet_id(*id)
                .reason_codes(codes.collect::<Vec<_>>())
                .build()?
                .to_continuous_buffer()
        }
        Packet::Pingreq => vec![0xc0, 0],
        Packet::Pingresp => vec![0xd0, 0],
        Packet::Disconnect { code: 0, reason: None, expiry: None } => vec![0xe0, 0],
        Packet::Disconnect { code, reason, expiry } => {
            disconnect_5(*code, reason.as_deref(), *expiry)?
        }
        Packet::Ack { .. } | Packet::Auth => return Err(MqttError::PacketNotAllowedToSend),
    })
}

fn entries(filters: &[Filter], version: Version) -> std::result::Result<Vec<SubEntry>, MqttError> {
    let entry = |filter: &Filter| {
        let mut options = SubOpts::new().set_qos(qos(filter.qos));
        if version == Version::V5 {
            let retained = match filter.retain_handling {
                0 => RetainHandling::SendRetained,
                1 => RetainHandling::SendRetainedIfNotExists,
                _ => RetainHandling::DoNotSendRetained,
            };
            let local = filter.no_local;
            options = options.set_nl(local).set_rap(filter.retain_as_published).set_rh(retained);
        }
        SubEntry::new(filter.filter.as_str(), options)
    };
    filters.iter().map(entry).collect()
}

fn publish_5(publication: &Publication, id: u16, alias: Option<u16>) -> Built {
    let mut properties = written(&publication.properties)?;
    for number in &publication.properties.subscriptions {
        properties.push(SubscriptionIdentifier::new(*number)?.into());
    }
    if let Some(alias) = alias {
        properties.push(TopicAlias::new(alias)?.into());
    }
    let mut building = v5_0::Publish::builder()
        .topic_name(publication.topic.as_str())?
        .qos(qos(publication.qos))
        .retain(publication.retain)
        .dup(publication.dup)
        .props(properties)
        .payload(&publication.payload[..]);
    if publication.qos > 0 {
        building = building.packet_id(id);
    }
    Ok(building.build()?.to_continuous_buffer())
}

/// Properties that messages and wills have alike.
pub(crate) fn written(properties: &Properties) -> std::result::Result<Vec<Property>, MqttError> {
    let mut out: Vec<Property> = Vec::new();
    if properties.text {
        out.push(PayloadFormatIndicator::new(PayloadFormat::String)?.into());
    }
    if let Some(seconds) = properties.expiry {
        out.push(MessageExpiryInterval::new(seconds)?.into());
    }
    if let Some(text) = &properties.content_type {
        out.push(ContentType::new(text.as_str())?.into());
    }
    if let Some(text) = &properties.response_topic {
        out.push(ResponseTopic::new(text.as_str())?.into());
    }
    if let Some(data) = &properties.correlation {
        out.push(CorrelationData::new(data.to_vec())?.into());
    }
    for (name, value) in &properties.user {
        out.push(UserProperty::new(name.as_str(), value.as_str())?.into());
    }
    Ok(out)
}

fn disconnect_5(code: u8, reason: Option<&str>, expiry: Option<u32>) -> Built {
    let mut properties: Vec<Property> = Vec::new();
    if let Some(text) = reason {
        properties.push(ReasonString::new(text)?.into());
    }
    if let Some(seconds) = expiry {
        properties.push(SessionExpiryInterval::new(seconds)?.into());
    }
    let code = DisconnectReasonCode::try_from(code);
    let mut building = v5_0::Disconnect::builder()
        .reason_code(code.unwrap_or(DisconnectReasonCode::UnspecifiedError));
    if !properties.is_empty() {
        building = building.props(properties);
    }
    Ok(building.build()?.to_continuous_buffer())
}
