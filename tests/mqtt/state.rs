//! A broker with a state directory, whose host is stopped, killed, and started again.

use std::{fs, path::Path};

use futures_util::StreamExt;
use jackfield::config::model::HandlerConfig;
use jackfield::manager::Existing;
use rustix::process::Signal;
use serde_json::json;

use super::{
    client::metadata,
    raw::{Raw, packet, publish_5, subscribe_5, text},
};
use crate::support::{
    host::TestHost, jackfield::Jackfield, peers::mqtt::mosquitto_pub, process::tempdir,
};

/// A broker with its state in `folder`, and a listener for it.
fn toml(folder: &Path, more: &str) -> String {
    format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\n\
         options = {{ state_dir = {:?}{more} }}\n\
         [[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"handlers.broker\"\n",
        folder.display().to_string()
    )
}

/// A client of version 5 whose session is kept, and whether the broker had it.
async fn kept(port: u16, client_id: &str, clean: bool) -> (Raw, bool) {
    let mut raw = Raw::connect(port).await;
    let head = [&text("MQTT")[..], &[5, u8::from(clean) << 1, 0, 60, 5, 0x11, 0, 0, 1, 0]].concat();
    raw.send(&packet(0x10, &[head, text(client_id)].concat())).await;
    let (kind, content) = raw.packet().await;
    assert_eq!((kind, content[1]), (0x20, 0));
    (raw, content[0] == 1)
}

async fn subscribe(raw: &mut Raw, filter: &str) {
    raw.send(&subscribe_5(1, filter, 2)).await;
    assert_eq!(raw.packet().await.0, 0x90);
}

/// The next message: its first byte, its identifier and its content. Its topic has one letter.
async fn message(raw: &mut Raw) -> (u8, [u8; 2], Vec<u8>) {
    loop {
        let (kind, content) = raw.packet().await;
        if kind & 0xf0 == 0x30 {
            let properties = usize::from(content[5]);
            return (kind, [content[3], content[4]], content[6 + properties..].to_vec());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_again_after_the_host_was_killed() {
    let folder = tempdir();
    let state = folder.path().join("state");
    let mut first = Jackfield::run(&toml(&state, "")).await;
    let port = first.address(0).port();
    let (mut absent, there) = kept(port, "absent", true).await;
    assert!(!there);
    subscribe(&mut absent, "a").await;
    subscribe(&mut absent, "b").await;
    drop(absent);
    let (mut present, _) = kept(port, "present", true).await;
    subscribe(&mut present, "a").await;
    mosquitto_pub(port, &["-t", "a", "-q", "1", "-r", "-m", "kept"]).await.ok();
    mosquitto_pub(port, &["-t", "a", "-q", "2", "-m", "waits"]).await.ok();
    // It came and was not answered.
    assert_eq!(message(&mut present).await.2, b"kept");
    first.signal(Signal::KILL);
    first.ended().await;

    let second = Jackfield::run(&toml(&state, "")).await;
    let port = second.address(0).port();
    for client in ["absent", "present"] {
        let (mut raw, there) = kept(port, client, false).await;
        assert!(there, "the session of {client}");
        let (kind, _, content) = message(&mut raw).await;
        assert_eq!((kind & 6, &content[..]), (2, &b"kept"[..]), "{client}");
        let (kind, _, content) = message(&mut raw).await;
        assert_eq!((kind & 6, &content[..]), (4, &b"waits"[..]), "{client}");
        // What it had subscribed to, it still has.
        raw.send(&publish_5("a", 1, 7, b"new")).await;
        assert_eq!(message(&mut raw).await.2, b"new");
    }
    let (mut new, there) = kept(port, "new", true).await;
    assert!(!there);
    subscribe(&mut new, "+").await;
    let (kind, _, content) = message(&mut new).await;
    assert_eq!((kind & 1, &content[..]), (1, &b"kept"[..]), "retained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_keeps_which_messages_were_answered() {
    let folder = tempdir();
    let host = TestHost::start(&toml(folder.path(), "")).await;
    let port = host.address(0).port();
    let (mut raw, _) = kept(port, "client", true).await;
    subscribe(&mut raw, "a").await;
    raw.send(&publish_5("a", 2, 9, b"once")).await;
    let (mut sent, mut recorded) = (None, false);
    while sent.is_none() || !recorded {
        let (kind, content) = raw.packet().await;
        match kind & 0xf0 {
            0x30 => sent = Some([content[3], content[4]]),
            _ => recorded |= content[..2] == [0, 9],
        }
    }
    host.shutdown().await;

    let host = TestHost::start(&toml(folder.path(), "")).await;
    let (mut raw, there) = kept(host.address(0).port(), "client", false).await;
    assert!(there);
    let (kind, id, content) = message(&mut raw).await;
    assert_eq!((kind, Some(id), &content[..]), (0x3c, sent, &b"once"[..]), "the same, sent again");
    // Its PUBREC was lost: it is given again, and the message is published once.
    let mut again = publish_5("a", 2, 9, b"once");
    again[0] |= 8;
    raw.send(&again).await;
    let (kind, content) = raw.packet().await;
    assert_eq!((kind, &content[..2]), (0x50, &[0, 9][..]));
    raw.send(&publish_5("a", 0, 0, b"last")).await;
    let (kind, content) = raw.packet().await;
    assert_eq!((kind, content.ends_with(b"last")), (0x30, true), "{content:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_moved_aside_and_told_and_what_stands_before_the_damage_is_used() {
    let folder = tempdir();
    let host = TestHost::start(&toml(folder.path(), "")).await;
    for client in ["first", "second", "third"] {
        drop(kept(host.address(0).port(), client, true).await);
    }
    host.shutdown().await;
    let file = folder.path().join("sessions.journal");
    let mut bytes = fs::read(&file).unwrap();
    let second = bytes.windows(8).position(|part| part == b"\"second\"").unwrap();
    bytes[second + 1] = b'S';
    fs::write(&file, &bytes).unwrap();

    let mut host = Jackfield::run(&toml(folder.path(), "")).await;
    let port = host.address(0).port();
    let (_, first) = kept(port, "first", false).await;
    let (_, third) = kept(port, "third", false).await;
    assert!(first && !third);
    let told = host.logged("the state of the broker is damaged").await;
    assert!(told.contains("sessions.journal: byte ") && told.contains("checksum"), "{told}");
    assert_eq!(fs::read(folder.path().join("sessions.journal.damaged")).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_state_directory_a_broker_takes_no_clients() {
    let folder = tempdir();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let host = TestHost::start(&toml(&file, "")).await;
    let uri = format!("mqtt://{}", host.address(0));
    let error = host.open(&uri, json!({})).await.map(drop).unwrap_err();
    assert_eq!(error.code(), Some(0x88), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_options_are_changed_goes_on_with_its_clients() {
    let folder = tempdir();
    let host = TestHost::start(&toml(folder.path(), "")).await;
    let uri = format!("mqtt://{}", host.address(0));
    let old = host.open(&uri, json!({ "subscribe": "a" })).await.unwrap();
    let changed: HandlerConfig = serde_json::from_value(json!({
        "handler": "mqtt_broker",
        "options": { "state_dir": folder.path(), "max_subscriptions": 1 },
    }))
    .unwrap();
    host.manager().define_handler("broker", changed, Existing::Replace).await.unwrap();
    let new = host.open(&uri, json!({ "subscribe": "b" })).await.unwrap();
    let codes = new.call("subscribe", &json!({ "topic": "c" })).await.map(drop).unwrap_err();
    assert_eq!(codes.code(), Some(0x97), "the new limit holds: {codes}");
    new.call("publish", &json!({ "topic": "a", "payload": "hello", "qos": 1 })).await.unwrap();
    let came = old.take_messages().unwrap().next().await.unwrap().unwrap();
    assert_eq!((&came.payload[..], &metadata(&came)["topic"]), (&b"hello"[..], &json!("a")));
}
