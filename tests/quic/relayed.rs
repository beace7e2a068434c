//! Routes over quic: bytes of tcp in streams, datagrams of udp in datagrams.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::pattern;
use crate::support::{
    certs::Certs,
    host::{TestHost, exchange},
    jackfield::Jackfield,
    peers::{
        echo::TcpPeer,
        quic::{QuicServer, soon},
        socat::Socat,
    },
};

const QUIC: &str = "quic://127.0.0.1:0";

fn listener(certs: &Certs, to: &str) -> String {
    format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"{QUIC}\"\nto = \"{to}\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n",
        certs.server.certificate, certs.server.key
    )
}

/// A route from `listen` to a quic server on this machine.
fn towards(certs: &Certs, listen: &str, port: u16) -> String {
    format!(
        "[[routes]]\nlisten = \"{listen}\"\nto = \"connections.far\"\n[connections.far]\n\
         uri = \"quic://localhost:{port}\"\noptions = {{ ca_file = {:?} }}\n",
        certs.ca
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_goes_through_two_hosts_and_comes_back_whole() {
    let certs = Certs::new();
    let peer = TcpPeer::echo().await;
    let far = TestHost::start(&listener(&certs, &peer.uri())).await;
    let near = TestHost::start(&towards(&certs, "tcp://127.0.0.1:0", far.address(0).port())).await;
    let sent = pattern(20_000_000);
    let (many, few) = soon(async {
        tokio::join!(exchange(near.address(0), &sent), exchange(near.address(0), b"x"))
    })
    .await;
    assert!(many.unwrap() == sent);
    assert_eq!(few.unwrap(), b"x");
    near.shutdown().await;
    far.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_heard_through_quic() {
    let certs = Certs::new();
    let far = TestHost::start(&format!(
        "[[routes]]\nlisten = \"{QUIC}\"\nto = \"connections.banner\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n\
         [connections.banner]\nuri = \"process:\"\noptions = {{ shell = \"echo welcome; cat\" }}\n",
        certs.server.certificate, certs.server.key
    ))
    .await;
    let near = TestHost::start(&towards(&certs, "tcp://127.0.0.1:0", far.address(0).port())).await;
    let mut stream = TcpStream::connect(near.address(0)).await.unwrap();
    let mut text = [0; 8];
    soon(stream.read_exact(&mut text)).await.unwrap();
    assert_eq!(&text, b"welcome\n");
    stream.write_all(b"more").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "more");
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_goes_in_datagrams() {
    let certs = Certs::new();
    let (_socat, port) = Socat::udp_echo().await;
    let far = TestHost::start(&listener(&certs, &format!("udp://127.0.0.1:{port}"))).await;
    let near = TestHost::start(&towards(&certs, "udp://127.0.0.1:0", far.address(0).port())).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(near.address(0)).await.unwrap();
    let mut buffer = [0; 2000];
    for size in [1, 1000] {
        socket.send(&pattern(size)).await.unwrap();
        let count = soon(socket.recv(&mut buffer)).await.unwrap();
        assert!(buffer[..count] == pattern(size), "{count} bytes of {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_via_quic_is_a_new_stream() {
    let certs = Certs::new();
    let server = QuicServer::start(&certs.server).await;
    let near = TestHost::start(&format!(
        "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.inner\"\n\
         [connections.tunnel]\nuri = \"{}\"\noptions = {{ ca_file = {:?} }}\n\
         [connections.inner]\nuri = \"tcp://anywhere:1\"\nvia = \"tunnel\"\n",
        server.uri(),
        certs.ca
    ))
    .await;
    let sent = pattern(100_000);
    let (one, two) = soon(async {
        tokio::join!(exchange(near.address(0), &sent), exchange(near.address(0), b"two"))
    })
    .await;
    assert!(one.unwrap() == sent);
    assert_eq!(two.unwrap(), b"two");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_reach_a_slow_reader() {
    const ALL: usize = 64 << 20;
    let certs = Certs::new();
    let far = Jackfield::run(&format!(
        "[[routes]]\nlisten = \"{QUIC}\"\nto = \"connections.source\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n\
         [connections.source]\nuri = \"process:\"\n\
         options = {{ shell = \"head -c {ALL} /dev/zero\" }}\n",
        certs.server.certificate, certs.server.key
    ))
    .await;
    let port = far.address(0).port();
    let near = Jackfield::run(&towards(&certs, "tcp://127.0.0.1:0", port)).await;
    let hosts = [&far, &near];
    let before = hosts.map(Jackfield::memory);
    let mut stream = TcpStream::connect(near.address(0)).await.unwrap();
    let (mut buffer, mut count, mut turn) = (vec![0; 20_000], 0, 0);
    loop {
        match soon(stream.read(&mut buffer)).await.unwrap() {
            0 => break,
            more => count += more,
        }
        turn += 1;
        if turn % 64 == 0 {
            for (host, before) in hosts.into_iter().zip(before) {
                let more = host.memory().saturating_sub(before);
                // The windows of a connection are 8 MiB at most, what a socket receives into 3 MiB.
                assert!(more < 24 << 10, "{more} KiB more than before");
            }
        }
    }
    assert_eq!(count, ALL);
}
