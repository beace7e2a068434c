//! Codes and reasons between WebSockets of others, what a client offers, and the answer that waits for the
//! destination.

use futures_util::StreamExt;
use jackfield_plugin_api::Session;
use serde_json::{Value, json};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::tcp_listener;
use crate::support::{
    host::TestHost,
    peers::{
        echo::{Refusing, TcpPeer},
        quic::soon,
        ws::{PROGRAMS, WsServer},
    },
};

/// A host that listens with WebSocket before `to`.
async fn before(to: &str) -> TestHost {
    TestHost::start(&format!("[[routes]]\nlisten = \"ws://127.0.0.1:0\"\nto = \"{to}\"\n")).await
}

async fn dial(
    client: &TestHost,
    host: &TestHost,
    options: Value,
) -> jackfield_plugin_api::Result<Session> {
    soon(client.open(&format!("ws://{}", host.address(0)), options)).await
}

/// The code and the reason with which a session is closed.
async fn closed(session: &Session) -> (Value, Value) {
    let mut messages = session.take_messages().expect("messages");
    soon(async { while messages.next().await.is_some_and(|message| message.is_ok()) {} }).await;
    let facts = session.info().facts;
    let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
    (fact("close_code"), fact("close_reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_its_reason_pass_both_ways() {
    let client = TestHost::start("").await;
    for program in PROGRAMS {
        let mut server = WsServer::start(program).await;
        let host = before(&server.url("/close")).await;
        let session = dial(&client, &host, json!({})).await.unwrap();
        assert_eq!(closed(&session).await, (json!(4001), json!("because")), "{program:?}");

        let host = before(&server.url("/echo")).await;
        for (code, reason) in [(4321, "room is closed"), (1000, "done"), (1001, "away")] {
            let session = dial(&client, &host, json!({})).await.unwrap();
            soon(session.close(code, reason)).await.unwrap();
            server.logged(&format!("closed {code} {reason}")).await;
        }

        let host = before(&server.url("/drop")).await;
        let session = dial(&client, &host, json!({})).await.unwrap();
        assert_eq!(closed(&session).await.0, json!(1011), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_has_not_finished_when_the_host_stops_is_no_whole() {
    let client = TestHost::start("").await;
    let route = |scheme: &str| {
        format!("[[routes]]\nlisten = \"{scheme}://127.0.0.1:0\"\nto = \"handlers.echo\"\n")
    };
    let host = TestHost::start(&format!(
        "[host]\nshutdown_timeout = \"100ms\"\n[handlers.echo]\n{}{}",
        route("ws"),
        route("tcp")
    ))
    .await;
    let session = dial(&client, &host, json!({})).await.unwrap();
    let mut tcp = TcpStream::connect(host.address(1)).await.unwrap();
    tcp.write_all(b"here").await.unwrap();
    soon(tcp.read_exact(&mut [0; 4])).await.unwrap();
    let told = async { (closed(&session).await.0, soon(tcp.read(&mut [0])).await) };
    let ((code, end), _) = tokio::join!(told, host.shutdown());
    assert_eq!(code, json!(1001));
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_offers_is_what_the_server_behind_is_asked_for() {
    let client = TestHost::start("").await;
    for program in PROGRAMS {
        let server = WsServer::start(program).await;
        let host = before(&server.url("/echo")).await;
        let offered = json!({ "subprotocols": ["gamma", "beta"] });
        let session = dial(&client, &host, offered).await.unwrap();
        assert_eq!(session.info().facts["subprotocol"], "beta", "{program:?}");
        let session = dial(&client, &host, json!({})).await.unwrap();
        assert!(!session.info().facts.contains_key("subprotocol"), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_answered_when_its_destination_is_open() {
    let client = TestHost::start("").await;
    let refusing = Refusing::new();
    let host = before(&format!("tcp://{}", refusing.address())).await;
    let error = dial(&client, &host, json!({})).await.unwrap_err();
    assert!(error.to_string().contains("502"), "{error}");

    // Over a layer whose far end says nothing, it waits, and is told when the host stops.
    let silent = tcp_listener().await;
    let host = TestHost::start(&format!(
        "[host]\nshutdown_timeout = \"100ms\"\n[connections.d]\nuri = \"telnet://{}\"\n\
         options = {{ com_port = true }}\n[[routes]]\nlisten = \"ws://127.0.0.1:0\"\n\
         to = \"connections.d\"\n",
        silent.local_addr().unwrap()
    ))
    .await;
    let uri = format!("ws://{}", host.address(0));
    let stopping = async {
        let _held = silent.accept().await.unwrap();
        host.shutdown().await;
    };
    let (opened, ()) = soon(async { tokio::join!(client.open(&uri, json!({})), stopping) }).await;
    let error = opened.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_why_it_is_sent_away_where_another_uses_its_destination() {
    let device = TcpPeer::echo().await;
    let route = |listen: &str, more: &str| {
        format!("[[routes]]\nlisten = \"{listen}\"\nto = \"devices.d.console\"\n{more}\n")
    };
    let host = TestHost::start(&format!(
        "[devices.d.paths.console]\nuri = \"{}\"\nexclusive = true\n\
         lease = {{ timeout = \"100ms\" }}\n{}{}{}",
        device.uri(),
        route("tcp://127.0.0.1:0", ""),
        route("ws://127.0.0.1:0", ""),
        route("ws://127.0.0.1:0", "tell_busy = false"),
    ))
    .await;
    let mut holder = TcpStream::connect(host.address(0)).await.unwrap();
    holder.write_all(b"mine").await.unwrap();
    soon(holder.read_exact(&mut [0; 4])).await.unwrap();
    for (index, is_told) in [(1, true), (2, false)] {
        let mut client = TcpStream::connect(host.address(index)).await.unwrap();
        let asked = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        let words = format!("in use by {} since ", holder.local_addr().unwrap());
        assert_eq!(answer.contains(&words), is_told, "{answer}");
    }
}
