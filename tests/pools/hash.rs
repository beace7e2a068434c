//! What of a session decides which target it meets.

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::Message;
use serde_json::json;

use super::*;
use crate::support::{host::exchange, peers::echo::TcpPeer};

async fn peers() -> ([TcpPeer; 3], String) {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await, TcpPeer::echo().await];
    let uris = peers.each_ref().map(|peer| format!("\"{}\"", peer.uri())).join(", ");
    let upstream = format!("[upstreams.u]\ntargets = [{uris}]\nbalance = \"consistent_hash\"\n");
    (peers, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_port_one_peer_meets_all_targets() {
    let (peers, upstream) = peers().await;
    let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.u\"\n";
    let host = TestHost::start(&format!("{route}hash = \"peer_port\"\n{upstream}")).await;
    for _ in 0..60 {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    }
    let accepted = peers.each_ref().map(TcpPeer::accepted);
    assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_one_fact_meet_at_one_target() {
    let (peers, upstream) = peers().await;
    let route = "[[routes]]\nlisten = \"ws://127.0.0.1:0/in\"\nto = \"upstreams.u\"\n";
    let host = TestHost::start(&format!("{route}hash = \"info.path\"\n{upstream}")).await;
    let counts = || peers.each_ref().map(TcpPeer::accepted);
    let mut met = std::collections::BTreeSet::new();
    for room in 0..20 {
        let mut at = Vec::new();
        for _ in 0..2 {
            let before = counts();
            let uri = format!("ws://{}/in?room={room}", host.address(0));
            let session = host.open(&uri, json!({})).await.unwrap();
            let mut messages = session.take_messages().expect("messages");
            messages.send(Message::binary("over")).await.unwrap();
            let back = messages.next().await.expect("an answer").unwrap();
            assert_eq!(&back.payload[..], b"over");
            let after = counts();
            at.push((0..3).find(|at| after[*at] > before[*at]).expect("a target"));
        }
        assert_eq!(at[0], at[1], "room {room}");
        met.insert(at[0]);
    }
    assert!(met.len() > 1, "not all rooms are at one target");
}
