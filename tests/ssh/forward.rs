//! Connections onward, and ssh via ssh.

use futures_util::future::join_all;
use jackfield_plugin_api::{Address, ErrorKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Lab, output};
use crate::support::{
    host::TestHost,
    peers::{
        echo::{Refusing, TcpPeer},
        sshd::{Sshd, USER},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dialled_connection_carries_bytes_and_both_ends() {
    let lab = Lab::new().await;
    let peer = TcpPeer::answering_after_eof(b"answer").await;
    let session = lab.session(&json!({})).await;
    let dialled = session.dial(&Address::new("127.0.0.1", peer.port())).await.expect("a way");
    let info = dialled.info();
    assert_eq!(info.peer, Some(format!("127.0.0.1:{}", peer.port())));
    assert!(!info.encrypted, "the way beyond the server is not ours to vouch for");
    let mut stream = dialled.take_stream().expect("bytes");
    stream.write_all(b"question").await.expect("room");
    stream.shutdown().await.expect("half-close");
    let mut all = String::new();
    stream.read_to_string(&mut all).await.expect("the end");
    assert_eq!(all, "answer");
    assert_eq!(peer.received(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dialled_connections_share_one_session() {
    let lab = Lab::new().await;
    let echo = TcpPeer::echo().await;
    let session = lab.session(&json!({})).await;
    let address = Address::new("127.0.0.1", echo.port());
    let talks = (0..100_u32).map(|number| {
        let (session, address) = (&session, &address);
        async move {
            let mut stream =
                session.dial(address).await.expect("a way").take_stream().expect("bytes");
            let text = format!("number {number}").repeat(1000);
            let mut back = vec![0; text.len()];
            stream.write_all(text.as_bytes()).await.expect("room");
            stream.read_exact(&mut back).await.expect("the echo");
            assert!(back == text.as_bytes(), "connection {number}");
        }
    });
    join_all(talks).await;
    assert_eq!(echo.accepted(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_dialled_by_its_path() {
    let lab = Lab::new().await;
    let path = lab.sshd.home().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let session = lab.session(&json!({})).await;
    let address = Address::at_path(path.display().to_string());
    let (dialled, accepted) = tokio::join!(session.dial(&address), listener.accept());
    let mut near = dialled.expect("a way").take_stream().expect("bytes");
    let (mut far, _) = accepted.expect("a connection");
    near.write_all(b"x").await.expect("room");
    assert_eq!(far.read_u8().await.expect("a byte"), b'x');
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_reached_is_named() {
    let lab = Lab::new().await;
    let refusing = Refusing::new();
    let session = lab.session(&json!({})).await;
    let address = Address::new("127.0.0.1", refusing.address().port());
    let error = session.dial(&address).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&refusing.address().to_string()), "{error}");
    let error = session.dial(&Address::default()).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forbids_forwarding_is_told_apart() {
    let lab = Lab::with("AllowTcpForwarding no").await;
    let session = lab.session(&json!({})).await;
    let error = session.dial(&Address::new("127.0.0.1", 9)).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_goes_via_ssh() {
    let lab = Lab::new().await;
    let inner = Sshd::start().await;
    let outer = &lab.sshd;
    let host = TestHost::start(&format!(
        "[connections.bastion]\nuri = \"{}\"\noptions = {}\n\
         [connections.inner]\nuri = \"ssh://{USER}@127.0.0.1:{}\"\noptions = {}\n\
         via = \"connections.bastion\"\n",
        lab.uri(),
        options(outer),
        inner.port(),
        options(&inner),
    ))
    .await;
    let session = host.open("connections.inner", json!({})).await.expect("a session");
    let home = output(&session, "pwd").await;
    assert_eq!(home.trim(), inner.home().display().to_string());
    assert_eq!(session.info().identity, Some(inner.fingerprint().await));
    let big = output(&session, "head -c 5000000 /dev/zero | tr '\\0' x").await;
    assert_eq!(big.len(), 5_000_000);
}

/// An inline table that lets us in by key.
fn options(sshd: &Sshd) -> String {
    format!("{{ key_file = {:?}, known_hosts = {:?} }}", sshd.key(), sshd.known_hosts())
}
