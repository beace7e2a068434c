//! Requests that are forwarded: over which sessions, what they count, and what becomes of them when
//! the host stops.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    time::timeout,
};

use crate::support::{
    host::TestHost,
    peers::{curl::curl, echo::TcpPeer},
    process::{DEADLINE, tempdir},
};

/// Reads a head, and content as long as it says.
async fn one(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut content = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut content).await?;
    Ok((head, content))
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Answers every request of a connection; those for `/wait` once `gate` says so.
async fn web(gate: Arc<Semaphore>) -> TcpPeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpPeer::serve_on(listener, move |mut stream, counters| {
        let gate = Arc::clone(&gate);
        async move {
            while let Ok((head, content)) = one(&mut stream).await {
                counters.add_received(1 + content.len());
                if head.contains("/wait") {
                    gate.acquire().await.unwrap().forget();
                }
                if stream.write_all(HELLO).await.is_err() {
                    break;
                }
            }
        }
    })
}

async fn ask(stream: &mut TcpStream, request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, content) = timeout(DEADLINE, one(stream)).await.expect("an answer").unwrap();
    assert_eq!(content, b"hello", "{head}");
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

fn routes(peer: &TcpPeer) -> String {
    format!(
        "[[upstreams.web.targets]]\nuri = \"http://{0}\"\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{0}\"\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.address()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_target_serve_one_client_connection_after_the_other() {
    let gate = Arc::new(Semaphore::new(0));
    let peer = web(Arc::clone(&gate)).await;
    let host = TestHost::start(&routes(&peer)).await;
    for route in 0..2 {
        for _ in 0..5 {
            let mut client = TcpStream::connect(host.address(route)).await.unwrap();
            ask(&mut client, GET).await;
            ask(&mut client, GET).await;
        }
        assert!(peer.accepted() <= 2 * (route + 1), "{} sessions", peer.accepted());
    }
    // Two at once need two.
    let before = peer.received();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(host.address(0)).await.unwrap();
        client.write_all(WAIT).await.unwrap();
        clients.push(client);
    }
    peer.has_received(before + 2).await;
    gate.add_permits(2);
    for client in &mut clients {
        let (_, content) = timeout(DEADLINE, one(client)).await.expect("an answer").unwrap();
        assert_eq!(content, b"hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rested_session_that_has_gone_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Ends each connection after one answer, and says nothing of it.
    let peer = TcpPeer::serve_on(listener, |mut stream, _| async move {
        one(&mut stream).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
    });
    let host = TestHost::start(&routes(&peer)).await;
    for route in 0..2 {
        for _ in 0..10 {
            let mut client = TcpStream::connect(host.address(route)).await.unwrap();
            ask(&mut client, GET).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_asked_twice_meets_no_session_that_has_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Arc::new(Notify::new());
    let telling = Arc::clone(&gone);
    // Ends each connection after one answer, as one that has been idle for too long, and tells when
    // the other side has seen it.
    let peer = TcpPeer::serve_on(listener, move |mut stream, counters| {
        let telling = Arc::clone(&telling);
        async move {
            let (_, content) = one(&mut stream).await.unwrap();
            counters.add_received(content.len());
            stream.write_all(HELLO).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "asked after the end");
            telling.notify_one();
        }
    });
    let host = TestHost::start(&routes(&peer)).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nonce";
    for route in 0..2 {
        for _ in 0..5 {
            let mut client = TcpStream::connect(host.address(route)).await.unwrap();
            for _ in 0..2 {
                ask(&mut client, post).await;
                timeout(DEADLINE, gone.notified()).await.expect("the end of the session");
            }
        }
    }
    assert_eq!((peer.accepted(), peer.received()), (20, 80));
}

/// Less than the 30 s that a session is kept if nobody says otherwise.
const SOON: Duration = Duration::from_secs(20);

/// An upstream of `peer` that keeps sessions as `keepalive` says.
fn keeping(peer: &TcpPeer, keepalive: &str) -> String {
    format!(
        "[upstreams.web]\ntargets = [\"http://{}\"]\nkeepalive = {keepalive}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.address()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_keeps_as_many_sessions_as_it_says() {
    for most in [0, 1] {
        let gate = Arc::new(Semaphore::new(0));
        let peer = web(Arc::clone(&gate)).await;
        let host = TestHost::start(&keeping(&peer, &format!("{{ max_idle = {most} }}"))).await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = TcpStream::connect(host.address(0)).await.unwrap();
            client.write_all(WAIT).await.unwrap();
            clients.push(client);
        }
        peer.has_received(2).await;
        gate.add_permits(2);
        for client in &mut clients {
            let _ = timeout(DEADLINE, one(client)).await.expect("an answer").unwrap();
        }
        // Sooner than any becomes too old.
        timeout(SOON, peer.has_ended(2 - most)).await.expect("the end of what was too many");
        assert_eq!(peer.accepted(), 2, "with {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_as_long_as_its_upstream_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = Arc::new(Notify::new());
    let telling = Arc::clone(&ended);
    let peer = TcpPeer::serve_on(listener, move |mut stream, _| {
        let telling = Arc::clone(&telling);
        async move {
            one(&mut stream).await.unwrap();
            stream.write_all(HELLO).await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            telling.notify_one();
        }
    });
    let host = TestHost::start(&keeping(&peer, "{ max_idle_time = \"50ms\" }")).await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    ask(&mut client, GET).await;
    timeout(SOON, ended.notified()).await.expect("the end of the session");
    ask(&mut client, GET).await;
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_content_counts() {
    let peer = web(Arc::new(Semaphore::new(0))).await;
    let host = TestHost::start(&routes(&peer)).await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    let content = "x".repeat(1000);
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{content}");
    ask(&mut client, &post).await;
    ask(&mut client, GET).await;
    let snapshot = host.manager().snapshot();
    let connection = &snapshot.connections[0];
    assert_eq!((connection.bytes_in, connection.bytes_out), (1000, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_runs_and_ends_what_rests() {
    let gate = Arc::new(Semaphore::new(0));
    let peer = web(Arc::clone(&gate)).await;
    let host = TestHost::start(&format!(
        "[handlers.own]\nhandler = \"reply\"\noptions = {{ body = \"hello\" }}\n{}\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.own\"\n",
        routes(&peer)
    ))
    .await;
    let mut rests = TcpStream::connect(host.address(0)).await.unwrap();
    ask(&mut rests, GET).await;
    let mut handled = TcpStream::connect(host.address(2)).await.unwrap();
    ask(&mut handled, GET).await;
    let mut runs = TcpStream::connect(host.address(1)).await.unwrap();
    runs.write_all(WAIT).await.unwrap();
    peer.has_received(2).await;
    let stopping = tokio::spawn(host.shutdown());
    for idle in [&mut rests, &mut handled] {
        let end = timeout(DEADLINE, idle.read(&mut [0; 1])).await.expect("the end").unwrap();
        assert_eq!(end, 0);
    }
    gate.add_permits(1);
    let (head, content) = timeout(DEADLINE, one(&mut runs)).await.expect("an answer").unwrap();
    assert_eq!(content, b"hello", "{head}");
    let cut_off = timeout(DEADLINE, stopping).await.expect("an end").unwrap();
    assert_eq!(cut_off, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_over_a_unix_socket_in_both_roles() {
    let folder = tempdir();
    let socket = folder.path().join("web");
    let peer = web(Arc::new(Semaphore::new(0))).await;
    let inner = format!("http+unix://{}", socket.display());
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"{inner}\"\n\
         [[routes]]\nlisten = \"{inner}\"\nto = \"http://{}\"\n",
        peer.address()
    ))
    .await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    ask(&mut client, GET).await;
    let path = socket.display().to_string();
    let got = curl(None, &["--unix-socket", &path, "http://a/"]).await;
    assert_eq!(got.ok().stdout, b"hello");
}

fn pooled(peer: &TcpPeer, pool: &str) -> String {
    format!(
        "[upstreams.web]\ntargets = [\"http://{}\"]\npool = {pool}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.address()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_pool_serves_many_clients_that_stay() {
    let peer = web(Arc::new(Semaphore::new(0))).await;
    let options = "{ max_size = 2, acquire_timeout = \"20s\" }";
    let host = TestHost::start(&pooled(&peer, options)).await;
    let address = host.address(0);
    let clients = (0..100).map(|_| async move {
        let mut client = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            ask(&mut client, GET).await;
        }
        client
    });
    let clients = futures_util::future::join_all(clients).await;
    assert_eq!((clients.len(), peer.accepted()), (100, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_of_one_client_go_over_one_session() {
    let peer = web(Arc::new(Semaphore::new(0))).await;
    let host = TestHost::start(&routes(&peer)).await;
    for route in 0..2 {
        let mut client = TcpStream::connect(host.address(route)).await.unwrap();
        for _ in 0..200 {
            ask(&mut client, GET).await;
        }
        assert_eq!(peer.accepted(), route + 1);
    }
}

/// Answers one request of each connection, and closes at the second without a word.
async fn once() -> TcpPeer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpPeer::serve_on(listener, |mut stream, counters| async move {
        one(&mut stream).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        if let Ok((_, content)) = one(&mut stream).await {
            counters.add_received(content.len());
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_closes_when_it_is_asked_again_costs_no_request_that_is_idempotent() {
    let peer = once().await;
    let host = TestHost::start(&routes(&peer)).await;
    let with = |method: &str, size: usize| {
        let content = "x".repeat(size);
        format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{content}")
    };
    for route in 0..2 {
        let mut client = TcpStream::connect(host.address(route)).await.unwrap();
        for request in [GET, &with("PUT", 60_000), &with("DELETE", 0), &with("PUT", 3), GET] {
            ask(&mut client, request).await;
        }
        // One that is not gets a session of its own, where its client has asked for nothing before.
        for _ in 0..5 {
            let mut client = TcpStream::connect(host.address(route)).await.unwrap();
            ask(&mut client, &with("POST", 3)).await;
        }
    }
    assert!(peer.received() >= 60_003, "{}: no session was used again", peer.received());
}
