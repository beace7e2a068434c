//! How many locks of the host each piece takes that passes: what the table in `host/README.md` says.
//!
//! The host counts the locks that a thread takes (`jackfield_lock::taken`). Here its tasks, the clients and the peers are
//! on one thread, so that all of them are counted. What comes at a time of its own, such as a watchdog, is far less than one
//! lock for each piece, and left out.

use futures_util::{SinkExt, StreamExt};
use jackfield::{
    admin::{AdminControls, AdminSockets},
    manager::Manager,
};
use jackfield_lock::taken;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixStream},
};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

use crate::support::{
    host::{TestHost, exchange, load},
    peers::echo::TcpPeer,
    process::{DEADLINE, tempdir},
};

/// Pieces that are counted.
const PIECES: u64 = 200;

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
    for length in [64, 64 << 10] {
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
async fn requests_posts_and_connections_take_as_many_locks_as_are_documented() {
    let (web, echo) = (web().await, TcpPeer::echo().await);
    let web = format!("http://{}", web.address());
    let toml = [
        route("http", "upstreams.web"),
        route("tcp", "upstreams.raw"),
        route("tcp", "upstreams.pooled"),
        format!("[upstreams.web]\ntargets = [\"{web}\"]\n"),
        format!("[upstreams.raw]\ntargets = [\"{0}\"]\n", echo.uri()),
        format!("[upstreams.pooled]\ntargets = [\"{0}\"]\npool = {{}}\n", echo.uri()),
        format!("[connections.lab]\nuri = \"{}\"\n", echo.uri()),
    ];
    let host = TestHost::start(&toml.concat()).await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    let request = locks(async || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(read_head(&mut client).await);
        client.read_exact(&mut [0; 5]).await.unwrap();
    });
    let request = request.await;
    assert!(request <= 17, "{request} locks for each request");
    let live = host.manager().connection("lab").await.unwrap().live();
    live.wait_ready(DEADLINE).await.unwrap();
    let post = locks(async || live.post("x").unwrap().sent().await.unwrap()).await;
    assert!(post <= 3, "{post} locks for each post");
    for (at, most) in [(1, 14), (2, 32)] {
        let address = host.address(at);
        let connection = locks(async || {
            assert_eq!(exchange(address, b"hello").await.unwrap(), b"hello");
        });
        let connection = connection.await;
        assert!(connection <= most, "{connection} locks for each connection to route {at}");
    }
}

#[tokio::test]
async fn a_scrape_takes_a_few_locks_for_each_target() {
    let folder = tempdir();
    let scrape = async |count: u16| {
        let targets: Vec<_> = (1..=count).map(|port| format!("tcp://127.0.0.1:{port}")).collect();
        let place = folder.path().join(format!("{count}.sock"));
        let toml = format!(
            "[admin]\nlisten = [\"unix:{}\"]\n[upstreams.u]\ntargets = {targets:?}\npool = {{}}\n",
            place.display()
        );
        let loaded = load(folder.path(), &toml);
        let sockets = AdminSockets::bind(&loaded).unwrap();
        let manager = Manager::start(&loaded).await.unwrap();
        let _server = sockets.serve(manager.clone(), AdminControls::default());
        let scrape = async || {
            let mut stream = UnixStream::connect(&place).await.unwrap();
            let asked = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(asked).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let series = answer.matches("\njackfield_target_up{").count();
            assert_eq!(series, usize::from(count));
        };
        scrape().await;
        let before = taken();
        scrape().await;
        let locks = taken() - before;
        manager.shutdown().await;
        locks
    };
    let (few, many) = (scrape(10).await, scrape(1000).await);
    assert!(many <= few + 990 * 5, "{few} locks for 10 targets, {many} for 1000");
}
