//! Commands act where they stand in the data of a listener's session.

use crate::tests::{event, one};
use futures_util::FutureExt;
use jackfield_plugin_api::{Role, Session, Stream, testing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, split};
use tokio::time::timeout;

/// A listener's session whose client has agreed to control the line, what it reads, and the client's end.
async fn listener(options: Value) -> (Session, ReadHalf<Stream>, Stream) {
    let (near, far) = testing::carriers(1 << 20);
    let server = one(Role::Server, options, far, None).await.expect("a session");
    let data = split(server.take_stream().expect("a stream")).0;
    let mut client = near.take_stream().expect("a stream");
    client.write_all(b"\xff\xfb\x2c").await.expect("room");
    (server, data, client)
}

fn quiet(com_port: bool) -> Value {
    json!({ "com_port": com_port, "terminal": false, "echo": false, "charsets": [] })
}

async fn gives(data: &mut ReadHalf<Stream>, want: &[u8]) {
    let mut got = vec![0; want.len()];
    timeout(testing::DEADLINE, data.read_exact(&mut got)).await.expect("in time").expect("bytes");
    assert_eq!(got, want);
}

/// The next operation that is asked for, and its answer.
async fn done(server: &Session, operation: &str, params: Value, result: Value) {
    let ask = event(server, "call").await;
    assert_eq!((&ask["operation"], &ask["params"]), (&json!(operation), &params));
    let answer = json!({ "id": ask["id"], "result": result });
    server.call("answer", &answer).await.expect("taken");
}

async fn is_silent(data: &mut ReadHalf<Stream>) {
    let mut byte = [0];
    assert!(data.read(&mut byte).now_or_never().is_none(), "data overtakes a command");
}

#[tokio::test]
async fn data_waits_for_the_settings_before_it() {
    let (server, mut data, mut client) = listener(quiet(true)).await;
    let both = b"one\xff\xfa\x2c\x01\0\0\x25\x80\xff\xf0two\xff\xfa\x2c\x05\x05\xff\xf0\xff\xfa\x2c\x05\x06\xff\xf0three";
    client.write_all(both).await.expect("room");
    gives(&mut data, b"one").await;
    // Asked for when the reader is back: then all that came before was delivered.
    is_silent(&mut data).await;
    done(&server, "set", json!({ "baud": 9600 }), json!({ "baud": 9600 })).await;
    gives(&mut data, b"two").await;
    is_silent(&mut data).await;
    done(&server, "set_break", json!({ "on": true }), json!({})).await;
    is_silent(&mut data).await;
    done(&server, "set_break", json!({ "on": false }), json!({})).await;
    gives(&mut data, b"three").await;
    let mut said = vec![0; 256];
    let count = client.read(&mut said).await.expect("answers");
    let answers: &[&[u8]] =
        &[b"\xff\xfa\x2c\x65\0\0\x25\x80\xff\xf0", b"\xff\xfa\x2c\x69\x05\xff\xf0"];
    for answer in answers {
        let said = &said[..count];
        assert!(said.windows(answer.len()).any(|part| part == *answer), "{}", said.escape_ascii());
    }
}

#[tokio::test]
async fn a_purge_is_heard_behind_data_that_nobody_takes_and_throws_it_away() {
    let (server, mut data, mut client) = listener(quiet(true)).await;
    client.write_all(b"first").await.expect("room");
    gives(&mut data, b"first").await;
    client.write_all(&[b'x'; 20_000]).await.expect("room");
    client.write_all(b"\xff\xfa\x2c\x0c\x02\xff\xf0new").await.expect("room");
    done(&server, "purge", json!({ "input": false, "output": true }), json!({})).await;
    gives(&mut data, b"new").await;
    is_silent(&mut data).await;
}

#[tokio::test]
async fn a_break_of_plain_telnet_reaches_the_line() {
    let (server, mut data, mut client) = listener(quiet(false)).await;
    client.write_all(b"a\xff\xf3b").await.expect("room");
    gives(&mut data, b"a").await;
    is_silent(&mut data).await;
    done(&server, "break", json!({ "milliseconds": 250 }), json!({})).await;
    gives(&mut data, b"b").await;
}

#[tokio::test]
async fn a_line_that_can_only_send_a_whole_break_sends_one() {
    let (server, mut data, mut client) = listener(quiet(true)).await;
    client.write_all(b"\xff\xfa\x2c\x05\x05\xff\xf0").await.expect("room");
    is_silent(&mut data).await;
    done(&server, "set_break", json!({ "on": true }), Value::Null).await;
    done(&server, "break", json!({ "milliseconds": 250 }), json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn data_goes_on_where_nobody_does_what_is_asked_for() {
    let (server, mut data, mut client) = listener(quiet(false)).await;
    client.write_all(b"a\xff\xf3b").await.expect("room");
    gives(&mut data, b"ab").await;
    drop(server);
}
