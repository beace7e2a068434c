//! What of a request its target sees.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

/// A target of HTTP/1.1 that tells the heads that it gets.
async fn telling() -> (TcpPeer, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (tell, told) = mpsc::channel(8);
    let peer = TcpPeer::serve_on(listener, move |mut stream, _| {
        let tell = tell.clone();
        async move {
            let mut head = Vec::new();
            while let Ok(byte) = stream.read_u8().await {
                head.push(byte);
                if head.ends_with(b"\r\n\r\n") {
                    let _ = tell.send(String::from_utf8(std::mem::take(&mut head)).unwrap()).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        }
    });
    (peer, told)
}

/// What a target sees of a request with these lines.
async fn seen(route: &str, path: &str, request: &str) -> String {
    let (peer, mut told) = telling().await;
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{}{path}\"\n{route}\n",
        peer.address()
    ))
    .await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    timeout(DEADLINE, told.recv()).await.expect("a request").unwrap()
}

/// The values of a field, line by line.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(have, _)| *have == name).map(|(_, value)| value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_fields_are_believed_from_trusted_proxies_only() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 10.1.1.1\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: front\r\nForwarded: for=6.6.6.6\r\n\r\n";
    for (route, chain, proto, host, forwarded) in [
        (
            "",
            "6.6.6.6, 10.1.1.1, 127.0.0.1",
            "http",
            "a",
            &["for=6.6.6.6, for=127.0.0.1;host=\"a\";proto=http"][..],
        ),
        (
            "trusted_proxies = [\"127.0.0.0/8\"]",
            "6.6.6.6, 10.1.1.1, 127.0.0.1",
            "https",
            "front",
            &["for=6.6.6.6, for=127.0.0.1;host=\"a\";proto=http"],
        ),
        ("trusted_proxies = [\"10.0.0.1\"]", "127.0.0.1", "http", "a", &[]),
    ] {
        let head = seen(route, "", request).await;
        assert_eq!(values(&head, "x-forwarded-for"), [chain], "{route}");
        assert_eq!(values(&head, "x-forwarded-proto"), [proto], "{route}");
        assert_eq!(values(&head, "x-forwarded-host"), [host], "{route}");
        assert_eq!(values(&head, "forwarded"), forwarded, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_names_that_of_the_target() {
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"] {
        let head = seen("", "", request).await;
        assert!(values(&head, "host")[0].starts_with("127.0.0.1:"), "{head}");
        assert!(values(&head, "x-forwarded-host").is_empty(), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_a_target_stands_before_that_of_a_request() {
    for (path, asked, line) in [
        ("", "/x?y", "GET /x?y HTTP/1.1"),
        ("/", "/x", "GET /x HTTP/1.1"),
        ("/v2", "/x?y", "GET /v2/x?y HTTP/1.1"),
        ("/v2/", "/", "GET /v2/ HTTP/1.1"),
    ] {
        let request = format!("GET {asked} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = seen("", path, &request).await;
        assert_eq!(head.lines().next(), Some(line), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_not_listed_stays_behind() {
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk";
    let websocket = "Connection: keep-alive, Upgrade, x-own\r\nX-Own: 1\r\nUpgrade: websocket";
    let own = "Connection: Upgrade\r\nUpgrade: own";
    let listing = "options = { upgrades = [\"own\"] }";
    for (route, fields, kept) in [
        ("", h2c, None),
        ("", websocket, Some("websocket")),
        ("", own, None),
        (listing, own, Some("own")),
        (listing, websocket, None),
        (listing, h2c, None),
    ] {
        let head = seen(route, "", &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).await;
        assert_eq!(values(&head, "upgrade"), Vec::from_iter(kept), "{fields}: {head}");
        let connection = Vec::from_iter(kept.map(|_| "upgrade"));
        assert_eq!(values(&head, "connection"), connection, "{fields}: {head}");
        assert!(values(&head, "http2-settings").is_empty() && values(&head, "x-own").is_empty());
    }
    let refused = TestHost::try_start(
        "[handlers.reply]\n[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.reply\"\n\
         options = { upgrades = [\"h2c\"] }\n",
    );
    assert!(refused.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_names_pseudo_fields_takes_none_away() {
    let request = "POST /secret HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
        Connection: close, :path, :method, :authority\r\n\r\n";
    let head = seen("", "", request).await;
    assert!(head.starts_with("POST /secret HTTP/1.1\r\n"), "{head}");
    assert_eq!(values(&head, "host"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_are_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpPeer::serve_on(listener, |mut stream, _| async move {
        let _ = stream.read(&mut [0; 1000]).await;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: y\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let _ = stream
            .write_all(format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{answer}").as_bytes())
            .await;
        let _ = stream.read(&mut [0; 1]).await;
    });
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{}\"\n",
        peer.address()
    ))
    .await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(request).await.unwrap();
    let mut text = String::new();
    timeout(DEADLINE, client.read_to_string(&mut text)).await.expect("an answer").unwrap();
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(text.starts_with(hints) && text.ends_with("\r\n\r\nhello"), "{text}");
}
