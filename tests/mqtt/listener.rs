//! A listener whose sessions go to something that is not MQTT, and to a broker.

use futures_util::{SinkExt, StreamExt};
use jackfield::config::model::ConnectionConfig;
use jackfield::manager::Existing;
use jackfield_plugin_api::{ErrorKind, Message};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    client::metadata,
    raw::{Raw, packet, text},
};
use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        echo::{Refusing, TcpPeer},
        mqtt::{Mosquitto, mosquitto_pub, mosquitto_sub},
    },
};

/// A route from a listener of ours.
fn route(to: &str, options: &str) -> String {
    format!(
        "[[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"{to}\"\noptions = {{ {options} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_publish_goes_to_a_stream_and_what_that_says_to_subscribers() {
    let echo = TcpPeer::echo().await;
    let host = TestHost::start(&route(&echo.uri(), "topic = \"line\", qos = 1")).await;
    for version in ["3.1.1", "5"] {
        let uri = format!("mqtt://{}", host.address(0));
        let options = json!({ "version": version, "topic": "any", "subscribe": "+", "qos": 2 });
        let session = host.open(&uri, options).await.unwrap();
        let mut messages = session.take_messages().unwrap();
        messages.send(Message::binary("to the line")).await.unwrap();
        let came = messages.next().await.unwrap().unwrap();
        assert_eq!(came.payload, "to the line");
        let beside = metadata(&came);
        assert_eq!((&beside["topic"], &beside["qos"]), (&json!("line"), &json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_reach_a_stream_in_both_versions() {
    let silent = TcpPeer::silent().await;
    let host = TestHost::start(&route(&silent.uri(), "")).await;
    for version in ["mqttv311", "mqttv5"] {
        let sent = ["-V", version, "-t", "any", "-q", "2", "-m", "to the line"];
        mosquitto_pub(host.address(0).port(), &sent).await.ok();
    }
    silent.has_received(22).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_destination_is_not_there_is_refused() {
    let nobody = Refusing::new();
    let host = TestHost::start(&route(&format!("tcp://{}", nobody.address()), "")).await;
    for (version, code) in [("5", 0x88), ("3.1.1", 3)] {
        let uri = format!("mqtt://{}", host.address(0));
        let error = host.open(&uri, json!({ "version": version })).await.map(drop).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unreachable, Some(code)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_a_stream_are_published_and_messages_come_back_as_bytes() {
    let certs = Certs::new();
    let mut mosquitto = Mosquitto::start(&certs).await;
    let toml = format!(
        "[connections.lab]\nuri = \"{}\"\n\
         options = {{ topic = \"console/out\", subscribe = [\"console/in\"], qos = 1 }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.lab\"\n",
        mosquitto.uri()
    );
    let host = TestHost::start(&toml).await;
    let sub = ["-t", "console/out", "-q", "1", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut sub = mosquitto_sub(mosquitto.port, &sub).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    stream.write_all(b"ready").await.unwrap();
    assert_eq!(sub.logged("console/out 1 ").await.unwrap(), "ready.");
    mosquitto.logged("console/in (QoS 1)").await;
    mosquitto_pub(mosquitto.port, &["-t", "console/in", "-m", "go"]).await.ok();
    let mut came = [0; 2];
    stream.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_passes_topics_by_its_map_in_both_directions() {
    let certs = Certs::new();
    let mut mosquitto = Mosquitto::start(&certs).await;
    let toml = format!(
        "[connections.far]\nuri = \"{}\"\n\
         options = {{ map = [{{ local = \"lab/\", remote = \"site7/lab/\", qos = 1 }}] }}\n{}",
        mosquitto.uri(),
        route("connections.far", ""),
    );
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    // From the far broker to a client of ours.
    let sub = ["-t", "lab/+/t", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut near = mosquitto_sub(port, &sub).await;
    mosquitto.logged("site7/lab/+/t (QoS 1)").await;
    let sent = ["-t", "site7/lab/a/t", "-q", "2", "-m", "21.5"];
    mosquitto_pub(mosquitto.port, &sent).await.ok();
    assert_eq!(near.logged("lab/a/t 1 ").await.unwrap(), "21.5.");
    // From a client of ours to the far broker: its QoS 2 is 1 there.
    let sub = ["-t", "site7/#", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut far = mosquitto_sub(mosquitto.port, &sub).await;
    mosquitto_pub(port, &["-t", "lab/b", "-q", "2", "-m", "on"]).await.ok();
    assert_eq!(far.logged("site7/lab/b 1 ").await.unwrap(), "on.");
    // What no rule names does not pass, and a filter of it is refused.
    mosquitto_pub(port, &["-t", "secret", "-q", "1", "-m", "x"]).await.ok();
    assert!(!mosquitto.log().contains("'secret'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_leaves_its_will_and_what_was_answered_at_the_far_broker() {
    let certs = Certs::new();
    let mosquitto = Mosquitto::start(&certs).await;
    let host = TestHost::start(&route(&mosquitto.uri(), "")).await;
    let sub = ["-t", "#", "-q", "1", "-C", "2", "-d", "-F", "%t %q %p."];
    let mut far = mosquitto_sub(mosquitto.port, &sub).await;
    let mut raw = Raw::connect(host.address(0).port()).await;
    let head = [&text("MQTT")[..], &[4, 0b1110, 0, 60], &text("c"), &text("gone"), &text("w")];
    raw.send(&packet(0x10, &head.concat())).await;
    assert_eq!(raw.packet().await, (0x20, vec![0, 0]));
    raw.send(&packet(0x32, &[&text("last")[..], &[0, 1], b"words"].concat())).await;
    assert_eq!(raw.packet().await, (0x40, vec![0, 1]));
    drop(raw);
    assert_eq!(far.logged("last 1 ").await.unwrap(), "words.");
    assert_eq!(far.logged("gone 1 ").await.unwrap(), "w.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_is_changed_at_run_time_holds_for_clients_that_connect_then() {
    let certs = Certs::new();
    let mosquitto = Mosquitto::start(&certs).await;
    let far = |remote: &str, qos: u8| -> ConnectionConfig {
        let map = json!([{ "local": "lab/", "remote": remote, "qos": qos }]);
        let far = json!({ "uri": mosquitto.uri(), "options": { "map": map } });
        serde_json::from_value(far).unwrap()
    };
    let host = TestHost::start("").await;
    let manager = host.manager();
    manager.define_connection("far", far("one/", 1), Existing::Refuse).await.unwrap();
    let route = json!({ "listen": "mqtt://127.0.0.1:0?anonymous=true", "to": "connections.far" });
    let route = serde_json::from_value(route).unwrap();
    let near = manager.add_route(route, Existing::Refuse).await.unwrap();
    let uri = format!("mqtt://{}", near.local_addr().unwrap());
    let sub = ["-t", "#", "-q", "2", "-C", "3", "-d", "-F", "%t %q %p."];
    let mut sub = mosquitto_sub(mosquitto.port, &sub).await;
    let old = host.open(&uri, json!({})).await.unwrap();
    let params = |text: &str| json!({ "topic": "lab/a", "payload": text, "qos": 2 });
    old.call("publish", &params("before")).await.unwrap();
    assert_eq!(sub.logged("one/a 1 ").await.unwrap(), "before.");
    manager.define_connection("far", far("two/", 2), Existing::Replace).await.unwrap();
    let new = host.open(&uri, json!({ "subscribe": "lab/b", "qos": 2 })).await.unwrap();
    new.call("publish", &params("after")).await.unwrap();
    assert_eq!(sub.logged("two/a 2 ").await.unwrap(), "after.");
    old.call("publish", &params("as before")).await.unwrap();
    assert_eq!(sub.logged("one/a 1 as ").await.unwrap(), "before.");
    mosquitto_pub(mosquitto.port, &["-t", "two/b", "-q", "2", "-m", "in"]).await.ok();
    let came = new.take_messages().unwrap().next().await.unwrap().unwrap();
    assert_eq!(metadata(&came)["topic"], "lab/b");
    assert_eq!(metadata(&came)["qos"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_a_broker_goes_to_a_websocket_and_what_that_says_to_another_topic() {
    let toml = "[handlers.broker]\nhandler = \"mqtt_broker\"\n\
                [[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"handlers.broker\"\n";
    let broker = TestHost::start(toml).await;
    let port = broker.address(0).port();
    let host = TestHost::start(&format!(
        "[connections.lab]\nuri = \"mqtt://127.0.0.1:{port}\"\n\
         options = {{ topic = \"page/out\", subscribe = [\"page/in\"], qos = 1 }}\n\
         [[routes]]\nlisten = \"ws://127.0.0.1:0/\"\nto = \"connections.lab\"\n"
    ))
    .await;
    let page = host.open(&format!("ws://{}/", host.address(0)), json!({})).await.unwrap();
    let mut page = page.take_messages().unwrap();
    let sub = ["-t", "page/out", "-q", "1", "-C", "2", "-d", "-F", "%t %q %p."];
    let mut sub = mosquitto_sub(port, &sub).await;
    page.send(Message::text("one")).await.unwrap();
    page.send(Message::text("two")).await.unwrap();
    assert_eq!(sub.logged("page/out 1 ").await.unwrap(), "one.");
    assert_eq!(sub.logged("page/out 1 two").await.unwrap(), ".");
    mosquitto_pub(port, &["-t", "page/in", "-q", "1", "-m", "go"]).await.ok();
    assert_eq!(page.next().await.unwrap().unwrap().payload, "go");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_over_a_stream_of_quic() {
    let certs = Certs::new();
    let toml = format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\n\
         [[routes]]\nlisten = \"mqtt+quic://127.0.0.1:0\"\nto = \"handlers.broker\"\n\
         options = {{ anonymous = true, quic = {{ alpn = [\"mqtt\"], certificate_file = {:?}, key_file = {:?} }} }}\n",
        certs.server.certificate, certs.server.key
    );
    let broker = TestHost::start(&toml).await;
    let uri = format!("mqtt+quic://localhost:{}", broker.address(0).port());
    let host = TestHost::start("").await;
    for version in ["3.1.1", "5"] {
        let options = json!({
            "version": version, "subscribe": "lab/#", "qos": 2,
            "quic": { "ca_file": certs.ca, "alpn": ["mqtt"] },
        });
        let session = host.open(&uri, options).await.unwrap();
        let facts = session.info().facts;
        assert_eq!((&facts["alpn"], &facts["version"]), (&json!("mqtt"), &json!(version)));
        assert!(session.info().encrypted);
        let mut messages = session.take_messages().unwrap();
        for qos in 0..=2 {
            let params = json!({ "topic": "lab/a", "payload": version, "qos": qos });
            session.call("publish", &params).await.unwrap();
            let came = messages.next().await.unwrap().unwrap();
            assert_eq!(
                (&came.payload[..], &metadata(&came)["qos"]),
                (version.as_bytes(), &json!(qos))
            );
        }
        session.ping().await.unwrap();
        session.close(0, "").await.unwrap();
        assert!(messages.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_topic_are_operations_of_the_destination_and_are_answered() {
    let calls = "topic = \"out\", calls = [\
                 { topic = \"do/signal\", operation = \"signal\" }, \
                 { topic = \"do/+\", operation = \"none\", answer = \"done\" }]";
    let toml = format!(
        "[connections.cat]\nuri = \"process:\"\noptions = {{ shell = \"cat\" }}\n{}",
        route("connections.cat", calls)
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("mqtt://{}", host.address(0));
    let session = host.open(&uri, json!({ "subscribe": "#", "qos": 1 })).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    let call = async |topic: &str, payload: &str| {
        let params = json!({
            "topic": topic, "payload": payload, "qos": 1,
            "response_topic": format!("answer/{topic}"), "correlation": "7",
        });
        session.call("publish", &params).await
    };
    // A message is still one.
    session.call("publish", &json!({ "topic": "a", "payload": "hello" })).await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap().payload, "hello");
    // The destination has no such operation, and what is no object is none.
    call("do/this", "").await.unwrap();
    let came = messages.next().await.unwrap().unwrap();
    assert_eq!(
        (&came.payload[..], &metadata(&came)["topic"]),
        (&b"{\"failed\":true}"[..], &json!("answer/do/this"))
    );
    assert_eq!(call("do/signal", "TERM").await.unwrap_err().code(), Some(0x99));
    call("do/signal", "{\"name\":\"CONT\"}").await.unwrap();
    let came = messages.next().await.unwrap().unwrap();
    let beside = metadata(&came);
    assert_eq!(
        (&beside["topic"], &beside["correlation"]),
        (&json!("answer/do/signal"), &json!("Nw=="))
    );
    let answer: serde_json::Value = serde_json::from_slice(&came.payload).unwrap();
    assert!(answer.get("result").is_some(), "{answer}");
    // Where a message says no topic for its answer, as by 3.1.1, it is that of the option.
    session.call("publish", &json!({ "topic": "do/that", "qos": 1 })).await.unwrap();
    let came = messages.next().await.unwrap().unwrap();
    assert_eq!(metadata(&came)["topic"], "done");
}
