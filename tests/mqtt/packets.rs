//! Events of packets, and how a connection that nobody reads knows of its end.

use jackfield::connection::State;
use jackfield_plugin_api::Session;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use super::raw::{Raw, connack_5};
use crate::{
    reload::soon,
    support::{certs::Certs, host::TestHost, peers::mqtt::Mosquitto, process::DEADLINE},
};

/// The packets of a session that has ended: who has sent each, and which it is.
async fn told(session: &Session) -> Vec<(String, String)> {
    let mut packets = Vec::new();
    while let Some(event) = timeout(DEADLINE, session.next_event()).await.expect("in time").unwrap()
    {
        if event.name == "packet" {
            assert!(!event.data.to_string().contains("hunter2"), "{:?}", event.data);
            let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
            packets.push((text("by"), text("packet")));
        }
    }
    packets
}

#[tokio::test(flavor = "multi_thread")]
async fn each_packet_of_both_sides_is_an_event_where_that_is_wanted() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    let uri = format!("mqtt://lab:hunter2@127.0.0.1:{}", mosquitto.port);
    let publish = json!({ "topic": "lab/a", "payload": "hunter2", "qos": 2 });
    for wanted in [true, false] {
        let session = host.open(&uri, json!({ "packets": wanted })).await.unwrap();
        session.call("publish", &publish).await.unwrap();
        session.ping().await.unwrap();
        session.close(0, "").await.unwrap();
        let expected = [
            ("us", "CONNECT"),
            ("peer", "CONNACK"),
            ("us", "PUBLISH"),
            ("peer", "PUBREC"),
            ("us", "PUBREL"),
            ("peer", "PUBCOMP"),
            ("us", "PINGREQ"),
            ("peer", "PINGRESP"),
            ("us", "DISCONNECT"),
        ];
        let expected = expected.map(|(by, packet)| (by.to_owned(), packet.to_owned()));
        assert_eq!(told(&session).await, if wanted { &expected[..] } else { &[] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_packets_than_are_kept_the_oldest_are_counted() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    let options = json!({ "packets": true, "events": 4 });
    let session = host.open(&mosquitto.uri(), options).await.unwrap();
    for _ in 0..10 {
        session.ping().await.unwrap();
    }
    let event = session.next_event().await.unwrap().unwrap();
    assert_eq!((&*event.name, &event.data), ("events_dropped", &json!({ "count": 18 })));
    let mut names: Vec<Value> = Vec::new();
    for _ in 0..4 {
        names.push(session.next_event().await.unwrap().unwrap().data["packet"].clone());
    }
    assert_eq!(names, ["PINGREQ", "PINGRESP", "PINGREQ", "PINGRESP"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_only_publishes_knows_at_once_that_its_server_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let host = TestHost::start(&format!(
        "[connections.site]\nuri = \"mqtt://{address}\"\noptions = {{ keepalive = 0 }}\n\
         keepalive = \"0s\"\nreconnect = {{ attempts = 0 }}\n"
    ))
    .await;
    let opening = host.manager().get_or_connect("site", DEADLINE);
    let (live, server) = tokio::join!(opening, async {
        let mut server = Raw::accept(&listener).await;
        assert_eq!(server.packet().await.0, 0x10);
        server.send(&connack_5()).await;
        server
    });
    let live = live.unwrap();
    assert_eq!(live.state(), State::Connected);
    drop(server);
    soon("the loss", async || live.state() != State::Connected).await;
}
