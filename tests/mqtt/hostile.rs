//! Peers that break the protocol, in both roles.

use futures_util::StreamExt;
use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::json;
use tokio::net::TcpListener;

use super::raw::{Raw, connack_5, connect_3, connect_5, packet, publish_5, subscribe_5, text};
use crate::support::{host::TestHost, peers::echo::TcpPeer};

/// A host with a listener whose sessions go to the echo handler.
async fn listener(options: &str) -> (TestHost, u16) {
    let toml = format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"mqtt://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = {{ {options} }}\n"
    );
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    (host, port)
}

/// A client that has sent CONNECT and has its answer.
async fn connected(port: u16) -> Raw {
    let mut raw = Raw::connect(port).await;
    raw.send(&connect_5("hostile")).await;
    let (kind, content) = raw.packet().await;
    assert_eq!((kind, content[1]), (0x20, 0));
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_a_rule_is_told_which_and_the_next_one_is_served() {
    let (_host, port) = listener("anonymous = true, max_packet = 4096, receive_maximum = 2").await;
    let id_0 = [text("a"), vec![0, 0, 0]].concat();
    for (what, bytes, code) in [
        ("a second CONNECT", connect_5("again"), 0x82),
        ("a packet of a server", connack_5(), 0x82),
        ("a length without an end", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("a packet that is too large", vec![0x30, 0xff, 0xff, 0x7f], 0x95),
        ("a topic that is not UTF-8", packet(0x30, &[0, 2, 0xc3, 0x28, 0]), 0x81),
        ("a topic with a wildcard", publish_5("a/#", 0, 0, b""), 0x90),
        ("a topic with a zero", publish_5("a\0", 0, 0, b""), 0x90),
        ("an unknown alias", packet(0x30, &[0, 0, 3, 0x23, 0, 1]), 0x94),
        ("QoS 3", packet(0x36, &id_0), 0x81),
        ("the packet identifier 0", packet(0x32, &id_0), 0x81),
        ("reserved flags", packet(0x80, &subscribe_5(1, "a", 0)[2..]), 0x81),
        ("a filter that is none", subscribe_5(1, "a/#/b", 0), 0x8f),
        ("a SUBSCRIBE without a filter", packet(0x82, &[0, 1, 0]), 0x82),
        ("AUTH without login", packet(0xf0, &[]), 0x82),
    ] {
        let mut raw = connected(port).await;
        raw.send(&bytes).await;
        let told = raw.packet_or_end().await.unwrap_or_else(|| panic!("{what}: no DISCONNECT"));
        assert_eq!(told.0, 0xe0, "{what}");
        let found = told.1.first().copied().unwrap_or_default();
        // Which of two codes says it best is the parser's.
        assert!(
            found == code || matches!((found, code), (0x81 | 0x82, 0x81 | 0x82 | 0x90)),
            "{what}: {found:x}"
        );
        assert!(raw.packet_or_end().await.is_none(), "{what}");
    }
    connected(port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_connect_is_ended_and_an_unknown_version_is_told() {
    let (_host, port) = listener("anonymous = true").await;
    for bytes in [publish_5("a", 0, 0, b""), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 64]] {
        let mut raw = Raw::connect(port).await;
        raw.send(&bytes).await;
        assert!(raw.packet_or_end().await.is_none());
    }
    let mut raw = Raw::connect(port).await;
    let version_9 = [&text("MQTT")[..], &[9, 2, 0, 60], &text("x")].concat();
    raw.send(&packet(0x10, &version_9)).await;
    assert_eq!(raw.packet().await, (0x20, vec![0, 1]));
    let mut raw = Raw::connect(port).await;
    raw.send(&packet(0x10, &[&text("MQTT")[..], &[4, 0, 0, 60], &text("")].concat())).await;
    assert_eq!(raw.packet().await, (0x20, vec![0, 2]), "a session without a name");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_checked_in_both_versions() {
    let (_host, port) = listener("users = { lab = \"hunter2\" }").await;
    let with = |version: u8, password: &str| {
        let properties: &[u8] = if version == 5 { &[0] } else { &[] };
        let head = [&text("MQTT")[..], &[version, 0xc2, 0, 60], properties].concat();
        packet(0x10, &[head, text("c"), text("lab"), text(password)].concat())
    };
    for (bytes, code) in [
        (with(5, "hunter2"), 0),
        (with(5, "hunter3"), 0x86),
        (with(4, "hunter2"), 0),
        (with(4, ""), 4),
        (connect_5("c"), 0x87),
        (connect_3("c"), 5),
    ] {
        let mut raw = Raw::connect(port).await;
        raw.send(&bytes).await;
        let (kind, content) = raw.packet().await;
        assert_eq!((kind, content[1]), (0x20, code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_message_of_qos_2_is_taken_once() {
    let far = TcpPeer::silent().await;
    let toml = format!(
        "[[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"{}\"\noptions = {{ topic = \"t\" }}\n",
        far.uri()
    );
    let host = TestHost::start(&toml).await;
    let mut raw = connected(host.address(0).port()).await;
    let mut twice = publish_5("a", 2, 7, b"once");
    raw.send(&twice).await;
    assert_eq!(raw.packet().await, (0x50, vec![0, 7]));
    twice[0] |= 8;
    raw.send(&twice).await;
    assert_eq!(raw.packet().await, (0x50, vec![0, 7]));
    raw.send(&packet(0x62, &[0, 7])).await;
    assert_eq!(raw.packet().await, (0x70, vec![0, 7]));
    // Released twice: the second time it is not known.
    raw.send(&packet(0x62, &[0, 7])).await;
    assert_eq!(raw.packet().await, (0x70, vec![0, 7, 0x92]));
    raw.send(&publish_5("a", 1, 8, b"next")).await;
    assert_eq!(raw.packet().await, (0x40, vec![0, 8]));
    far.has_received(8).await;
    assert_eq!(far.received(), 8);
}

/// A client of ours at a server by hand, both connected.
async fn client(host: &TestHost, options: serde_json::Value) -> (Session, Raw) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let uri = format!("mqtt://{}", listener.local_addr().unwrap());
    let serving = async {
        let mut raw = Raw::accept(&listener).await;
        assert_eq!(raw.packet().await.0, 0x10);
        raw.send(&connack_5()).await;
        raw
    };
    let (session, raw) = tokio::join!(host.open(&uri, options), serving);
    (session.unwrap(), raw)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_a_rule_is_left_with_its_reason() {
    let host = TestHost::start("").await;
    for (what, bytes, code) in [
        ("a second CONNACK", connack_5(), 0x82),
        ("a SUBSCRIBE", subscribe_5(1, "a", 0), 0x82),
        ("a PINGREQ", packet(0xc0, &[]), 0x82),
        ("a length without an end", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("a reserved packet", packet(0x00, &[]), 0x81),
    ] {
        let (session, mut raw) = client(&host, json!({})).await;
        let mut messages = session.take_messages().unwrap();
        raw.send(&bytes).await;
        assert_eq!(raw.packet().await, (0xe0, vec![code]), "{what}");
        let error = messages.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{what}: {error}");
        assert_eq!(error.code(), Some(u64::from(code)), "{what}");
        assert!(messages.next().await.is_none(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_ends_the_session_in_time() {
    let host = TestHost::start("").await;
    let (session, mut raw) = client(&host, json!({ "answer_timeout": 1 })).await;
    let params = json!({ "topic": "a", "payload": "x", "qos": 1 });
    let error = session.call("publish", &params).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.to_string().contains("answer_timeout"), "{error}");
    assert_eq!(raw.packet().await.0 & 0xf0, 0x30);
    let mut messages = session.take_messages().unwrap();
    let error = messages.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_messages_are_sent_than_a_server_takes() {
    let host = TestHost::start("").await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let uri = format!("mqtt://{}", listener.local_addr().unwrap());
    let serving = async {
        let mut raw = Raw::accept(&listener).await;
        raw.packet().await;
        // Receive maximum 2.
        raw.send(&packet(0x20, &[0, 0, 3, 0x21, 0, 2])).await;
        raw
    };
    let (session, mut raw) = tokio::join!(host.open(&uri, json!({})), serving);
    let session = session.unwrap();
    let params = json!({ "topic": "a", "qos": 1 });
    let publish = || session.call("publish", &params);
    let answering = async {
        let (_, first) = raw.packet().await;
        let (_, second) = raw.packet().await;
        // The answer to this would come behind a third message.
        raw.send(&packet(0x62, &[0, 9])).await;
        assert_eq!(raw.packet().await, (0x70, vec![0, 9, 0x92]));
        raw.send(&packet(0x40, &first[3..5])).await;
        let (_, third) = raw.packet().await;
        raw.send(&packet(0x40, &third[3..5])).await;
        // Refused: quota exceeded.
        raw.send(&packet(0x40, &[&second[3..5], &[0x97]].concat())).await;
    };
    let (one, two, three, ()) = tokio::join!(publish(), publish(), publish(), answering);
    let refused: Vec<_> = [one, two, three].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].kind(), refused[0].code()), (ErrorKind::Limit, Some(0x97)));
}
