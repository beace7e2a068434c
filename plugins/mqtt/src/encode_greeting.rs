//! CONNECT and CONNACK to bytes (§3.1, §3.2).

use crate::encode::{Built, qos, written};
use crate::packet::{Connack, Connect};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MaximumQos, Property, ReasonString,
    ReceiveMaximum, ServerKeepAlive, SessionExpiryInterval, TopicAliasMaximum, WillDelayInterval,
    v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;

pub(crate) fn connect_3(connect: &Connect) -> Built {
    let mut building = v3_1_1::Connect::builder()
        .client_id(connect.client_id.as_str())?
        .clean_session(connect.clean)
        .keep_alive(connect.keepalive);
    if let Some(will) = &connect.will {
        let it = &will.publication;
        building = building.will_message(
            it.topic.as_str(),
            it.payload.to_vec(),
            qos(it.qos),
            it.retain,
        )?;
    }
    if let Some(user) = &connect.user {
        building = building.user_name(user.as_str())?;
    }
    if let Some(password) = &connect.password {
        building = building.password(password.to_vec())?;
    }
    Ok(building.build()?.to_continuous_buffer())
}

pub(crate) fn connect_5(connect: &Connect) -> Built {
    let mut properties: Vec<Property> = Vec::new();
    if connect.expiry > 0 {
        properties.push(SessionExpiryInterval::new(connect.expiry)?.into());
    }
    if let Some(most) = connect.receive_maximum {
        properties.push(ReceiveMaximum::new(most)?.into());
    }
    if let Some(most) = connect.max_packet {
        properties.push(MaximumPacketSize::new(most)?.into());
    }
    if connect.alias_maximum > 0 {
        properties.push(TopicAliasMaximum::new(connect.alias_maximum)?.into());
    }
    let mut building = v5_0::Connect::builder()
        .client_id(connect.client_id.as_str())?
        .clean_start(connect.clean)
        .keep_alive(connect.keepalive)
        .props(properties);
    if let Some(will) = &connect.will {
        let it = &will.publication;
        let mut properties = written(&it.properties)?;
        if will.delay > 0 {
            properties.push(WillDelayInterval::new(will.delay)?.into());
        }
        building = building
            .will_message(it.topic.as_str(), it.payload.to_vec(), qos(it.qos), it.retain)?
            .will_props(properties);
    }
    if let Some(user) = &connect.user {
        building = building.user_name(user.as_str())?;
    }
    if let Some(password) = &connect.password {
        building = building.password(password.to_vec())?;
    }
    Ok(building.build()?.to_continuous_buffer())
}

pub(crate) fn connack_5(connack: &Connack) -> Built {
    let mut properties: Vec<Property> = Vec::new();
    if let Some(text) = &connack.reason {
        properties.push(ReasonString::new(text.as_str())?.into());
    }
    if let Some(id) = &connack.client_id {
        properties.push(AssignedClientIdentifier::new(id.as_str())?.into());
    }
    if let Some(seconds) = connack.keepalive {
        properties.push(ServerKeepAlive::new(seconds)?.into());
    }
    if let Some(seconds) = connack.expiry {
        properties.push(SessionExpiryInterval::new(seconds)?.into());
    }
    if let Some(most) = connack.receive_maximum {
        properties.push(ReceiveMaximum::new(most)?.into());
    }
    if let Some(most) = connack.max_packet {
        properties.push(MaximumPacketSize::new(most)?.into());
    }
    if connack.alias_maximum > 0 {
        properties.push(TopicAliasMaximum::new(connack.alias_maximum)?.into());
    }
    if let Some(most) = connack.max_qos {
        properties.push(MaximumQos::new(most)?.into());
    }
    let code = ConnectReasonCode::try_from(connack.code);
    Ok(v5_0::Connack::builder()
        .session_present(connack.session_present)
        .reason_code(code.unwrap_or(ConnectReasonCode::UnspecifiedError))
        .props(properties)
        .build()?
        .to_continuous_buffer())
}
