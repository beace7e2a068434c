//! A listener whose sessions go to something that is not MQTT, and to a broker.

use futures_util::{SinkExt, StreamExt};
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
        "[[routes]]\nlisten = \"mqtt://127.0.0.1:0\"\nto = \"{to}\"\noptions = {{ {options} }}\n"
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
