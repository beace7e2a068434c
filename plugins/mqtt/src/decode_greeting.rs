//! CONNECT and CONNACK from bytes (§3.1, §3.2).

use crate::decode::{Result, Wrong, expiry_of, properties_of, reason_of};
use crate::packet::{Connack, Connect, Publication, Version, Will};
use crate::reason;
use crate::topic::is_topic;
use bytes::Bytes;
use mqtt_protocol_core::mqtt::connection::RawPacket;
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};

/// The reserved bit, and what a will that is none may not say (§3.1.2.3 to 3.1.2.9).
fn check_connect_flags(connect: &[u8]) -> Result<()> {
    let flags = connect.get(7).copied().unwrap_or_default();
    let will_without = flags & 4 == 0 && flags & 0b0011_1000 != 0;
    if flags & 1 != 0 || flags & 0b0001_1000 == 0b0001_1000 || will_without {
        return Err(Wrong::malformed("the flags of a CONNECT contradict each other"));
    }
    Ok(())
}

pub(crate) fn connect_3(raw: &RawPacket) -> Result<Connect> {
    check_connect_flags(raw.data_as_slice())?;
    let packet = raw.parse_exact(v3_1_1::Connect::parse)?;
    let will = packet.will_topic().map(|topic| {
        let content = Bytes::copy_from_slice(packet.will_payload().unwrap_or_default());
        let mut publication = Publication::new(topic, content, packet.will_qos() as u8);
        publication.retain = packet.will_retain();
        Will { publication, delay: 0 }
    });
    if packet.password().is_some() && packet.user_name().is_none() {
        return Err(Wrong::malformed("a password without a user name"));
    }
    let clean = packet.clean_session();
    checked(Connect {
        version: Version::V311,
        client_id: packet.client_id().to_owned(),
        clean,
        keepalive: packet.keep_alive(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(Bytes::copy_from_slice),
        will,
        expiry: if clean { 0 } else { u32::MAX },
        receive_maximum: None,
        max_packet: None,
        alias_maximum: 0,
        enhanced: false,
    })
}

pub(crate) fn connect_5(raw: &RawPacket) -> Result<Connect> {
    check_connect_flags(raw.data_as_slice())?;
    let packet = raw.parse_exact(v5_0::Connect::parse)?;
    let will = packet.will_topic().map(|topic| {
        let content = Bytes::copy_from_slice(packet.will_payload().unwrap_or_default());
        let mut publication = Publication::new(topic, content, packet.will_qos() as u8);
        publication.retain = packet.will_retain();
        publication.properties = properties_of(packet.will_props()).0;
        let delay = packet.will_props().iter().find_map(|property| match property {
            Property::WillDelayInterval(seconds) => Some(seconds.val()),
            _ => None,
        });
        Will { publication, delay: delay.unwrap_or_default() }
    });
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        clean: packet.clean_start(),
        keepalive: packet.keep_alive(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(Bytes::copy_from_slice),
        will,
        expiry: expiry_of(packet.props()).unwrap_or_default(),
        receive_maximum: None,
        max_packet: None,
        alias_maximum: 0,
        enhanced: false,
    };
    for property in packet.props() {
        match property {
            Property::ReceiveMaximum(most) => connect.receive_maximum = Some(most.val()),
            Property::MaximumPacketSize(most) => connect.max_packet = Some(most.val()),
            Property::TopicAliasMaximum(most) => connect.alias_maximum = most.val(),
            Property::AuthenticationMethod(_) => connect.enhanced = true,
            _ => {}
        }
    }
    checked(connect)
}

fn checked(connect: Connect) -> Result<Connect> {
    if connect.client_id.contains('\0') {
        return Err(Wrong::new(reason::BAD_CLIENT_ID, "a client identifier with a zero in it"));
    }
    if connect.will.as_ref().is_some_and(|will| !is_topic(&will.publication.topic)) {
        return Err(Wrong::new(reason::BAD_TOPIC, "a will without a topic"));
    }
    if connect.receive_maximum == Some(0) || connect.max_packet == Some(0) {
        return Err(Wrong::new(reason::PROTOCOL, "a maximum of 0"));
    }
    Ok(connect)
}

pub(crate) fn connack_5(packet: &v5_0::Connack) -> Connack {
    let mut connack = Connack {
        session_present: packet.session_present(),
        code: packet.reason_code() as u8,
        reason: reason_of(packet.props()),
        expiry: expiry_of(packet.props()),
        ..Connack::default()
    };
    for property in packet.props() {
        match property {
            Property::AssignedClientIdentifier(id) => connack.client_id = Some(id.val().to_owned()),
            Property::ServerKeepAlive(seconds) => connack.keepalive = Some(seconds.val()),
            Property::ReceiveMaximum(most) => connack.receive_maximum = Some(most.val().max(1)),
            Property::MaximumPacketSize(most) => connack.max_packet = Some(most.val()),
            Property::TopicAliasMaximum(most) => connack.alias_maximum = most.val(),
            Property::MaximumQos(most) => connack.max_qos = Some(most.val()),
            Property::RetainAvailable(is) => connack.retain_available = Some(is.val() != 0),
            _ => {}
        }
    }
    connack
}
