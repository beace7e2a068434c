//! Connecting (§3.1).

use crate::conversation::Conversation;
use crate::endpoint::MqttEndpoint;
use crate::engine::{Engine, Received};
use crate::link::Link;
use crate::packet::{Connack, Connect, Version};
use crate::reason;
use bytes::Bytes;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Info, Result, Role, Stream};
use std::sync::Arc;

/// Connects over `carrier`, and subscribes to what the options say.
///
/// # Errors
/// The server refuses the connection or a subscription, with its code; it is no server of MQTT.
pub(crate) async fn connect(
    endpoint: &Arc<MqttEndpoint>,
    address: &Address,
    (carrier, below): (Stream, Info),
    host: Host,
) -> Result<Arc<Conversation>> {
    if address.password.is_some() && address.user.is_none() {
        return Err(Error::new(ErrorKind::Config, "a password without a user"));
    }
    let server = format!("{}/{}", address.authority(), endpoint.client_id);
    let kept = if endpoint.clean { None } else { endpoint.take_kept(&server) };
    let mut engine = Engine::new(Role::Client, endpoint.version, endpoint.limits, host.now());
    let events = endpoint.events_of(&mut engine);
    engine.connect(asked(endpoint, address), kept)?;
    let link = Link::start(engine, carrier, host, events);
    let mut conversation = Conversation::new(link, Arc::clone(endpoint), below, host, Role::Client);
    if endpoint.expiry > 0 && !endpoint.clean {
        // From here on what the session keeps is given back whatever happens.
        conversation.kept_for = Some(server);
    }
    let connack = answer(&conversation.link, endpoint.version).await?;
    let client_id = connack.client_id.clone().unwrap_or_else(|| endpoint.client_id.clone());
    let mut info = Info::new()
        .with("role", "client")
        .with("version", endpoint.version.as_str())
        .with("client_id", client_id)
        .with("session_present", connack.session_present);
    if let Some(seconds) = connack.keepalive {
        info = info.with("keepalive", seconds);
    }
    if let Some(qos) = connack.max_qos {
        info = info.with("max_qos", qos);
    }
    conversation.info = info.over(&conversation.info);
    subscribe(&conversation).await?;
    Ok(Arc::new(conversation))
}

/// What is asked of the server.
fn asked(endpoint: &MqttEndpoint, address: &Address) -> Connect {
    let limits = &endpoint.limits;
    let five = endpoint.version == Version::V5;
    let password = address.password.as_ref();
    Connect {
        version: endpoint.version,
        client_id: endpoint.client_id.clone(),
        clean: endpoint.clean,
        keepalive: endpoint.keepalive,
        user: address.user.clone(),
        password: password.map(|secret| Bytes::copy_from_slice(secret.expose().as_bytes())),
        will: endpoint.will.clone(),
        expiry: endpoint.expiry,
        receive_maximum: five.then_some(limits.receive_maximum),
        max_packet: five.then_some(limits.max_packet),
        alias_maximum: limits.alias_maximum,
        enhanced: false,
    }
}

async fn answer(link: &Link, version: Version) -> Result<Connack> {
    match link.received().await {
        Some(Received::Connack(connack)) if connack.code == reason::SUCCESS => Ok(connack),
        Some(Received::Connack(connack)) => {
            let reason = connack.reason.as_deref();
            let error = reason::not_connected(version, connack.code, reason);
            let old = version == Version::V5 && connack.code == reason::UNSUPPORTED_VERSION;
            Err(if old { error.with("hint", "version = \"3.1.1\"") } else { error })
        }
        _ => {
            let error = link.with(|engine| engine.ended().and_then(|ended| ended.error.clone()));
            let text = "the server ended the connection before it answered CONNECT";
            Err(error.unwrap_or_else(|| Error::new(ErrorKind::Closed, text)))
        }
    }
}

async fn subscribe(conversation: &Conversation) -> Result<()> {
    let mut filters = conversation.endpoint.subscribe.clone();
    if filters.is_empty() {
        return Ok(());
    }
    // What the session has subscribed to already needs no retained messages again.
    let handling = u8::from(!conversation.endpoint.clean);
    filters.iter_mut().for_each(|filter| filter.retain_handling = handling);
    let names: Vec<String> = filters.iter().map(|filter| filter.filter.clone()).collect();
    let codes = conversation.link.subscribe(filters).await?;
    let refused = codes.iter().zip(names).find(|(code, _)| **code >= reason::UNSPECIFIED);
    match refused {
        Some((code, topic)) => Err(reason::refused("a subscription", *code)
            .with("topic", topic)
            .with("option", "subscribe")),
        None => Ok(()),
    }
}
