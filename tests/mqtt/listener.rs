//! A listener whose sessions go to something that is not MQTT, and to a broker.

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        echo::TcpPeer,
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
async fn what_clients_publish_goes_to_a_stream_and_what_it_says_to_subscribers() {
    let echo = TcpPeer::echo().await;
    let host = TestHost::start(&route(&echo.uri(), "topic = \"line\"")).await;
    let port = host.address(0).port();
    for version in ["mqttv311", "mqttv5"] {
        let sub =
            ["-V", version, "-t", "li+", "-t", "line", "-t", "#", "-q", "1", "-d", "-F", "%t %p."];
        drop(mosquitto_sub(port, &sub).await);
        mosquitto_pub(port, &["-V", version, "-t", "any", "-q", "2", "-m", "to the line"])
            .await
            .ok();
    }
    echo.has_received(22).await;
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
