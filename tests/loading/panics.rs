//! What the log says of a panic: one line, with the plugin, what it did and for whom.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::blocked::{Host, To};

#[tokio::test]
async fn a_panic_is_one_line_that_names_plugin_operation_and_connection_also_as_json() {
    for (to, at, kind) in [(To::Handler, "serve", "handler"), (To::Driver, "read", "driver")] {
        let fault = json!({ "at": at, "how": "panic" });
        let mut host = Host::start(to, &fault, &["log.format=json"]).await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let peer = socket.local_addr().expect("an address").to_string();
        // A session that panics is cut off with a reset, which may come before it is known to be there.
        if let Ok(mut victim) = socket.connect(host.host.address(1)).await {
            let _ = victim.write_all(b"go").await;
            while victim.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
        }
        host.host.logged("a plugin panicked").await;
        let log = host.host.log();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        let told: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        let [line] = told[..] else { panic!("one line at ERROR: {log}") };
        for (field, expected) in [
            ("message", "a plugin panicked"),
            ("plugin", "jackfield-faulty"),
            (kind, "faulty"),
            ("operation", at),
            ("peer", &peer),
        ] {
            assert_eq!(line[field].as_str(), Some(expected), "{field}: {log}");
        }
        let said = line["panic"].as_str().unwrap_or_default();
        assert!(said.starts_with("told to panic at "), "{log}");
        assert!(
            line["location"].as_str().is_some_and(|place| place.contains("fault.rs:")),
            "{log}"
        );
        assert_eq!(line["connection"].as_u64(), Some(1), "{log}");
        assert!(line["listener"].as_str().is_some_and(|uri| uri.starts_with("tcp://")), "{log}");
    }
}

#[tokio::test]
async fn a_panic_whose_text_has_lines_and_colours_is_still_one_line_of_json() {
    let fault = json!({ "at": "serve", "how": "panic_long" });
    let mut host = Host::start(To::Handler, &fault, &["log.format=json"]).await;
    let mut victim = host.dial(1).await;
    // Cut off with an end or a reset.
    while victim.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
    host.host.logged("a plugin panicked").await;
    let log = host.host.log();
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|it| it.is_object()), "{line:.200}");
        assert!(line.len() < 64 << 10 && !line.contains('\x1b'), "{}", line.len());
    }
    // The words in it that look like a line of the log are none.
    let told = |line: &&str| line.contains("\"level\":\"ERROR\"");
    assert_eq!(log.lines().filter(told).count(), 1, "{log:.2000}");
}

#[tokio::test]
async fn the_end_of_a_session_that_panicked_says_so() {
    let mut host = Host::start(To::Handler, &json!({ "at": "serve", "how": "panic" }), &[]).await;
    let mut victim = host.dial(1).await;
    assert_eq!(victim.read(&mut [0]).await.expect("an end"), 0);
    host.line(&["session failed", "route=\"handlers.faulty\"", "end=\"panicked\"", "INFO"]).await;
}

#[tokio::test]
async fn a_plugin_that_panics_too_often_is_left_out_and_tried_again() {
    let fault = json!({ "at": "serve", "how": "panic" });
    let settings = ["host.quarantine.panics=2", "host.quarantine.pause=\"50ms\""];
    let mut host = Host::start(To::Handler, &fault, &settings).await;
    for _ in 0..2 {
        assert_eq!(host.dial(1).await.read(&mut [0]).await.expect("an end"), 0);
    }
    let parts =
        ["the plugin is in quarantine", "plugin=\"jackfield-faulty\"", "panics=2", "pause=50ms"];
    host.line(&parts).await;
    // After the pause it is tried; it panics, and is left out for longer.
    while !host.host.log().contains("pause=100ms") {
        let _ = host.dial(1).await.read(&mut [0]).await;
    }
    host.line(&["the plugin is tried again, with one session at a time"]).await;
}
