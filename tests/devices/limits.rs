//! The limits that a path has by its own keys hold for whoever goes there.

use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, json};
use tokio::time::timeout;

use crate::support::{
    host::{TestHost, exchange},
    jackfield::{Config, ran},
    peers::echo::TcpPeer,
    process::DEADLINE,
};

/// A path to a peer that never answers the handshake. The host itself would wait for an hour: what ends in
/// this test ends by the key of the path.
fn never_open(peer: &TcpPeer) -> String {
    format!(
        "[host.timeouts]\nconnect = \"1h\"\nhandshake = \"1h\"\n\
         [devices.d.paths.p]\nuri = \"tls+tcp://{}\"\nconnect_timeout = \"200ms\"\n\
         options = {{ danger_skip_verification = true }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.d.p\"\n",
        peer.address()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_timeout_of_a_path_holds_for_routes() {
    let peer = TcpPeer::black_hole().await;
    let host = TestHost::start(&never_open(&peer)).await;
    let ended = timeout(DEADLINE, exchange(host.address(0), b"x")).await;
    let answer = ended.expect("the client is let go");
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_timeout_of_a_path_holds_for_calls() {
    let peer = TcpPeer::black_hole().await;
    let host = TestHost::start(&never_open(&peer)).await;
    let (options, params) = (Map::new(), json!({ "text": "x", "pattern": "x" }));
    let called = host.manager().call("devices.d.p", &options, "send_expect", &params);
    let error = timeout(DEADLINE, called).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connect_timeout_of_a_path_holds_for_connect() {
    let peer = TcpPeer::black_hole().await;
    let config = Config::new(&never_open(&peer));
    let done = ran(&["connect", "devices.d", "--config", &config.file()], "").await;
    assert_eq!(done.code, Some(1));
    let host = TestHost::start(&never_open(&peer)).await;
    let opened = timeout(DEADLINE, host.open("devices.d.p", json!({}))).await;
    let error = opened.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}
