//! A client that reads server-sent events, from servers that are written by hand.

use super::*;

fn reading() -> HttpOptions {
    HttpOptions { sse: true, max_event: 32, body_timeout: 5, ..HttpOptions::default() }
}

/// What becomes of a client that is answered with `bytes`, whose server then stays.
async fn answered(bytes: &[u8]) -> (Result<Session>, Stream) {
    let (near, far) = testing::carriers(CAPACITY);
    let mut server = far.take_stream().unwrap();
    let answering = async {
        let head = head_of(&mut server).await;
        for field in
            ["GET /start HTTP/1.1", "accept: text/event-stream", "accept-encoding: identity"]
        {
            assert!(head.contains(field), "{head}");
        }
        server.write_all(bytes).await.unwrap();
    };
    let (session, ()) = tokio::join!(open(reading(), near), answering);
    (session, server)
}

#[tokio::test]
async fn answers_without_events_are_refused() {
    for (head, kind, text) in [
        ("204 No Content\r\n", ErrorKind::Refused, "answered 204 and gives no events"),
        ("401 Unauthorized\r\ncontent-length: 0\r\n", ErrorKind::Denied, "answered 401"),
        ("200 OK\r\ncontent-length: 0\r\n", ErrorKind::Protocol, "something else"),
        ("200 OK\r\ncontent-type: text/html\r\n", ErrorKind::Protocol, "content_type=text/html"),
        (
            "200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n",
            ErrorKind::Protocol,
            "content_encoding=gzip",
        ),
    ] {
        let (session, _server) = answered(format!("HTTP/1.1 {head}\r\n").as_bytes()).await;
        let error = session.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream;x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn events_come_until_one_is_too_long_or_the_server_is_silent() {
    for (rest, kind) in [
        (format!("data: {}\n\n", "x".repeat(40)), ErrorKind::Limit),
        (":".repeat(40), ErrorKind::Limit),
        ("data: more".to_owned(), ErrorKind::TimedOut),
    ] {
        let text = format!("{HEAD}data: a\nid: 7\n\n{rest}");
        let (session, _server) = answered(text.as_bytes()).await;
        let mut messages = session.unwrap().take_messages().unwrap();
        let first = messages.next().await.unwrap().unwrap();
        assert_eq!(
            (&first.payload[..], &first.metadata[..]),
            (&b"a"[..], &br#"{"event":"message","id":"7"}"#[..])
        );
        let error = messages.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(messages.next().await.is_none());
    }
}

#[tokio::test]
async fn closing_tells_the_server() {
    let (session, mut server) = answered(HEAD.as_bytes()).await;
    let session = session.unwrap();
    let mut messages = session.take_messages().unwrap();
    session.close(0, "").await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(messages.next().await.is_none_or(|last| last.is_err()));
}

#[tokio::test]
async fn a_listener_reads_no_events() {
    let error = accept(reading(), testing::carriers(64).0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("sse"), "{error}");
}
