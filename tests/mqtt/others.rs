//! Brokers that are not mosquitto: aedes and amqtt, both of 3.1.1.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;

use super::client::{message, metadata};
use crate::support::{
    host::TestHost,
    peers::mqtt::{Aedes, Amqtt, mosquitto_pub, mosquitto_sub},
};

#[tokio::test(flavor = "multi_thread")]
async fn amqtt_has_every_quality_of_service() {
    let host = TestHost::start("").await;
    let amqtt = Amqtt::start().await;
    let uri = format!("mqtt://127.0.0.1:{}", amqtt.port);
    let options = json!({ "version": "3.1.1", "subscribe": "lab/#", "qos": 2 });
    let session = host.open(&uri, options).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    for qos in 0..=2 {
        messages.send(message("lab/a", qos, &format!("{qos}"))).await.unwrap();
        let came = messages.next().await.unwrap().unwrap();
        // amqtt gives a message the quality of service of the subscription.
        assert_eq!(came.payload, qos.to_string());
    }
    session.ping().await.unwrap();
    session.close(0, "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn aedes_has_every_quality_of_service_and_retained_messages() {
    let host = TestHost::start("").await;
    let aedes = Aedes::start().await;
    let options = json!({ "version": "3.1.1", "subscribe": "lab/#", "qos": 2 });
    let session = host.open(&aedes.uri(), options).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    for qos in 0..=2 {
        messages.send(message("lab/a", qos, &format!("{qos}"))).await.unwrap();
        let came = messages.next().await.unwrap().unwrap();
        assert_eq!(
            (&came.payload[..], &metadata(&came)["qos"]),
            (qos.to_string().as_bytes(), &json!(qos))
        );
    }
    let kept = json!({ "topic": "lab/kept", "payload": "21.5", "qos": 1, "retain": true });
    session.call("publish", &kept).await.unwrap();
    let late = json!({ "version": "3.1.1", "subscribe": "lab/kept" });
    let late = host.open(&aedes.uri(), late).await.unwrap();
    let came = late.take_messages().unwrap().next().await.unwrap().unwrap();
    assert_eq!((&came.payload[..], &metadata(&came)["retain"]), (&b"21.5"[..], &json!(true)));
    session.ping().await.unwrap();
    session.close(0, "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn aedes_keeps_a_session_for_its_next_connection() {
    let aedes = Aedes::start().await;
    let host = TestHost::start(&format!(
        "[connections.far]\nuri = \"{}\"\noptions = {{ version = \"3.1.1\", client_id = \"jack\", \
         clean_start = false, subscribe = [\"lab/#\"], qos = 1 }}\n",
        aedes.uri()
    ))
    .await;
    let first = host.open("connections.far", json!({})).await.unwrap();
    assert_eq!(first.info().facts["session_present"], false);
    first.close(0, "").await.unwrap();
    mosquitto_pub(aedes.port, &["-t", "lab/a", "-q", "1", "-m", "meanwhile"]).await.ok();
    let second = host.open("connections.far", json!({})).await.unwrap();
    assert_eq!(second.info().facts["session_present"], true);
    let came = second.take_messages().unwrap().next().await.unwrap().unwrap();
    assert_eq!(came.payload, "meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_to_aedes_passes_both_ways() {
    let mut aedes = Aedes::start().await;
    let host = TestHost::start(&format!(
        "[connections.far]\nuri = \"{}\"\noptions = {{ version = \"3.1.1\", \
         map = [{{ local = \"lab/\", remote = \"site7/\", qos = 1 }}] }}\n\
         [[routes]]\nlisten = \"mqtt://127.0.0.1:0?anonymous=true\"\nto = \"connections.far\"\n",
        aedes.uri()
    ))
    .await;
    let port = host.address(0).port();
    let sub = ["-t", "lab/+", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut near = mosquitto_sub(port, &sub).await;
    aedes.logged("subscribes to site7/+ 1").await;
    mosquitto_pub(aedes.port, &["-t", "site7/a", "-q", "2", "-m", "21.5"]).await.ok();
    assert_eq!(near.logged("lab/a 1 ").await.unwrap(), "21.5.");
    let sub = ["-t", "site7/#", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
    let mut far = mosquitto_sub(aedes.port, &sub).await;
    mosquitto_pub(port, &["-t", "lab/b", "-q", "2", "-m", "on"]).await.ok();
    assert_eq!(far.logged("site7/b 1 ").await.unwrap(), "on.");
}
