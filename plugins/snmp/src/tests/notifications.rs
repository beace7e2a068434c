//! Notifications of all versions, from senders that may and others.

use super::{driver, open, quick};
use crate::options::{Community, SnmpOptions, Transport, UserOptions, Version};
use crate::{AuthProtocol, PrivacyProtocol};
use jackfield_plugin_api::futures::{SinkExt, StreamExt};
use jackfield_plugin_api::{
    Address, Driver, ErrorKind, Listener, Message, Request, Role, Secret, testing,
};
use serde_json::{Value as Json, json};
use tokio::net::UdpSocket;

const TRAP: &str = "1.3.6.1.6.3.1.1.5.3";

fn receiving() -> SnmpOptions {
    let password = || Some(Secret::new("long enough"));
    SnmpOptions {
        communities: vec![Community {
            name: "site".into(),
            community: Some(Secret::new("hidden")),
        }],
        users: vec![UserOptions {
            name: "sender".into(),
            auth: AuthProtocol::Sha256,
            auth_password: password(),
            privacy: PrivacyProtocol::Aes128,
            privacy_password: password(),
            ..UserOptions::default()
        }],
        ..SnmpOptions::default()
    }
}

/// A sender of version 3, as `receiving` knows it.
fn sender() -> SnmpOptions {
    SnmpOptions {
        version: Version::V3,
        user: Some("sender".into()),
        auth: AuthProtocol::Sha256,
        privacy: PrivacyProtocol::Aes128,
        privacy_password: Some(Secret::new("long enough")),
        local_engine_id: Some("8000000001020304".into()),
        ..quick()
    }
}

async fn listen(options: SnmpOptions) -> (Listener, u16) {
    let driver = driver();
    let endpoint = driver.configure(options, Role::Server).expect("options");
    let request = Request::new(Address::new("127.0.0.1", 0), testing::DEADLINE);
    let listener = driver.listen(&endpoint, request).await.expect("a listener");
    let local = listener.info().local.expect("an address");
    let port = local.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (listener, port)
}

fn read(message: &Message) -> Json {
    serde_json::from_slice(&message.payload).expect("JSON")
}

fn notice() -> Json {
    json!({
        "trap": TRAP, "uptime": 42, "values": [
            { "oid": "1.3.6.1.2.1.2.2.1.1.7", "type": "integer", "value": 7 },
            { "oid": "1.3.6.1.4.1.9.1", "type": "octet_string", "hex": "00ff" },
        ],
    })
}

#[tokio::test]
async fn a_trap_of_each_version_is_a_message_and_an_event() {
    let (listener, port) = listen(receiving()).await;
    for (version, options) in [
        ("v1", SnmpOptions { version: Version::V1, ..quick() }),
        ("v2c", quick()),
        ("v3", sender()),
    ] {
        let near = match options.version {
            Version::V3 => open_as(port, options, "long enough").await,
            _ => open(port, options).await.expect("a session"),
        };
        near.call("trap", &notice()).await.expect("sent");
        let far = listener.accept().await.expect("a session");
        let mut messages = far.take_messages().expect("messages");
        let got = read(&messages.next().await.expect("one").expect("a message"));
        assert_eq!((&got["kind"], &got["version"]), (&json!("trap"), &json!(version)));
        assert_eq!((&got["trap"], &got["uptime"]), (&json!(TRAP), &json!(42)));
        assert_eq!(got["values"][1]["hex"], "00ff");
        match version {
            "v3" => {
                assert_eq!(got["user"], "sender");
                assert_eq!(got["security"], "authPriv");
                assert_eq!(got["engine_id"], "8000000001020304");
            }
            _ => assert_eq!(got["community"], "site"),
        }
        assert!(!got.to_string().contains("hidden"));
        let event = far.next_event().await.expect("no error").expect("an event");
        assert_eq!((event.name.as_str(), &event.data), ("trap", &got));
        assert_eq!(far.info().facts["notifications"], 1);
        let refused = messages.send(Message::text("x")).await.expect_err("one way");
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}

async fn open_as(port: u16, options: SnmpOptions, password: &str) -> jackfield_plugin_api::Session {
    let driver = driver();
    let endpoint = driver.configure(options, Role::Client).expect("options");
    let address = Address::new("127.0.0.1", port).with_password(Secret::new(password));
    let request = Request::new(address, testing::DEADLINE);
    driver.open(&endpoint, request).await.expect("a session")
}

#[tokio::test]
async fn informs_are_acknowledged_over_datagrams_and_connections() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (listener, port) = listen(SnmpOptions { transport, ..receiving() }).await;
        let near = open(port, SnmpOptions { transport, timeout: 20.0, ..quick() }).await;
        let near = near.expect("a session");
        let answer = near.call("inform", &notice()).await.expect("acknowledged");
        assert_eq!(answer["values"][1]["value"], TRAP);
        let far = listener.accept().await.expect("a session");
        let mut messages = far.take_messages().expect("messages");
        let got = read(&messages.next().await.expect("one").expect("a message"));
        assert_eq!(got["kind"], "inform");
        let secured =
            open_as(port, SnmpOptions { transport, timeout: 20.0, ..sender() }, "long enough");
        let secured = secured.await;
        // The listener's engine is found, its clock set, and the inform acknowledged under both.
        secured.call("inform", &notice()).await.expect("acknowledged");
        let far = listener.accept().await.expect("a session");
        let mut messages = far.take_messages().expect("messages");
        let got = read(&messages.next().await.expect("one").expect("a message"));
        assert_eq!((&got["kind"], &got["user"]), (&json!("inform"), &json!("sender")));
        assert_eq!(secured.info().facts["engine_id"], got["engine_id"]);
    }
}

#[tokio::test]
async fn a_receiver_that_has_become_another_engine_gets_the_next_inform_all_the_same() {
    let (first, port) = listen(SnmpOptions { reuse_port: true, ..receiving() }).await;
    let near = open_as(port, SnmpOptions { timeout: 20.0, ..sender() }, "long enough").await;
    near.call("inform", &notice()).await.expect("acknowledged");
    let engine = near.info().facts["engine_id"].clone();
    drop(first);
    let driver = driver();
    let endpoint = driver.configure(SnmpOptions { reuse_port: true, ..receiving() }, Role::Server);
    let request = Request::new(Address::new("127.0.0.1", port), testing::DEADLINE);
    let second = driver.listen(&endpoint.expect("options"), request).await.expect("a listener");
    near.call("inform", &notice()).await.expect("acknowledged");
    assert_ne!(near.info().facts["engine_id"], engine);
    second.accept().await.expect("a session");
}

#[tokio::test]
async fn who_is_not_known_opens_no_session_and_is_told_why_by_his_own_engine_alone() {
    let (listener, port) = listen(receiving()).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    stranger.send_to(b"anything", ("127.0.0.1", port)).await.expect("room");
    let wrong = SnmpOptions { community: Some(Secret::new("guessed")), ..quick() };
    let driver = driver();
    let endpoint = driver.configure(wrong, Role::Client).expect("options");
    let request = Request::new(Address::new("127.0.0.1", port), testing::DEADLINE);
    let near = driver.open(&endpoint, request).await.expect("a session");
    near.call("trap", &notice()).await.expect("sent");
    let error = near.call("inform", &notice()).await.expect_err("not acknowledged");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    for (options, password, report) in [
        (
            SnmpOptions { user: Some("nobody".into()), ..sender() },
            "long enough",
            "unknownUserNames",
        ),
        (sender(), "long enough to be wrong", "wrongDigests"),
        (
            SnmpOptions { privacy: PrivacyProtocol::None, privacy_password: None, ..sender() },
            "long enough",
            "unsupportedSecLevels",
        ),
        (
            SnmpOptions { privacy_password: Some(Secret::new("other password")), ..sender() },
            "long enough",
            "decryptionErrors",
        ),
    ] {
        let near = open_as(port, options, password).await;
        near.call("trap", &notice()).await.expect("sent");
        let error = near.call("inform", &notice()).await.expect_err(report);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.message().contains(report), "{error}");
    }
    // One that may comes first of all, though others were before.
    let near = open(port, quick()).await.expect("a session");
    let local = near.info().local;
    near.call("trap", &notice()).await.expect("sent");
    assert_eq!(listener.accept().await.expect("a session").info().peer, local);
}

#[tokio::test]
async fn a_peer_that_sends_more_than_is_received_loses_the_newest_and_no_acknowledgement_lies() {
    let (listener, port) = listen(SnmpOptions { queue: 2, ..receiving() }).await;
    let near = open(port, quick()).await.expect("a session");
    for _ in 0..2 {
        near.call("inform", &notice()).await.expect("acknowledged");
    }
    let error = near.call("inform", &notice()).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let far = listener.accept().await.expect("a session");
    assert_eq!(far.info().facts["dropped"], 2, "both attempts");
    let mut messages = far.take_messages().expect("messages");
    for _ in 0..2 {
        messages.next().await.expect("one").expect("a message");
    }
    near.call("inform", &notice()).await.expect("acknowledged again");
}

#[tokio::test]
async fn what_a_listener_gives_goes_on_to_another_as_it_is() {
    let (first, first_port) = listen(receiving()).await;
    let (second, second_port) = listen(receiving()).await;
    let v1 = open(first_port, SnmpOptions { version: Version::V1, ..quick() }).await;
    let notice = json!({
        "trap": "1.3.6.1.4.1.42.0.7", "agent": "10.0.0.8",
        "values": [{ "oid": "1.3.6.1.4.1.42.1", "type": "gauge32", "value": 4_294_967_295_u32 }],
    });
    v1.expect("a session").call("trap", &notice).await.expect("sent");
    let far = first.accept().await.expect("a session");
    let mut messages = far.take_messages().expect("messages");
    let message = messages.next().await.expect("one").expect("a message");
    let got = read(&message);
    assert_eq!((&got["enterprise"], &got["agent"]), (&json!("1.3.6.1.4.1.42"), &json!("10.0.0.8")));
    for version in [Version::V1, Version::V2c] {
        let onward =
            open(second_port, SnmpOptions { version, ..quick() }).await.expect("a session");
        let mut sending = onward.take_messages().expect("messages");
        sending.send(message.clone()).await.expect("sent");
        let far = second.accept().await.expect("a session");
        let mut messages = far.take_messages().expect("messages");
        let again = read(&messages.next().await.expect("one").expect("a message"));
        for name in ["trap", "uptime", "agent", "enterprise"] {
            assert_eq!(again[name], got[name], "{name}");
        }
        assert_eq!(again["values"][0], got["values"][0]);
        let error =
            sending.send(Message::text("{\"trap\": 1}")).await.expect_err("no notification");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[tokio::test]
async fn a_trap_of_version_3_needs_an_engine_and_one_of_version_1_no_counter64() {
    let near = open_as(1, SnmpOptions { local_engine_id: None, ..sender() }, "long enough").await;
    let error = near.call("trap", &notice()).await.expect_err("no engine");
    assert!(error.to_string().contains("option=local_engine_id"), "{error}");
    let near = open(1, SnmpOptions { version: Version::V1, ..quick() }).await.expect("a session");
    let value = json!({ "oid": "1.3.6.1.4.1.42.1", "type": "counter64", "value": "1" });
    let error = near.call("trap", &json!({ "trap": TRAP, "values": [value] })).await;
    assert!(error.expect_err("no such type").message().contains("no counter64"));
    let error = near.call("inform", &notice()).await.expect_err("no informs");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
