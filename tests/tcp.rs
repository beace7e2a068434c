//! The tcp driver and the plain relay, against programs and scripted peers.

use std::{net::SocketAddr, time::Duration};

use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    host::{TestHost, exchange},
    peers::{
        echo::{Refusing, TcpPeer},
        ssh_client::{Login, SshClient},
        sshd::Sshd,
    },
};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(31) >> 3).to_le_bytes()[0]).collect()
}

fn route(to: &str) -> String {
    format!("[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{to}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_unchanged_both_ways_and_the_counts_are_exact() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start(&route(&peer.uri())).await;
    let sent = pattern(8 * 1024 * 1024);
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut back = vec![0; sent.len()];
    let (_, _) = tokio::join!(async { write.write_all(&sent).await.unwrap() }, async {
        read.read_exact(&mut back).await.unwrap()
    });
    assert!(back == sent, "the bytes came back changed");
    let snapshot = host.manager().snapshot();
    let connection = &snapshot.connections[0];
    assert_eq!(connection.state, "connected");
    assert_eq!(connection.bytes_in, sent.len() as u64);
    assert_eq!(connection.bytes_out, sent.len() as u64);
    assert!(connection.peer.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_answers_through_the_same_listener() {
    let host = TestHost::start(&format!("{}[handlers.echo]\n", route("handlers.echo"))).await;
    let sent = pattern(300_000);
    assert_eq!(exchange(host.address(0), &sent).await.unwrap(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_our_end_still_arrives() {
    let peer = TcpPeer::answering_after_eof(b"the sum").await;
    let host = TestHost::start(&route(&peer.uri())).await;
    assert_eq!(exchange(host.address(0), b"1 2 3").await.unwrap(), b"the sum");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_send_after_the_peers_end_still_arrives() {
    let peer = TcpPeer::half_closing(b"hello").await;
    let host = TestHost::start(&route(&peer.uri())).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    let mut greeting = Vec::new();
    stream.read_to_end(&mut greeting).await.unwrap();
    assert_eq!(greeting, b"hello");
    stream.write_all(&pattern(100_000)).await.unwrap();
    peer.has_received(100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_closes_the_peer_and_the_next_target_serves() {
    let dead = Refusing::new();
    let peer = TcpPeer::echo().await;
    let toml = format!(
        "{}[upstreams.pair]\ntargets = [\"tcp://{}\", \"{}\"]\n",
        route("upstreams.pair"),
        dead.address(),
        peer.uri()
    );
    let host = TestHost::start(&toml).await;
    for _ in 0..4 {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    }
    let lone = TestHost::start(&route(&format!("tcp://{}", dead.address()))).await;
    let mut stream = TcpStream::connect(lone.address(0)).await.unwrap();
    let mut nothing = Vec::new();
    // An end or a reset: either tells the peer that there is nobody.
    let _ = stream.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_share_out_connections() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let toml = format!(
        "{}[upstreams.u]\ntargets = [\"{}\", {{ uri = \"{}\", weight = 2 }}]\n",
        route("upstreams.u"),
        first.uri(),
        second.uri()
    );
    let host = TestHost::start(&toml).await;
    for _ in 0..9 {
        exchange(host.address(0), b"x").await.unwrap();
    }
    assert_eq!((first.accepted(), second.accepted()), (3, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_listens_and_connects() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let toml = format!("[[routes]]\nlisten = \"tcp://[::1]:0\"\nto = \"tcp://{target}\"\n");
    let host = TestHost::start(&toml).await;
    assert!(host.address(0).is_ipv6());
    assert_eq!(exchange(host.address(0), b"six").await.unwrap(), b"six");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_two_families_reaches_the_one_that_listens() {
    // `localhost` is ::1 and 127.0.0.1; only the second has somebody.
    let peer = TcpPeer::echo().await;
    let host = TestHost::start("").await;
    let session = host.open(&format!("tcp://localhost:{}", peer.port()), json!({})).await.unwrap();
    assert_eq!(session.info().peer, Some(peer.address().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_leaves_from_the_address_it_was_bound_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("tcp://{}", listener.local_addr().unwrap());
    let host = TestHost::start("").await;
    let opening = host.open(&uri, json!({ "bind": "127.0.0.77" }));
    let (session, accepted) = tokio::join!(opening, listener.accept());
    let from: SocketAddr = session.unwrap().info().local.unwrap().parse().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.77");
    assert_eq!(accepted.unwrap().1, from);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_target_says_where_and_why() {
    let dead = Refusing::new();
    let host = TestHost::start("").await;
    let error = host.open(&format!("tcp://{}", dead.address()), json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains(&dead.address().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_stops_the_start_and_nothing_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let free = crate::support::ports::free();
    let toml = format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:{free}\"\nto = \"handlers.echo\"\n\
         [[routes]]\nlisten = \"tcp://{}\"\nto = \"handlers.echo\"\n",
        taken.1
    );
    let Err(error) = TestHost::try_start(&toml).await else { panic!("the port was taken") };
    let text = error.to_string();
    assert!(text.contains("jackfield.toml:6:") && text.contains("routes.1.listen"), "{text}");
    assert!(TcpStream::connect(("127.0.0.1", free)).await.is_err(), "something listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_a_connection_finish_and_then_ends_it() {
    let peer = TcpPeer::echo().await;
    let toml = format!("[host]\nshutdown_timeout = \"50ms\"\n{}", route(&peer.uri()));
    let host = TestHost::start(&toml).await;
    let address = host.address(0);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"a").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    assert_eq!(host.shutdown().await, 1, "one connection had to be ended");
    assert!(TcpStream::connect(address).await.is_err());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_ends_with_the_idle_timeout() {
    let peer = TcpPeer::silent().await;
    let toml = format!("{}idle_timeout = \"100ms\"\n", route(&peer.uri()));
    let host = TestHost::start(&toml).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // Ends by itself; the limit only bounds a failed test.
    let ended = tokio::time::timeout(Duration::from_secs(60), read).await;
    assert!(ended.is_ok(), "the connection still lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_connection_ends_with_the_total_timeout_of_its_route() {
    let peer = TcpPeer::echo().await;
    let toml = format!("{}total_timeout = \"100ms\"\n", route(&peer.uri()));
    let host = TestHost::start(&toml).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    let busy = async {
        let mut byte = [0];
        while stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok() {}
    };
    // Ends by itself; the limit only bounds a failed test.
    let ended = tokio::time::timeout(Duration::from_secs(60), busy).await;
    assert!(ended.is_ok(), "the connection still lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openssh_session_runs_through_a_listener() {
    let sshd = Sshd::start().await;
    let host = TestHost::start(&route(&format!("tcp://127.0.0.1:{}", sshd.port()))).await;
    let client = SshClient::new(
        host.address(0).port(),
        sshd.port(),
        &sshd.known_hosts(),
        Login::Key(sshd.key()),
    );
    let ran = client.exec("cat; exit 7", b"through the host").await;
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert_eq!(ran.stdout, b"through the host");
}
