//! The ws driver in both roles, against Python's `websockets`, Node's `ws`, curl, and peers that
//! write their bytes by hand.

use std::{net::SocketAddr, path::Path};

use futures_util::{FutureExt, SinkExt, StreamExt};
use jackfield_plugin_api::{ErrorKind, Message, Result, Session};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        curl::curl,
        ws::{PROGRAMS, Program, WsServer, ws_client},
    },
};

/// A route from a WebSocket listener at `/echo` to the echo handler.
fn echo_route(options: &str) -> String {
    format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"ws://127.0.0.1:0/echo\"\n\
         to = \"handlers.echo\"\noptions = {{ {options} }}\n"
    )
}

fn url(host: &TestHost, path: &str) -> String {
    format!("ws://127.0.0.1:{}{path}", host.address(0).port())
}

async fn open(host: &TestHost, server: &WsServer, path: &str, options: Value) -> Result<Session> {
    host.open(&server.url(path), options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_others_echo() {
    let host = TestHost::start("").await;
    for program in PROGRAMS {
        let mut server = WsServer::start(program).await;
        let options = json!({ "subprotocols": ["gamma", "beta"] });
        let session = open(&host, &server, "/echo?a=b", options).await.unwrap();
        assert_eq!(session.info().facts["subprotocol"], "beta");
        assert_eq!(session.info().facts["path"], "/echo?a=b");
        let mut messages = session.take_messages().unwrap();
        let sent = [
            Message::text("grüße"),
            Message::text(""),
            Message::binary(vec![7; 125]),
            Message::binary(vec![7; 126]),
            Message::binary(vec![7; 65_535]),
            Message::binary(vec![7; 3 << 20]),
        ];
        for message in sent {
            messages.send(message.clone()).await.unwrap();
            assert!(messages.next().await.unwrap().unwrap() == message, "{program:?}");
        }
        session.ping().await.unwrap();
        session.close(4000, "grüße").await.unwrap();
        assert!(messages.next().await.is_none());
        assert_eq!(server.logged("closed ").await, "4000 grüße");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_see_our_headers() {
    let host = TestHost::start("").await;
    let options = || {
        json!({
            "headers": { "X-Probe": "yes" },
            "origin": "https://page.test",
            "bearer_token": "t0ken",
        })
    };
    for program in PROGRAMS {
        let server = WsServer::start(program).await;
        let headers = async |session: Session| -> Value {
            let mut messages = session.take_messages().unwrap();
            let message = messages.next().await.unwrap().unwrap();
            serde_json::from_slice(&message.payload).unwrap()
        };
        let seen = headers(open(&host, &server, "/headers", options()).await.unwrap()).await;
        assert_eq!(seen["x-probe"], "yes");
        assert_eq!(seen["origin"], "https://page.test");
        assert_eq!(seen["authorization"], "Bearer t0ken");
        assert_eq!(seen["host"], format!("127.0.0.1:{}", server.port()));
        let uri = format!("ws://me:pass%20word@127.0.0.1:{}/headers", server.port());
        let seen = headers(host.open(&uri, json!({})).await.unwrap()).await;
        assert_eq!(seen["authorization"], "Basic bWU6cGFzcyB3b3Jk");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_in_which_servers_end_are_told_apart() {
    let host = TestHost::start("").await;
    for program in PROGRAMS {
        let server = WsServer::start(program).await;
        let end = async |path: &str| {
            let session = open(&host, &server, path, json!({})).await.unwrap();
            let end = session.take_messages().unwrap().next().await;
            (session.info(), end.unwrap().unwrap_err())
        };
        let (info, error) = end("/close").await;
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains("4001"), "{error}");
        assert!(error.to_string().contains("close_reason=because"), "{error}");
        assert_eq!(
            (&info.facts["close_code"], &info.facts["close_reason"]),
            (&json!(4001), &json!("because"))
        );
        let (info, error) = end("/drop").await;
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(!info.facts.contains_key("close_code"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_of_servers_are_answered_and_long_messages_have_a_limit() {
    let host = TestHost::start("").await;
    for program in PROGRAMS {
        let mut server = WsServer::start(program).await;
        let session = open(&host, &server, "/ping", json!({})).await.unwrap();
        let mut messages = session.take_messages().unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("pong"));
        messages.close().await.unwrap();
        server.logged("closed 1000").await;

        let session = open(&host, &server, "/big", json!({})).await.unwrap();
        let message = session.take_messages().unwrap().next().await.unwrap().unwrap();
        assert_eq!(message.payload.len(), 16 << 20);
        drop(session);

        let small = json!({ "max_message": 1 << 20 });
        let session = open(&host, &server, "/big", small).await.unwrap();
        let error = session.take_messages().unwrap().next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        server.logged("closed 1009").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_read_holds_us_back() {
    const MOST: usize = 64 << 20;
    let host = TestHost::start("").await;
    for program in PROGRAMS {
        let server = WsServer::start(program).await;
        let session = open(&host, &server, "/slow", json!({ "close_timeout": 0 })).await.unwrap();
        let mut messages = session.take_messages().unwrap();
        let message = Message::binary(vec![0; 1 << 16]);
        let mut sent = 0;
        // What a poll cannot take at once, a test cannot send without somebody who reads.
        while messages.send(message.clone()).now_or_never().is_some() {
            sent += message.payload.len();
            assert!(sent < MOST, "{program:?}: nothing holds us back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_gone_or_do_not_agree_are_refused() {
    let host = TestHost::start("").await;
    let mut server = WsServer::start(Program::Python).await;
    let options = json!({ "subprotocols": ["gamma"] });
    let error = open(&host, &server, "/echo", options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    server.kill();
    let error = open(&host, &server, "/echo", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_are_echoed() {
    let certs = Certs::new();
    let pair = &certs.server;
    let toml = format!(
        "{}[[routes]]\nlisten = \"wss://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = {{ tls = {{ certificate_file = {:?}, key_file = {:?} }} }}\n",
        echo_route("subprotocols = [\"alpha\", \"beta\"]"),
        pair.certificate,
        pair.key
    );
    let host = TestHost::start(&toml).await;
    let secure = format!("wss://localhost:{}/", host.address(1).port());
    let plain = url(&host, "/echo?a=b");
    let steps = json!([
        {"send": "grüße"}, {"recv": true},
        {"send_bytes": 300_000}, {"recv": true},
        {"send_fragments": ["a", "b", "c"]}, {"recv": true},
        {"ping": "beat"},
        {"close": [4000, "done"]},
    ]);
    for program in PROGRAMS {
        for (url, ca, flags, chosen) in [
            (&plain, None, &["--subprotocols", "beta,alpha"][..], json!("alpha")),
            (&secure, Some(certs.ca.as_path()), &[], Value::Null),
        ] {
            let ca: Option<&Path> = ca;
            let said = ws_client(program, url, ca, flags, &steps).await;
            assert_eq!(said[0], json!({"open": chosen}), "{program:?} {url}");
            assert_eq!(said[1], json!({"text": "grüße"}));
            assert_eq!(said[2]["bytes"], 300_000);
            assert_eq!(said[3], json!({"text": "abc"}));
            assert_eq!(said[4], json!({"pong": true}));
            assert_eq!(said[5], json!({"closed": [4000, "done"]}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_servers_of_others_through_us() {
    for (server, client) in [(Program::Python, Program::Node), (Program::Node, Program::Python)] {
        let server = WsServer::start(server).await;
        let toml = format!(
            "[[routes]]\nlisten = \"ws://127.0.0.1:0\"\nto = \"{}\"\n",
            server.url("/echo")
        );
        let host = TestHost::start(&toml).await;
        let steps = json!([
            {"send": "text"}, {"recv": true}, {"send_bytes": 1_000_000}, {"recv": true},
            {"close": [1000, ""]},
        ]);
        let said = ws_client(client, &url(&host, "/"), None, &[], &steps).await;
        assert_eq!(said[1], json!({"text": "text"}));
        assert_eq!(said[2]["bytes"], 1_000_000);
        assert_eq!(said[3]["closed"][0], 1000, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_origins_and_long_messages_are_refused() {
    let host =
        TestHost::start(&echo_route("max_message = 100_000, origins = [\"https://a.test\"]")).await;
    let good = ["--header", "Origin:https://a.test"];
    for program in PROGRAMS {
        let client = async |path: &str, flags: &[&str], steps: Value| {
            ws_client(program, &url(&host, path), None, flags, &steps).await
        };
        let said = client("/other", &good, json!([])).await;
        assert!(said[0]["error"].as_str().unwrap().contains("404"), "{said:?}");
        let said = client("/echo", &["--header", "Origin:https://b.test"], json!([])).await;
        assert!(said[0]["error"].as_str().unwrap().contains("403"), "{said:?}");
        let long = json!([{"send_bytes": 100_001}, {"wait_closed": true}]);
        let said = client("/echo", &good, long).await;
        assert_eq!(said[1]["closed"][0], 1009, "{said:?}");
        let right = json!([{"send_bytes": 100_000}, {"recv": true}]);
        let said = client("/echo", &good, right).await;
        assert_eq!(said[1]["bytes"], 100_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_told_that_this_is_a_websocket() {
    let host = TestHost::start(&echo_route("")).await;
    let http = |path: &str| format!("http://127.0.0.1:{}{path}", host.address(0).port());
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let ask = async |more: &[&str]| curl(None, &[&status, more].concat()).await.ok().text();
    assert_eq!(ask(&[&http("/echo")]).await, "426");
    assert_eq!(ask(&["--data", "x", &http("/echo")]).await, "405");
    let upgrade = [
        "--header",
        "Connection: Upgrade",
        "--header",
        "Upgrade: websocket",
        "--header",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "--header",
    ];
    for (version, path, status) in [("8", "/echo", "426"), ("13", "/nowhere", "404")] {
        let version = format!("Sec-WebSocket-Version: {version}");
        assert_eq!(ask(&[&upgrade[..], &[&version, &http(path)]].concat()).await, status);
    }
}

const REQUEST: &str = "GET /echo HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Connects, has the handshake, sends `bytes` and reads to the end.
async fn after_handshake(address: SocketAddr, bytes: &[u8], and_leave: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream.write_all(bytes).await.unwrap();
    if and_leave {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_are_told_why_and_hurt_nobody() {
    let host = TestHost::start(&echo_route("max_frame = 1000")).await;
    let address = host.address(0);
    let cases: [(&[u8], u16); 6] = [
        // Unmasked; a reserved bit; a reserved opcode; a long control frame; no UTF-8; too long.
        (&[0x81, 0x02, b'h', b'i'], 1002),
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff], 1007),
        (&[0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0], 1009),
    ];
    for (bytes, code) in cases {
        let mut bytes = bytes.to_vec();
        // A control frame is judged when it is whole.
        if bytes[0] == 0x89 {
            bytes.extend([0; 126]);
        }
        let answer = after_handshake(address, &bytes, false).await;
        assert_eq!(answer[0], 0x88, "{bytes:x?}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{bytes:x?}");
    }
    // The end in the middle of a frame.
    let cut = after_handshake(address, &[0x81, 0x85, 0, 0, 0, 0, b'h'], true).await;
    assert!(cut.is_empty(), "{cut:x?}");

    let header = "x".repeat(100_000);
    for (request, status) in [
        (format!("{}Cookie: {header}\r\n\r\n", REQUEST.trim_end()), "431"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), "400"),
        (REQUEST.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The answer may come, and the connection end, before all is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }

    let steps = json!([{"send": "still here"}, {"recv": true}]);
    let said = ws_client(Program::Python, &url(&host, "/echo"), None, &[], &steps).await;
    assert_eq!(said[1], json!({"text": "still here"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_stop_the_start_and_are_named() {
    for (options, option) in [
        ("origin = \"x\"", "origin"),
        ("max_message = 0", "max_message"),
        ("subprotocols = [\"a b\"]", "subprotocols"),
        ("max_mesage = 1", "did you mean \"max_message\""),
    ] {
        let Err(error) = TestHost::try_start(&echo_route(options)).await else {
            panic!("{options} was accepted")
        };
        let text = error.to_string();
        assert!(text.contains(option) && text.contains("jackfield.toml:"), "{text}");
    }
}
