//! Both roles of the driver against each other and against scripted peers, over memory.

#[path = "control_tests.rs"]
mod control;
#[path = "handshake_tests.rs"]
mod handshake;

use crate::{WsDriver, WsOptions};
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Message, MessageKind, Messages, Request, Result, Role,
    Session, Stream, testing,
};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CAPACITY: usize = 64 * 1024;

fn request(path: &str, carrier: Session) -> Request {
    let address = Address::new("a.test", 80).with_path(path);
    Request::new(address, testing::DEADLINE).with_carrier(carrier)
}

async fn pair(client: WsOptions, server: WsOptions) -> (Session, Session) {
    let (near, far) = testing::carriers(CAPACITY);
    let (opened, accepted) = tokio::join!(open(client, "/x", near), accept(server, "/x", far));
    (opened.unwrap(), accepted.unwrap())
}

async fn open(options: WsOptions, path: &str, carrier: Session) -> Result<Session> {
    let driver = WsDriver::new(testing::host()).unwrap();
    let endpoint = driver.configure(options, Role::Client).unwrap();
    driver.open(&endpoint, request(path, carrier)).await
}

async fn accept(options: WsOptions, path: &str, carrier: Session) -> Result<Session> {
    let driver = WsDriver::new(testing::host()).unwrap();
    let endpoint = driver.configure(options, Role::Server).unwrap();
    driver.accept(&endpoint, request(path, carrier)).await
}

/// A server, and a client that the test writes byte by byte after a good handshake.
async fn raw_client(server: WsOptions) -> (Session, Stream) {
    let (near, far) = testing::carriers(CAPACITY);
    let mut near = near.take_stream().unwrap();
    let request =
        b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    near.write_all(request).await.unwrap();
    let session = accept(server, "/x", far).await.unwrap();
    let head = head(&mut near).await;
    // The example of RFC 6455 §1.3.
    assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    (session, near)
}

async fn head(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn fact<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Sends everything back until the end.
async fn echo(mut messages: Messages) -> Result<()> {
    while let Some(message) = messages.next().await {
        messages.send(message?).await?;
    }
    messages.close().await
}

#[tokio::test]
async fn messages_go_both_ways_and_the_facts_are_told() {
    let client = WsOptions {
        subprotocols: vec!["b".into(), "a".into()],
        origin: Some("https://page.test".into()),
        ..WsOptions::default()
    };
    let server = WsOptions {
        subprotocols: vec!["a".into()],
        origins: vec!["https://page.test".into()],
        ..WsOptions::default()
    };
    let (opened, accepted) = pair(client, server).await;
    assert_eq!(opened.info().facts["subprotocol"], "a");
    assert_eq!(accepted.info().facts["subprotocol"], "a");
    assert_eq!(accepted.info().facts["origin"], "https://page.test");
    assert_eq!(accepted.info().facts["path"], "/x");
    assert_eq!(opened.info().peer.as_deref(), Some("memory:2"));

    let served = tokio::spawn(echo(accepted.take_messages().unwrap()));
    let mut messages = opened.take_messages().unwrap();
    let sent: Vec<Message> = (0..100)
        .flat_map(|size| [Message::text("ü".repeat(size)), Message::binary(vec![1; size * 1000])])
        .collect();
    for message in &sent {
        messages.send(message.clone()).await.unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), *message);
    }
    opened.close(0, "done").await.unwrap();
    assert!(messages.next().await.is_none());
    served.await.unwrap().unwrap();
    assert_eq!(accepted.info().facts["close_code"], 1000);
    assert_eq!(accepted.info().facts["close_reason"], "done");
    let error = messages.send(Message::text("late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn pings_are_answered_whoever_receives() {
    let (opened, accepted) = pair(WsOptions::default(), WsOptions::default()).await;
    let mut far = accepted.take_messages().unwrap();
    // A message on its way before the answer is kept for its receiver.
    far.send(Message::text("first")).await.unwrap();
    let served = tokio::spawn(echo(far));
    opened.ping().await.unwrap();
    let mut messages = opened.take_messages().unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("first"));

    let received = tokio::spawn(async move {
        let end = messages.next().await;
        (messages, end)
    });
    let pings: Vec<_> = (0..5).map(|_| opened.ping()).collect();
    for ping in pings {
        ping.await.unwrap();
    }
    assert!(!received.is_finished());
    opened.close(1000, "").await.unwrap();
    assert!(received.await.unwrap().1.is_none());
    served.await.unwrap().unwrap();
    assert_eq!(opened.ping().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_ping_waits_for_the_receiver_when_much_came_before_its_answer() {
    let small = WsOptions { read_ahead: 1, ..WsOptions::default() };
    let (opened, accepted) = pair(small, WsOptions::default()).await;
    let mut far = accepted.take_messages().unwrap();
    for number in 0..3 {
        far.send(Message::text(number.to_string())).await.unwrap();
    }
    let served = tokio::spawn(echo(far));
    // Sends its ping, and reads no further than the first message.
    let mut ping = std::pin::pin!(opened.ping());
    let mut idle = Context::from_waker(Waker::noop());
    assert!(ping.as_mut().poll(&mut idle).is_pending());
    let mut messages = opened.take_messages().unwrap();
    for number in 0..3 {
        assert_eq!(messages.next().await.unwrap().unwrap(), Message::text(number.to_string()));
    }
    ping.await.unwrap();
    opened.close(0, "").await.unwrap();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn close_codes_arrive() {
    for (code, reason, normal) in
        [(1000, "", true), (1001, "away", false), (4001, "because", false), (1011, "", false)]
    {
        let (opened, accepted) = pair(WsOptions::default(), WsOptions::default()).await;
        let mut far = accepted.take_messages().unwrap();
        let (closed, end) = tokio::join!(opened.close(code, reason), far.next());
        closed.unwrap();
        assert_eq!(accepted.info().facts["close_code"], code);
        match end {
            None => assert!(normal, "{code}"),
            Some(end) => {
                let error = end.unwrap_err();
                assert_eq!((error.kind(), normal), (ErrorKind::Closed, false));
                assert_eq!((error.code(), error.code_space()), (Some(code), Some("websocket")));
                assert_eq!(fact(&error, "close_reason").unwrap_or(""), reason);
                assert!(far.next().await.is_none());
            }
        }
    }
    let (opened, _accepted) = pair(WsOptions::default(), WsOptions::default()).await;
    let error = opened.close(1006, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_connection_that_just_ends_is_an_error() {
    let (server, peer) = raw_client(WsOptions::default()).await;
    drop(peer);
    let error = server.take_messages().unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(error.message(), "the connection ended without a close frame");

    // In the middle of a frame, too.
    let (server, mut peer) = raw_client(WsOptions::default()).await;
    peer.write_all(&[0x81, 0x85, 0, 0, 0, 0, b'h']).await.unwrap();
    drop(peer);
    let error = server.take_messages().unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_is_told_why() {
    let limit = || WsOptions { max_message: 10, max_frame: 8, ..WsOptions::default() };
    let cases: [(&[u8], ErrorKind, u16); 7] = [
        (&[0x81, 0x02, b'h', b'i'], ErrorKind::Protocol, 1002),
        (&[0xc1, 0x80, 0, 0, 0, 0], ErrorKind::Protocol, 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], ErrorKind::Protocol, 1002),
        (&[0x80, 0x80, 0, 0, 0, 0], ErrorKind::Protocol, 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff], ErrorKind::Protocol, 1007),
        (&[0x82, 0xff, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], ErrorKind::Limit, 1009),
        (
            &[2, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0x86, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6],
            ErrorKind::Limit,
            1009,
        ),
    ];
    for (frame, kind, code) in cases {
        let (server, mut peer) = raw_client(limit()).await;
        let mut messages = server.take_messages().unwrap();
        let told = async {
            peer.write_all(frame).await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            drop(peer);
            answer
        };
        let (answer, end) = tokio::join!(told, messages.next());
        assert_eq!(end.unwrap().unwrap_err().kind(), kind, "{frame:x?}");
        assert_eq!(answer[0], 0x88, "{frame:x?}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{frame:x?}");
        assert!(messages.next().await.is_none());
    }
}

#[tokio::test]
async fn a_message_before_a_broken_rule_is_still_answered() {
    let (server, mut peer) = raw_client(WsOptions::default()).await;
    // A text, and a frame with a reserved bit right behind it.
    peer.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i', 0xc1, 0x80, 0, 0, 0, 0]).await.unwrap();
    let told = async {
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        drop(peer);
        answer
    };
    let (answer, served) = tokio::join!(told, echo(server.take_messages().unwrap()));
    assert_eq!(answer[..5], [0x81, 2, b'h', b'i', 0x88]);
    assert_eq!(served.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn what_is_too_long_or_no_text_is_not_sent() {
    let limit = WsOptions { max_message: 10, ..WsOptions::default() };
    let (opened, accepted) = pair(limit, WsOptions::default()).await;
    let mut messages = opened.take_messages().unwrap();
    for (message, kind) in [
        (Message::binary(vec![0; 11]), ErrorKind::Limit),
        (Message::of(MessageKind::TEXT, vec![0xff].into()), ErrorKind::Config),
        (Message::of(MessageKind(16), vec![].into()), ErrorKind::Unsupported),
    ] {
        assert_eq!(messages.send(message).await.unwrap_err().kind(), kind);
    }
    drop(accepted);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_is_not_waited_for() {
    let (server, peer) = raw_client(WsOptions::default()).await;
    let error = server.close(1000, "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(peer);

    let pinging = WsOptions { ping_interval: 30, ..WsOptions::default() };
    let (server, peer) = raw_client(pinging).await;
    let error = server.take_messages().unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.message().contains("the answer to a ping"), "{error}");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn regular_pings_keep_a_session_that_answers() {
    let pinging = WsOptions { ping_interval: 30, read_ahead: 1, ..WsOptions::default() };
    let (opened, accepted) = pair(pinging, WsOptions::default()).await;
    let mut far = accepted.take_messages().unwrap();
    // Nobody receives these: the answers to pings stand behind the second.
    far.send(Message::text("1")).await.unwrap();
    far.send(Message::text("2")).await.unwrap();
    let served = tokio::spawn(echo(far));
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let mut messages = opened.take_messages().unwrap();
    for text in ["1", "2"] {
        assert_eq!(messages.next().await.unwrap().unwrap(), Message::text(text));
    }
    let received = tokio::spawn(async move { messages.next().await });
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!received.is_finished());
    opened.close(0, "").await.unwrap();
    assert_eq!(received.await.unwrap(), None);
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flood_of_pings_without_reading_takes_bounded_memory() {
    const PINGS: usize = 20_000;
    let small = WsOptions { max_message: 100, write_buffer: 100, ..WsOptions::default() };
    let (server, mut peer) = raw_client(small).await;
    let mut messages = server.take_messages().unwrap();
    let mut ping = vec![0x89, 0xfd, 0, 0, 0, 0];
    ping.extend([0; 125]);
    let flood = async {
        for _ in 0..PINGS {
            peer.write_all(&ping).await.unwrap();
        }
        peer.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    };
    let (_, message) = tokio::join!(flood, messages.next());
    assert_eq!(message.unwrap().unwrap(), Message::text("hi"));
    let answers = async {
        let mut answers = Vec::new();
        peer.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        while !answers.ends_with(&[0x88, 0]) {
            answers.push(peer.read_u8().await.unwrap());
        }
        answers.len()
    };
    let (received, end) = tokio::join!(answers, messages.next());
    assert_eq!(end, None);
    assert!(received < CAPACITY + 3 * CAPACITY, "{received} bytes were kept");
    assert!(received > CAPACITY, "the peer has not been slow: {received}");
}

#[tokio::test]
async fn refusals_of_the_server_are_told_to_both() {
    let (near, far) = testing::carriers(CAPACITY);
    let (opened, accepted) = tokio::join!(
        open(WsOptions::default(), "/other?q", near),
        accept(WsOptions::default(), "/x", far)
    );
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.message(), "the server answered 404 Not Found and no WebSocket");
    assert_eq!(fact(&error, "path"), Some("/other?***"));
    let error = accepted.unwrap_err();
    assert_eq!(error.message(), "there is no WebSocket at /other");
    assert_eq!((fact(&error, "served"), fact(&error, "peer")), (Some("/x"), Some("memory:1")));

    let guarded = WsOptions { origins: vec!["https://a.test".into()], ..WsOptions::default() };
    let (near, far) = testing::carriers(CAPACITY);
    let (opened, accepted) =
        tokio::join!(open(WsOptions::default(), "/x", near), accept(guarded, "/x", far));
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(accepted.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn what_is_no_websocket_is_answered_and_told() {
    let huge = format!("GET /x HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET /x HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    let keyed = |keys: &[&str]| {
        let keys = keys.iter().map(|key| format!("Sec-WebSocket-Key: {key}\r\n"));
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        format!("GET /x HTTP/1.1\r\n{upgrade}\r\n{}\r\n", keys.collect::<String>())
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let twice = keyed(&[key, key]);
    let short = keyed(&["c2hvcnQ="]);
    let none = keyed(&[]);
    for (sent, status) in [
        (twice.as_str(), "400"),
        (short.as_str(), "400"),
        (none.as_str(), "400"),
        ("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "426"),
        ("POST /x HTTP/1.1\r\nHost: a.test\r\n\r\n", "405"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "400"),
        (huge.as_str(), "431"),
        (many.as_str(), "431"),
    ] {
        let (near, far) = testing::carriers(CAPACITY * 2);
        let mut near = near.take_stream().unwrap();
        let talk = async {
            near.write_all(sent.as_bytes()).await.unwrap();
            let head = head(&mut near).await;
            drop(near);
            head
        };
        let (head, accepted) = tokio::join!(talk, accept(WsOptions::default(), "/x", far));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        let error = accepted.unwrap_err();
        assert_eq!(error.origin(), jackfield_plugin_api::Origin::Downstream, "{error}");
    }
}

#[tokio::test]
async fn servers_that_break_the_handshake_are_refused() {
    let good = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    for (answer, message) in [
        (format!("{good}Sec-WebSocket-Accept: nonsense\r\n\r\n"), "does not answer our key"),
        ("HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n".into(), "location=/there"),
        ("220 mail.test ESMTP\r\n\r\n".into(), ""),
        (String::new(), ""),
    ] {
        let (near, far) = testing::carriers(CAPACITY);
        let mut far = far.take_stream().unwrap();
        let serve = async {
            head(&mut far).await;
            far.write_all(answer.as_bytes()).await.unwrap();
            drop(far);
        };
        let (_, opened) = tokio::join!(serve, open(WsOptions::default(), "/x", near));
        let error = opened.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn mistakes_in_options_name_the_option() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let driver = WsDriver::new(testing::host()).unwrap();
    let header = |name: &str, value: &str| WsOptions {
        headers: [(name.to_owned(), jackfield_plugin_api::Secret::new(value))].into(),
        ..WsOptions::default()
    };
    for (role, options, option) in [
        (Role::Client, header("a b", "c"), "headers"),
        (Role::Client, header("a", "s3cret\n"), "headers"),
        (Role::Client, header("Sec-WebSocket-Key", "x"), "headers"),
        (Role::Server, header("a", "b"), "headers"),
        (Role::Client, WsOptions { origins: vec!["x".into()], ..WsOptions::default() }, "origins"),
        (Role::Client, WsOptions { max_message: 0, ..WsOptions::default() }, "max_message"),
        (
            Role::Server,
            WsOptions { subprotocols: vec!["a b".into()], ..WsOptions::default() },
            "subprotocols",
        ),
    ] {
        let error = driver.configure(options, role).unwrap_err();
        assert_eq!(fact(&error, "option"), Some(option));
        assert!(!error.to_string().contains("s3cret"));
    }
}
