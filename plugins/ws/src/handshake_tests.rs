//! The opening handshake in every form that peers give it, the answer that waits, and limits of what has begun.

use super::{accept, head, open, raw_client, request};
use crate::{WsDriver, WsOptions};
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{
    Driver, Error, ErrorKind, Facets, Message, Result, Role, Session, Stream, close_code, testing,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const CAPACITY: usize = 64 * 1024;

fn key_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    derive_accept_key(line.expect("a key").as_bytes())
}

/// A client of ours whose server answers with what `answer` makes of its key, byte by byte.
async fn answered(
    options: WsOptions,
    answer: impl FnOnce(&str) -> String,
) -> Result<(Session, Stream)> {
    let (near, far) = testing::carriers(CAPACITY);
    let mut far = far.take_stream().unwrap();
    let serving = async {
        let head = head(&mut far).await;
        for byte in answer(&key_of(&head)).as_bytes() {
            // A client that has heard enough leaves.
            if far.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        far
    };
    let (opened, far) = tokio::join!(open(options, "/x", near), serving);
    opened.map(|session| (session, far))
}

fn switching(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\nSec-WebSocket-Accept: {key}\r\n"
    )
}

#[tokio::test]
async fn an_answer_may_be_a_list_come_in_bytes_and_after_others() {
    for before in
        ["", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]
    {
        let whole = |key: &str| format!("{before}{}\r\n", switching(key));
        let (session, mut far) = answered(WsOptions::default(), whole).await.unwrap();
        far.write_all(b"\x81\x02hi").await.unwrap();
        let mut messages = session.take_messages().unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("hi"));
    }
    let endless = |_: &str| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40);
    let error = answered(WsOptions::default(), endless).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_by_what_it_lacks() {
    type Answer = fn(&str) -> String;
    let cases: [(Answer, &str); 4] = [
        (
            |key| switching(key).replace("keep-alive, Upgrade", "close") + "\r\n",
            "Connection: Upgrade",
        ),
        (|key| switching(key).replace("WebSocket\r\n", "h2c\r\n") + "\r\n", "Upgrade: websocket"),
        (|_| switching("other") + "\r\n", "does not answer our key"),
        (|key| switching(key) + "Sec-WebSocket-Protocol: mqtt\r\n\r\n", "not offered"),
    ];
    for (answer, text) in cases {
        let error = answered(WsOptions::default(), answer).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn protocols_of_the_request_are_offered_and_may_be_passed_over() {
    for chosen in [None, Some("mqtt")] {
        let (near, far) = testing::carriers(CAPACITY);
        let mut far = far.take_stream().unwrap();
        let serving = async {
            let head = head(&mut far).await;
            assert!(head.contains("Sec-WebSocket-Protocol: amqp, mqtt\r\n"), "{head}");
            let choice = chosen.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
            let answer = switching(&key_of(&head)) + &choice.unwrap_or_default() + "\r\n";
            far.write_all(answer.as_bytes()).await.unwrap();
            far
        };
        let driver = WsDriver::new(testing::host()).unwrap();
        let endpoint = driver.configure(WsOptions::default(), Role::Client).unwrap();
        let asked = request("/x", near).with_protocols(vec!["amqp".into(), "mqtt".into()]);
        let (opened, _far) = tokio::join!(driver.open(&endpoint, asked), serving);
        let facts = opened.unwrap().info().facts;
        assert_eq!(facts.get("subprotocol").and_then(|name| name.as_str()), chosen);
    }
}

/// A session whose answer waits, and its client, who offers a subprotocol.
async fn waiting() -> (Session, Stream) {
    let (near, far) = testing::carriers(CAPACITY);
    let mut near = near.take_stream().unwrap();
    let text = b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: amqp, mqtt\r\n\r\n";
    near.write_all(text).await.unwrap();
    let driver = WsDriver::new(testing::host()).unwrap();
    let endpoint = driver.configure(WsOptions::default(), Role::Server).unwrap();
    let session = driver.accept(&endpoint, request("/x", far).deferred()).await.unwrap();
    let facts = session.info().facts;
    assert_eq!((&facts["deferred"], &facts["protocols"]), (&json!(true), &json!(["amqp", "mqtt"])));
    assert!(session.facets().contains(Facets::CALL));
    (session, near)
}

#[tokio::test]
async fn an_answer_waits_until_it_is_given() {
    let (session, mut near) = waiting().await;
    let mut messages = session.take_messages().unwrap();
    let early = futures_util::FutureExt::now_or_never(near.read_u8());
    assert!(early.is_none(), "answered before it was said");
    let error = session.call("accept", &json!({ "protocol": "xmpp" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    session.call("accept", &json!({ "protocol": "mqtt" })).await.unwrap();
    let answer = head(&mut near).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"),
        "{answer}"
    );
    assert!(!session.info().facts.contains_key("deferred"));
    messages.send(Message::text("hi")).await.unwrap();
    let mut frame = [0; 4];
    near.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
    let again = session.call("accept", &json!({})).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_client_that_waits_is_refused_in_http() {
    for (code, status) in
        [(close_code::FAILED, "502 Bad Gateway"), (close_code::GOING_AWAY, "503 ")]
    {
        let (session, mut near) = waiting().await;
        let reading = async {
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            near.shutdown().await.unwrap();
            answer
        };
        let (closed, answer) = tokio::join!(session.close(code, "nobody is there"), reading);
        closed.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.ends_with("\r\n\r\nnobody is there\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    let (session, near) = waiting().await;
    let mut messages = session.take_messages().unwrap();
    drop(near);
    assert_eq!(messages.next().await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

/// The code of the close frame that comes next.
async fn closed_with(near: &mut Stream) -> u16 {
    assert_eq!(near.read_u8().await.unwrap(), 0x88);
    let length = near.read_u8().await.unwrap();
    let mut content = vec![0; usize::from(length)];
    near.read_exact(&mut content).await.unwrap();
    near.shutdown().await.unwrap();
    u16::from_be_bytes([content[0], content[1]])
}

/// A masked frame's head for so many bytes, with a mask of zeros.
fn begin(first: u8, length: u32) -> Vec<u8> {
    [&[first, 0xff][..], &u64::from(length).to_be_bytes(), &[0; 4]].concat()
}

async fn failure(session: &Session) -> Error {
    let mut messages = session.take_messages().unwrap();
    messages.next().await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_begun_has_a_time() {
    let beginnings = [begin(0x82, 1 << 20), vec![0x82], [begin(0x02, 1), b"x".to_vec()].concat()];
    for beginning in beginnings {
        let (session, mut near) = raw_client(WsOptions::default()).await;
        near.write_all(&beginning).await.unwrap();
        let since = tokio::time::Instant::now();
        let (error, code) = tokio::join!(failure(&session), closed_with(&mut near));
        assert_eq!((error.kind(), code), (ErrorKind::TimedOut, 1008), "{error}");
        assert_eq!(since.elapsed().as_secs(), 60);
    }
    // One that says nothing, or only pings, has begun nothing.
    let (session, mut near) = raw_client(WsOptions::default()).await;
    near.write_all(b"\x89\x80\0\0\0\0").await.unwrap();
    let mut messages = session.take_messages().unwrap();
    let silence = tokio::time::timeout(std::time::Duration::from_secs(600), messages.next()).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn what_all_peers_have_begun_is_bounded_together() {
    let driver = WsDriver::new(testing::host()).unwrap();
    let options = WsOptions { max_unfinished: Some(100_000), ..WsOptions::default() };
    let endpoint = driver.configure(options, Role::Server).unwrap();
    let (mut held, mut refused) = (Vec::new(), 0);
    for _ in 0..20 {
        let (near, far) = testing::carriers(CAPACITY);
        let mut near = near.take_stream().unwrap();
        let text = b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        near.write_all(text).await.unwrap();
        let session = driver.accept(&endpoint, request("/x", far)).await.unwrap();
        head(&mut near).await;
        near.write_all(&begin(0x82, 1 << 20)).await.unwrap();
        near.write_all(&[0; 40_000]).await.unwrap();
        let mut messages = session.take_messages().unwrap();
        // Either it waits for more, or there is no room for it, which its peer is told.
        assert!(futures_util::FutureExt::now_or_never(messages.next()).is_none());
        let first = futures_util::FutureExt::now_or_never(near.read_u8());
        if let Some(first) = first {
            let mut rest = [0; 3];
            near.read_exact(&mut rest).await.unwrap();
            assert_eq!((first.unwrap(), &rest[1..]), (0x88, &1013_u16.to_be_bytes()[..]));
            refused += 1;
        }
        held.push((session, messages, near));
    }
    assert!((10..20).contains(&refused), "{refused} of 20 were refused");
    assert!(endpoint.budget.left() < 100_000);
    drop(held);
    assert_eq!(endpoint.budget.left(), 100_000);
}

#[tokio::test]
async fn a_frame_without_a_code_is_passed_on_as_one() {
    let (session, mut near) = raw_client(WsOptions::default()).await;
    let reading = async {
        let mut frame = [0; 2];
        near.read_exact(&mut frame).await.unwrap();
        near.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
        frame
    };
    let (closed, frame) = tokio::join!(session.close(1005, ""), reading);
    closed.unwrap();
    assert_eq!(frame, [0x88, 0]);
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    let (near, far) = testing::carriers(CAPACITY);
    let mut near = near.take_stream().unwrap();
    let asking = async {
        let text = b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        for byte in text {
            near.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        head(&mut near).await
    };
    let (accepted, answer) = tokio::join!(accept(WsOptions::default(), "/x", far), asking);
    accepted.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}
