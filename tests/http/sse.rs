//! What a destination sends, as server-sent events.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    host::TestHost,
    peers::{curl::curl, echo::TcpPeer, http::sse_client},
    process::DEADLINE,
};

/// A host that tells by server-sent events what `to` sends.
async fn telling(to: &str) -> TestHost {
    TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"{to}\"\nsse = true\n"
    ))
    .await
}

fn url(host: &TestHost) -> String {
    format!("http://{}/events", host.address(0))
}

/// The data of events, as another's client understands them.
async fn heard(host: &TestHost) -> Value {
    let text = sse_client(&url(host)).await.ok().text();
    Value::Array(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

async fn is_read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(timeout(DEADLINE, stream.read_u8()).await.expect("in time").unwrap());
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_stream_are_events() {
    let lines = b"first\r\n\n data: x\nid: 7\nover\rwritten\ncaf\xc3\xa9 \xff\nrest";
    let peer = TcpPeer::sending(lines).await;
    let host = telling(&peer.uri()).await;
    let all = json!(["first", "", " data: x", "id: 7", "over\nwritten", "café \u{fffd}", "rest"]);
    assert_eq!(heard(&host).await, all);
    let address = url(&host);
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let ran = curl(None, &[flag, "-i", &address]).await.ok();
        let text = ran.text();
        assert!(text.contains("content-type: text/event-stream\r\n"), "{text}");
        assert!(text.contains("\ndata: over\ndata: written\n\n"), "{text}");
    }
    let before = peer.accepted();
    let ran = curl(None, &["-I", &address]).await.ok();
    assert!(ran.text().contains("content-type: text/event-stream\r\n"), "{}", ran.text());
    let ran = curl(None, &["-i", "-d", "x", &address]).await.ok();
    assert!(ran.text().starts_with("HTTP/1.1 405 "), "{}", ran.text());
    assert!(ran.text().contains("allow: GET, HEAD\r\n"), "{}", ran.text());
    assert_eq!(peer.accepted(), before, "what wants no events opens nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_told_in_pieces() {
    let peer = TcpPeer::sending("é".repeat(100_000)).await;
    let host = telling(&peer.uri()).await;
    let told = heard(&host).await;
    let told: Vec<&str> =
        told.as_array().unwrap().iter().map(|data| data.as_str().unwrap()).collect();
    assert!(told.len() > 1 && told.iter().all(|data| data.len() <= 64 << 10));
    assert_eq!(told.concat(), "é".repeat(100_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_events() {
    let peer = TcpPeer::sending("two\nlines").await;
    let route = "[[routes]]\nlisten = \"ws://127.0.0.1:0\"\nframes = \"text\"";
    let far = TestHost::start(&format!("{route}\nto = \"{}\"\n", peer.uri())).await;
    let host = telling(&format!("ws://{}", far.address(0))).await;
    assert_eq!(heard(&host).await, json!(["two\nlines"]));
}

/// Says that it is ready, and waits for its client's end.
async fn ready() -> TcpPeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpPeer::serve_on(listener, |mut stream, _| async move {
        let _ = stream.write_all(b"ready\n").await;
        let _ = stream.read_u8().await;
    })
}

/// Asks for events, and has had one with `data`.
async fn hearing(host: &TestHost, data: &str) -> TcpStream {
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    is_read_until(&mut client, data).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_the_client_and_with_the_host() {
    let peer = ready().await;
    let host = telling(&peer.uri()).await;
    let first = hearing(&host, "data: ready\n\n").await;
    let mut second = hearing(&host, "data: ready\n\n").await;
    assert_eq!(peer.accepted(), 2);
    drop(first);
    peer.has_ended(1).await;
    assert_eq!(host.shutdown().await, 0, "what never ends by itself had to be ended");
    let end = is_read_until(&mut second, "0\r\n\r\n").await;
    assert!(!end.contains("data:"), "{end}");
    peer.has_none_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_is_watched_by_events() {
    let peer = TcpPeer::echo().await;
    let uri = peer.uri();
    let more = format!(
        "[devices.core1.paths]\nconsole = {{ uri = \"{uri}\", exclusive = true }}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"devices.core1\"\nsse = true\n\
         observe = true\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.core1\"\n"
    );
    let host = TestHost::start(&more).await;
    let mut watching = hearing(&host, ":\n\n").await;
    let mut user = TcpStream::connect(host.address(1)).await.unwrap();
    user.write_all(b"show version\n").await.unwrap();
    is_read_until(&mut watching, "data: show version\n\n").await;
    assert_eq!(peer.accepted(), 1, "whoever watches opens nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_not_there_is_a_bad_gateway() {
    let gone = crate::support::ports::free();
    let host = telling(&format!("tcp://127.0.0.1:{gone}")).await;
    let ran = curl(None, &["-i", &url(&host)]).await.ok();
    assert!(ran.text().starts_with("HTTP/1.1 502 "), "{}", ran.text());
}
