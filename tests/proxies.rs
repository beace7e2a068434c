//! Who a client is when there is a proxy between, whom a listener lets in, and connections by way of a proxy.

use std::{net::SocketAddr, sync::Arc};

use jackfield::{connection::Live, listener::ListenerOptions, manager::ListenOptions};
use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{
    certs::Certs,
    host::{TestHost, exchange},
    jackfield::{Config, Jackfield, ran},
    peers::{
        echo::TcpPeer,
        proxies::{Haproxy, Microsocks, SOCKS_USER},
    },
};

/// Answers with what is known of the connection, when the first bytes have come.
async fn tell(live: Arc<Live>) -> jackfield_plugin_api::Result<()> {
    if live.receive().await?.is_some() {
        let info = live.info();
        let told = json!({ "peer": live.peer(), "identity": info.identity, "facts": info.facts });
        live.post(told.to_string().into_bytes())?.sent().await?;
    }
    Ok(())
}

/// A listener that believes proxies of 127.0.0.1 and tells what it knows of each client.
async fn telling(host: &TestHost) -> SocketAddr {
    let options = json!({ "trusted": ["127.0.0.1"] });
    let options = ListenOptions {
        options: serde_json::from_value(options).unwrap(),
        ..ListenOptions::default()
    };
    let listener = host.manager().listen_with("proxy+tcp://127.0.0.1:0", options, tell).await;
    listener.unwrap().local_addr().unwrap()
}

/// What is told over `stream`.
async fn told(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> Value {
    stream.write_all(b"who?").await.unwrap();
    stream.flush().await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_says_who_its_client_is_in_both_versions() {
    let host = TestHost::start("").await;
    let here = telling(&host).await;
    for how in ["send-proxy", "send-proxy-v2"] {
        let haproxy = Haproxy::before(here, how, None).await;
        let mut client = TcpStream::connect(haproxy.address).await.unwrap();
        let peer = client.local_addr().unwrap().to_string();
        let told = told(&mut client).await;
        assert_eq!(told["peer"], peer.as_str(), "{how}");
        assert!(told["facts"]["proxy"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_says_what_it_knows_of_its_clients_tls() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let here = telling(&host).await;
    let how = "send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,authority";
    let haproxy = Haproxy::before(here, how, Some((&certs.server, &certs.ca))).await;
    let uri = format!("tls+tcp://localhost:{}", haproxy.address.port());
    let options = json!({
        "ca_file": certs.ca,
        "certificate_file": certs.client.certificate,
        "key_file": certs.client.key,
    });
    let session = host.open(&uri, options).await.unwrap();
    let told = told(&mut session.take_stream().unwrap()).await;
    assert_eq!(told["identity"], "CN=tester", "{told}");
    let facts = &told["facts"];
    assert_eq!(
        (&facts["tls_version"], &facts["server_name"]),
        (&json!("1.3"), &json!("localhost"))
    );
    assert_eq!(facts["peer_verified"], json!(true));
    assert!(facts["cipher"].as_str().unwrap().starts_with("TLS"), "{told}");
}

/// The answer to a request on `stream`, which stays open.
async fn get(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1;
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_is_told_who_the_client_is_by_streams_and_by_requests() {
    let haproxy = Haproxy::behind("%ci:%cp").await;
    let to = haproxy.address;
    let host = TestHost::start(&format!(
        "[upstreams.web]\ntargets = [\"http+proxy+tcp://{to}\"]\nhealth = {{ interval = \"100ms\" }}\n\
         [connections.v1]\nuri = \"proxy+tcp://{to}\"\noptions = {{ version = \"v1\" }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"proxy+tcp://{to}\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.v1\"\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http+proxy+tcp://{to}\"\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n"
    ))
    .await;
    for route in 0..4 {
        // Two clients, each with several requests: none is taken for the other.
        let connect = || TcpStream::connect(host.address(route));
        let (mut one, mut other) = (connect().await.unwrap(), connect().await.unwrap());
        for _ in 0..2 {
            for client in [&mut one, &mut other] {
                let expected = client.local_addr().unwrap().to_string();
                assert_eq!(get(client).await, expected, "route {route}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_is_told_the_name_that_a_client_of_tls_has_asked_for() {
    let certs = Certs::new();
    let haproxy = Haproxy::behind("%[fc_pp_authority]").await;
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"tls+tcp://127.0.0.1:0\"\nto = \"proxy+tcp://{}\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n",
        haproxy.address, certs.server.certificate, certs.server.key
    ))
    .await;
    let uri = format!("tls+tcp://localhost:{}", host.address(0).port());
    let session = host.open(&uri, json!({ "ca_file": certs.ca })).await.unwrap();
    let mut stream = session.take_stream().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nlocalhost"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_told_the_client_has_no_pool() {
    let started = TestHost::try_start(
        "[upstreams.a]\ntargets = [\"proxy+tcp://127.0.0.1:1\"]\npool = {}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.a\"\n",
    )
    .await;
    let error = started.err().expect("an error").to_string();
    assert!(error.contains("each session is for one client"), "{error}");
}

/// What is answered to `bytes`, or nothing if they are refused.
async fn answered(host: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    exchange(host, bytes).await.unwrap_or_default()
}

#[tokio::test]
async fn a_client_that_is_told_of_is_the_one_that_lists_speak_of() {
    let mut host = Jackfield::run(
        "[handlers.echo]\n[[routes]]\nlisten = \"proxy+tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = { trusted = [\"127.0.0.0/8\"] }\nallow = [\"192.0.2.0/24\"]\ndeny = [\"192.0.2.66\"]\n\
         [[routes]]\nlisten = \"proxy+tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = { trusted = [\"10.0.0.1\"] }\n",
    )
    .await;
    let from = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\nhi").into_bytes();
    assert_eq!(answered(host.address(0), &from("192.0.2.7")).await, b"hi");
    host.logged("peer=\"192.0.2.7:5000\"").await;
    for client in ["192.0.2.66", "198.51.100.1"] {
        assert_eq!(answered(host.address(0), &from(client)).await, b"", "{client}");
        host.logged("peer refused listener=\"proxy+tcp://127.0.0.1:0\" id=").await;
        host.logged(&format!("peer=\"{client}:5000\"")).await;
    }
    assert_eq!(answered(host.address(1), &from("192.0.2.7")).await, b"", "nobody to believe");
    host.logged("this address may not say who the client is").await;
    assert_eq!(answered(host.address(0), b"hello, no header").await, b"");
    host.logged("expected a header of the PROXY protocol").await;
}

/// A connection from another address of this machine.
async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Whether a connection is served.
async fn is_served(stream: &mut TcpStream) -> bool {
    // A refused one may be reset meanwhile.
    stream.write_all(b"x").await.is_ok() && stream.read_u8().await.is_ok_and(|byte| byte == b'x')
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_places() {
    let host = TestHost::start(
        "host.max_connections = 20\n[handlers.echo]\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\nmax_connections_per_peer = 1\n",
    )
    .await;
    let mut held = Vec::new();
    for _ in 0..18 {
        let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
        assert!(is_served(&mut stream).await);
        held.push(stream);
    }
    let mut more = TcpStream::connect(host.address(0)).await.unwrap();
    assert!(!is_served(&mut more).await, "it has nine tenths");
    let mut other = from([127, 0, 0, 2], host.address(1)).await;
    assert!(is_served(&mut other).await);
    let mut second = from([127, 0, 0, 2], host.address(1)).await;
    assert!(!is_served(&mut second).await, "the limit of the route");
    drop(other);
    // Its place is free once the host has seen that it has gone.
    while !is_served(&mut from([127, 0, 0, 2], host.address(1)).await).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_connects_no_more_often_than_it_may_whoever_has_left() {
    let mut host = Jackfield::run(
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         rate_per_peer = { connections = 2, per = \"1h\" }\n",
    )
    .await;
    let address = host.address(0);
    for _ in 0..2 {
        assert!(is_served(&mut TcpStream::connect(address).await.unwrap()).await);
    }
    assert!(!is_served(&mut TcpStream::connect(address).await.unwrap()).await);
    host.logged("127.0.0.1 has connected 2 times within 1h already").await;
    assert!(is_served(&mut from([127, 0, 0, 2], address).await).await, "another address may");
    for (wrong, shown) in [
        ("{ connections = 0, per = \"1m\" }", "expected a whole number of at least 1"),
        ("{ connections = 2, per = \"0s\" }", "expected a duration of at least 1ms"),
    ] {
        let config = Config::new(&format!(
            "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
             rate_per_peer = {wrong}\n"
        ));
        let checked = ran(&["check", "-c", &config.file()], "").await;
        assert!(checked.stderr.contains(shown), "{}", checked.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_a_program_has_lists_too_and_names_ipv4_as_ipv4() {
    let host = TestHost::start("").await;
    let listener =
        ListenerOptions { deny: vec!["127.0.0.2".parse().unwrap()], ..ListenerOptions::default() };
    let options = ListenOptions { listener, ..ListenOptions::default() };
    let listener = host.manager().listen_with("tcp://*:0", options, tell).await.unwrap();
    let here: SocketAddr = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
    let mut client = TcpStream::connect(here).await.unwrap();
    let expected = client.local_addr().unwrap().to_string();
    assert_eq!(told(&mut client).await["peer"], expected.as_str());
    let mut denied = from([127, 0, 0, 2], here).await;
    assert!(!is_served(&mut denied).await);
}

/// Sends bytes through a session and gets them back.
async fn echoes(session: &Session) -> bool {
    let mut stream = session.take_stream().unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.flush().await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.is_ok() && &back == b"hello"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socks_proxy_connects_for_others_by_name_and_by_address_many_at_a_time() {
    let (peer, socks) = (TcpPeer::echo().await, Microsocks::with_user().await);
    let port = peer.address().port();
    let (name, password) = SOCKS_USER;
    let host = TestHost::start(&format!(
        "[connections.socks]\nuri = \"socks5://127.0.0.1:{}\"\n\
         options = {{ username = \"{name}\", password = \"{password}\" }}\n\
         [connections.named]\nuri = \"tcp://localhost:{port}\"\nvia = \"socks\"\n\
         [connections.address]\nuri = \"tcp://127.0.0.1:{port}\"\nvia = \"connections.socks\"\n\
         [connections.local]\nuri = \"tcp://localhost:{port}\"\n\
         via = \"socks5://{name}:{password}@127.0.0.1:{}\"\n",
        socks.port, socks.port
    ))
    .await;
    for to in ["connections.named", "connections.address", "connections.local"] {
        let open = || host.open(to, Value::Null);
        let (one, other, third) = tokio::join!(open(), open(), open());
        for session in [one, other, third] {
            let session = session.unwrap_or_else(|error| panic!("{to}: {error}"));
            assert!(echoes(&session).await, "{to}");
            assert_eq!(session.info().facts["proxy"], format!("127.0.0.1:{}", socks.port));
        }
    }
    assert_eq!(peer.accepted(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_socks_proxy_refuses_is_told_and_the_next_connection_works() {
    let (peer, open) = (TcpPeer::echo().await, Microsocks::start().await);
    let closed = Microsocks::with_user().await;
    let nobody = crate::support::ports::free();
    let host = TestHost::start(&format!(
        "[connections.nowhere]\nuri = \"tcp://127.0.0.1:{nobody}\"\nvia = \"socks5://127.0.0.1:{0}\"\n\
         [connections.there]\nuri = \"tcp://{1}\"\nvia = \"socks5://127.0.0.1:{0}\"\n\
         [connections.denied]\nuri = \"tcp://{1}\"\nvia = \"socks5://lab:wrong@127.0.0.1:{2}\"\n\
         [connections.anonymous]\nuri = \"tcp://{1}\"\nvia = \"socks5://127.0.0.1:{2}\"\n",
        open.port,
        peer.address(),
        closed.port
    ))
    .await;
    let error = async |to: &str| host.open(to, Value::Null).await.expect_err(to);
    assert_eq!(error("connections.nowhere").await.kind(), ErrorKind::Unreachable);
    for to in ["connections.denied", "connections.anonymous"] {
        let error = error(to).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    assert!(echoes(&host.open("connections.there", Value::Null).await.unwrap()).await);
}
