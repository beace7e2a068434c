//! What a client can cost: bodies, heads, time, connections, readers of events.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{AdminHost, answer};
use crate::support::process::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_and_not_taken_in() {
    let host = AdminHost::start("").await;
    let head = |length: &str| {
        format!(
            "PUT /v1/connections/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{length}\r\n\r\n"
        )
    };
    let told = host.raw(head("content-length: 104857600").as_bytes()).await;
    assert!(told.refused(413)["detail"].as_str().unwrap().contains("1048576 bytes"));
    // One that does not say how large it is.
    let mut stream = host.connect().await;
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        let mut sent = 0_usize;
        while write.write_all(&chunk).await.is_ok() && sent < 100 << 20 {
            sent += 0x10000;
        }
        sent
    });
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, read.read_to_end(&mut bytes)).await.expect("an end");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    drop(read);
    let sent = sending.await.unwrap();
    assert!(sent < 32 << 20, "{sent} bytes were taken");
    assert_eq!(host.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_and_a_slow_body_come_to_an_end() {
    let host = AdminHost::start_with("request_timeout = \"200ms\"", "").await;
    let mut slow_head = host.connect().await;
    slow_head.write_all(b"GET /v1/status HTTP/1.1\r\nhost: lo").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, slow_head.read_to_end(&mut rest)).await.expect("an end");
    let slow_body = host
        .raw(b"PUT /v1/connections/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{")
        .await;
    assert!(slow_body.refused(408)["detail"].as_str().unwrap().contains("admin.request_timeout"));
    assert_eq!(host.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_asks_too_often_is_refused_for_a_moment() {
    let host = AdminHost::start_with("max_requests = 2", "").await;
    let mut refused = None;
    for _ in 0..1_000 {
        let told = host.get("/v1/status").await;
        if told.status != 200 {
            refused = Some(told);
            break;
        }
    }
    let told = refused.expect("a refusal");
    assert!(told.head.contains("retry-after: 1"), "{told:?}");
    let problem = told.refused(429);
    assert!(problem["detail"].as_str().unwrap().contains("admin.max_requests"), "{problem}");
    let may_again = async || host.get("/v1/status").await.status == 200;
    crate::reload::soon("another request", may_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_or_no_heads_at_all_are_refused() {
    let host = AdminHost::start("").await;
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = format!("GET /v1/status HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert_eq!(host.raw(many.as_bytes()).await.status, 431);
    let long =
        format!("GET /v1/status?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(200_000));
    let long = host.raw(long.as_bytes()).await;
    assert!([414, 431, 400, 0].contains(&long.status), "{long:?}");
    assert_eq!(host.raw(b"\x16\x03\x01\x02\x00").await.status, 400);
    assert_eq!(host.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_lead_nowhere_else() {
    let host = AdminHost::start("").await;
    for path in [
        "/v1/../../etc/passwd",
        "/v1/connections/../status",
        "/v1/connections/..%2f..%2fstatus",
        "/v1/connections/%2e%2e",
        "//v1/status",
        "/v1/status/",
        "/v1/connections/a/b/c/d",
    ] {
        let answer = host.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    for path in ["/v1/connections/%00", "/v1/connections/%ff%fe", "/v1/connections/%0d%0a"] {
        assert_eq!(host.get(path).await.status, 400, "{path}");
    }
    let name = "x".repeat(10_000);
    host.put(&format!("/v1/connections/{name}"), json!({ "uri": "tcp://h:1" })).await.refused(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_events_are_bounded_and_leave_room_for_others() {
    let host = AdminHost::start_with("max_connections = 40\nmax_subscribers = 3", "").await;
    let follow = b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut stream = host.connect().await;
        stream.write_all(follow).await.unwrap();
        stream.read_exact(&mut [0; 64]).await.unwrap();
        readers.push(stream);
    }
    for _ in 0..200 {
        let refused = host.get("/v1/events").await.refused(503);
        assert!(refused["detail"].as_str().unwrap().contains("admin.max_subscribers"), "{refused}");
    }
    drop(readers.pop());
    // Its place is free once the host has seen that it is gone.
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let mut stream = host.connect().await;
        stream.write_all(follow).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        if &first == b"HTTP/1.1 200" {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "no place became free");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so() {
    let host = AdminHost::start_with("max_connections = 2", "").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = host.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        held.push(stream);
    }
    let mut many: Vec<UnixStream> = Vec::new();
    for _ in 0..100 {
        many.push(host.connect().await);
    }
    for mut stream in many {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let told = answer(&mut stream).await;
        assert!(told.refused(503)["detail"].as_str().unwrap().contains("admin.max_connections"));
    }
}
