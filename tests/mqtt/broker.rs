//! The broker: with paho-mqtt, mosquitto's clients, our own client, and peers by hand.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;

use super::{
    client::{message, metadata},
    raw::{Raw, connect_5, packet, publish_5, subscribe_5, text},
};
use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::mqtt::{mosquitto_pub, mosquitto_sub, paho},
};

/// A host with a broker and a listener for it.
async fn broker(options: &str) -> (TestHost, u16) {
    let toml = format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\noptions = {{ {options} }}\n\
         [[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"handlers.broker\"\n"
    );
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    (host, port)
}

/// Each case of the script by itself; it fails with the script's own words.
async fn case(name: &str) {
    let (_host, port) = broker("").await;
    let ran = paho(port, &[name]).await.ok();
    assert!(ran.text().contains(&format!("ok {name}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_has_each_quality_of_service_in_both_versions() {
    case("levels").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_has_what_its_wildcards_match_and_nothing_else() {
    case("wildcards").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_has_retained_messages_until_they_are_taken_away() {
    case("retained").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_has_its_session_back_with_what_came_meanwhile() {
    case("sessions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_hears_the_will_of_who_breaks_off_and_of_nobody_else() {
    case("wills").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_is_taken_over_by_the_next_client_of_its_name() {
    case("takeover").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_ends_subscriptions() {
    case("unsubscribing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_have_their_share_each() {
    case("shared").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_subscriptions_are_kept() {
    case("options").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_pass_the_broker_as_they_are() {
    case("properties").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_waits_for_its_delay_and_a_client_that_is_back_leaves_none() {
    case("delayed_will").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_mosquitto_and_of_ours_meet_over_tls_and_websocket() {
    let certs = Certs::new();
    let toml = format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\n\
         [[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"handlers.broker\"\n\
         [[routes]]\nlisten = \"mqtts://127.0.0.1:0\"\nto = \"handlers.broker\"\n\
         options = {{ anonymous = true, tls = {{ certificate_file = {:?}, key_file = {:?} }} }}\n\
         [[routes]]\nlisten = \"mqtt+ws://127.0.0.1:0/mqtt\"\nto = \"handlers.broker\"\n\
         options = {{ anonymous = true }}\n",
        certs.server.certificate, certs.server.key
    );
    let host = TestHost::start(&toml).await;
    let (plain, tls, ws) = (host.address(0).port(), host.address(1).port(), host.address(2).port());
    let options = json!({ "subscribe": "lab/#", "tls": { "ca_file": certs.ca } });
    let secure = host.open(&format!("mqtts://127.0.0.1:{tls}"), options).await.unwrap();
    let web = json!({ "subscribe": "lab/#" });
    let web = host.open(&format!("mqtt+ws://127.0.0.1:{ws}/mqtt"), web).await.unwrap();
    assert_eq!(web.info().facts["subprotocol"], "mqtt");
    mosquitto_pub(plain, &["-t", "lab/a", "-q", "2", "-m", "from mosquitto"]).await.ok();
    for session in [&secure, &web] {
        let came = session.take_messages().unwrap().next().await.unwrap().unwrap();
        assert_eq!(
            (&came.payload[..], &metadata(&came)["topic"]),
            (&b"from mosquitto"[..], &json!("lab/a"))
        );
    }
    let sub = ["-t", "lab/b", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut sub = mosquitto_sub(plain, &sub).await;
    let params = json!({ "topic": "lab/b", "payload": "from us", "qos": 2 });
    assert_eq!(secure.call("publish", &params).await.unwrap()["code"], 0);
    assert_eq!(sub.logged("lab/b 2 ").await.unwrap(), "from us.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_answered_comes_again_in_the_same_session() {
    let (_host, port) = broker("").await;
    let kept = |clean: u8| {
        let head = [&text("MQTT")[..], &[5, clean, 0, 60, 5, 0x11, 0, 0, 1, 0]].concat();
        packet(0x10, &[head, text("kept")].concat())
    };
    let mut raw = Raw::connect(port).await;
    raw.send(&kept(2)).await;
    assert_eq!(raw.packet().await.1[..2], [0, 0]);
    raw.send(&subscribe_5(1, "a", 2)).await;
    assert_eq!(raw.packet().await.0, 0x90);
    raw.send(&[publish_5("a", 1, 1, b"one"), publish_5("a", 2, 2, b"two")].concat()).await;
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let (kind, content) = raw.packet().await;
        match kind & 0xf0 {
            0x30 => ids.push((kind & 6, [content[3], content[4]])),
            0x50 => raw.send(&packet(0x62, &content[..2])).await,
            _ => {}
        }
    }
    drop(raw);
    let mut raw = Raw::connect(port).await;
    raw.send(&kept(0)).await;
    assert_eq!(raw.packet().await.1[..2], [1, 0], "the session is there");
    for (qos, id) in ids {
        let (kind, content) = raw.packet().await;
        assert_eq!(
            (kind, [content[3], content[4]]),
            (0x38 | qos, id),
            "sent again with its number"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_clients_subscriptions_and_queues_hold() {
    let limits = "max_clients = 2, max_subscriptions = 2, max_queued = 10, max_retained = 1";
    let (host, port) = broker(limits).await;
    let uri = format!("mqtt://127.0.0.1:{port}");
    let one = host.open(&uri, json!({})).await.unwrap();
    let filters = json!({ "filters": [{ "filter": "a" }, { "filter": "b" }, { "filter": "c" }] });
    let granted = one.call("subscribe", &filters).await.unwrap();
    assert_eq!(granted, json!({ "codes": [0, 0, 0x97] }));
    let two = host.open(&uri, json!({})).await.unwrap();
    let error = host.open(&uri, json!({})).await.map(drop).unwrap_err();
    assert_eq!(error.code(), Some(0x97), "{error}");
    for topic in ["kept/1", "kept/2"] {
        let params = json!({ "topic": topic, "payload": "x", "qos": 1, "retain": true });
        two.call("publish", &params).await.unwrap();
    }
    two.call("subscribe", &json!({ "filters": [{ "filter": "kept/#" }, { "filter": "mark" }] }))
        .await
        .unwrap();
    two.call("publish", &json!({ "topic": "mark", "qos": 1 })).await.unwrap();
    let mut messages = two.take_messages().unwrap();
    let mut topics = Vec::new();
    while topics.last() != Some(&json!("mark")) {
        topics.push(metadata(&messages.next().await.unwrap().unwrap())["topic"].clone());
    }
    assert_eq!(topics, [json!("kept/1"), json!("mark")]);
    // A client that answers nothing: what waits for it is bounded, and others go on.
    drop(one);
    let mut raw = connected_later(port).await;
    raw.send(&subscribe_5(1, "many", 1)).await;
    assert_eq!(raw.packet().await.0, 0x90);
    for _ in 0..200 {
        messages.send(message("many", 1, "x")).await.unwrap();
    }
    messages.flush().await.unwrap();
    two.call("publish", &json!({ "topic": "other", "qos": 2 })).await.unwrap();
}

/// A place for a client may become free a moment after another has left.
async fn connected_later(port: u16) -> Raw {
    loop {
        let mut raw = Raw::connect(port).await;
        raw.send(&connect_5("raw")).await;
        if raw.packet().await.1[1] == 0 {
            return raw;
        }
    }
}
