//! How many locks of the host each piece takes that passes: what the table in `host/README.md` says.
//!
//! The host counts the locks that a thread takes (`jackfield_lock::taken`). Here its tasks, the clients and the peers are
//! on one thread, so that all of them are counted. What comes at a time of its own, such as a watchdog, is far less than one
//! lock for each piece, and left out.

use futures_util::{SinkExt, StreamExt};
use jackfield_lock::taken;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

use crate::support::{host::TestHost, peers::echo::TcpPeer};

/// Pieces that are counted.
const PIECES: u64 = 500;

/// Whole locks for each of [`PIECES`], after a few that may differ.
async fn locks(mut piece: impl AsyncFnMut()) -> u64 {
    for _ in 0..20 {
        piece().await;
    }
    let before = taken();
    for _ in 0..PIECES {
        piece().await;
    }
    (taken() - before) / PIECES
}

fn route(listen: &str, to: &str) -> String {
    format!("[[routes]]\nlisten = \"{listen}://127.0.0.1:0\"\nto = \"{to}\"\n")
}

/// Sends so many bytes, and reads as many that come back.
async fn round_trip(stream: &mut TcpStream, length: usize) {
    let (mut read, mut write) = stream.split();
    let (sent, mut back) = (vec![1; length], vec![0; length]);
    let (written, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
    written.unwrap();
    got.unwrap();
    assert_eq!(sent, back);
}

/// Answers each request of a connection that stays.
async fn web() -> TcpPeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpPeer::serve_on(listener, |mut stream, _| async move {
        while read_head(&mut stream).await {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    })
}

async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return false };
        head.push(byte);
    }
    true
}

#[tokio::test]
async fn bytes_that_are_relayed_take_no_lock() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start(&route("tcp", &peer.uri())).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    for length in [64, 16 << 10, 256 << 10] {
        let count = locks(async || round_trip(&mut stream, length).await).await;
        assert_eq!(count, 0, "locks for each {length} bytes there and back");
    }
}

#[tokio::test]
async fn messages_that_are_relayed_take_no_lock() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpPeer::serve_on(listener, |stream, _| async move {
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    });
    let host = TestHost::start(&route("ws", &format!("ws://{}", peer.address()))).await;
    let stream = TcpStream::connect(host.address(0)).await.unwrap();
    let (mut client, _) = client_async("ws://x.test/", stream).await.unwrap();
    let count = locks(async || {
        client.send(Message::text("hello")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("hello"));
    });
    assert_eq!(count.await, 0, "locks for each message there and back");
}

#[tokio::test]
async fn datagrams_that_are_relayed_take_no_lock() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = format!("udp://{}", peer.local_addr().unwrap());
    let echo = tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = peer.recv_from(&mut buffer).await {
            peer.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let host = TestHost::start(&route("udp", &to)).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(host.address(0)).await.unwrap();
    let count = locks(async || {
        client.send(b"hello").await.unwrap();
        assert_eq!(client.recv(&mut [0; 64]).await.unwrap(), 5);
    });
    assert_eq!(count.await, 0, "locks for each datagram there and back");
    echo.abort();
}

#[tokio::test]
async fn probe() {
    let (web, echo) = (web().await, TcpPeer::echo().await);
    let web = format!("http://{}", web.address());
    let toml = route("http", &web)
        + &route("http", "upstreams.web")
        + &route("tcp", &echo.uri())
        + &route("tcp", "upstreams.raw")
        + &route("tcp", "upstreams.pool");
    let host = TestHost::start(&format!(
        "{toml}[upstreams.web]\ntargets = [\"{web}\"]\n[upstreams.raw]\ntargets = [\"{0}\"]\n[upstreams.pool]\ntargets = [\"{0}\"]\npool={{max_size=4}}\n[connections.c]\nuri=\"{0}\"", echo.uri()
    ))
    .await;
    let live = host.manager().connection("c").await.unwrap().live();
    live.wait_ready(crate::support::process::DEADLINE).await.unwrap();
    let count = locks(async || {
        live.post("x").unwrap().sent().await.unwrap();
    })
    .await;
    eprintln!("a post: {count}");
    for at in 0..2 {
        let mut client = TcpStream::connect(host.address(at)).await.unwrap();
        let count = locks(async || {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert!(read_head(&mut client).await);
            client.read_exact(&mut [0; 5]).await.unwrap();
        })
        .await;
        eprintln!("a request to {at}: {count}");
    }
    for at in 2..5 {
        let count = locks(async || {
            let mut stream = TcpStream::connect(host.address(at)).await.unwrap();
            round_trip(&mut stream, 64).await;
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        })
        .await;
        eprintln!("a connection to {at}: {count}");
    }
    for number in [1, 1000] {
        let targets: Vec<_> = (0..number).map(|at| format!("tcp://127.0.0.1:{}", at + 1)).collect();
        let folder = crate::support::process::tempdir();
        let toml = format!(
            "[admin]\nlisten = [\"unix:{}/s\"]\n[upstreams.u]\ntargets = {targets:?}\npool = {{}}\n",
            folder.path().display()
        );
        let loaded = crate::support::host::load(folder.path(), &toml);
        let sockets = jackfield::admin::AdminSockets::bind(&loaded).unwrap();
        let manager = jackfield::manager::Manager::start(&loaded).await.unwrap();
        let _server = sockets.serve(manager.clone(), Default::default());
        let count = locks(async || {
            let mut stream =
                tokio::net::UnixStream::connect(folder.path().join("s")).await.unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut all = String::new();
            stream.read_to_string(&mut all).await.unwrap();
            assert!(all.starts_with("HTTP/1.1 200"));
        });
        eprintln!("a scrape of {number}: {}", count.await);
    }
    panic!();
}
