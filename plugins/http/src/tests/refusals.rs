//! What a server refuses, and that its clients hear of it.

use super::windows::{GET, HEADERS, PREFACE, SETTINGS, frame};
use super::*;
use crate::{Reply, ReplyOptions};
use jackfield_plugin_api::Handler;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const PING: u8 = 6;

fn users() -> HttpOptions {
    HttpOptions { users: [("u".to_owned(), Secret::new("p"))].into(), ..HttpOptions::default() }
}

fn short() -> HttpOptions {
    HttpOptions { max_request_body: 1000, ..HttpOptions::default() }
}

/// A client, written by hand, of a server whose requests a handler answers that reads their content.
fn asked_by_hand(options: HttpOptions) -> Stream {
    let (near, far) = testing::carriers(CAPACITY);
    tokio::spawn(async move {
        let session = accept(options, far).await.unwrap();
        let echo = ReplyOptions { echo: true, ..ReplyOptions::default() };
        // How it ends is not what these tests are about.
        let _ = Reply::new(testing::host(), echo).unwrap().serve(session).await;
    });
    near.take_stream().unwrap()
}

fn chunks(size: usize) -> String {
    format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_can_send_all_that_it_has_and_reads_the_refusal() {
    const MUCH: usize = 5 << 20;
    let long = format!("Content-Length: {MUCH}\r\n\r\n{}", "x".repeat(MUCH));
    for (options, rest, status) in [
        (users(), &long, "401"),
        (short(), &long, "413"),
        (short(), &chunks(MUCH), "413"),
        (HttpOptions::default(), &format!("Bad Field: x\r\n\r\n{}", "x".repeat(MUCH)), "400"),
        (
            HttpOptions::default(),
            &format!("Transfer-Encoding: gzip, {}", &chunks(MUCH)[19..]),
            "501",
        ),
    ] {
        let mut client = asked_by_hand(options);
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(head_of(&mut client).await.starts_with(&format!("HTTP/1.1 {status} ")));
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_for_nothing_is_bounded_in_bytes_and_in_time() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    // A client that never stops.
    let options = HttpOptions { max_linger_bytes: 1 << 20, ..users() };
    let mut client = asked_by_hand(options);
    client.write_all(request).await.unwrap();
    let mut sent = 0;
    while client.write_all(&[b'x'; 1 << 10]).await.is_ok() {
        sent += 1 << 10;
    }
    assert!((1 << 20..2 << 20).contains(&sent), "{sent}");
    // Clients that drip, and that say nothing more.
    for (pause, longest) in [(2, 12), (3600, 7)] {
        let options = HttpOptions { linger_timeout: 10, ..users() };
        let mut client = asked_by_hand(options);
        client.write_all(request).await.unwrap();
        let start = Instant::now();
        while client.write_all(b"x").await.is_ok() {
            let ended = async {
                while client.read(&mut [0; 100]).await.unwrap() > 0 {}
                std::future::pending::<()>().await;
            };
            let _ = timeout(Duration::from_secs(pause), ended).await;
        }
        assert!(start.elapsed() <= Duration::from_secs(longest.max(pause)), "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_fails_is_answered_by_its_fault() {
    let cut = "Content-Length: 9\r\n\r\nhello".to_owned();
    let late = HttpOptions { body_timeout: 5, ..HttpOptions::default() };
    for (options, rest, ends, status) in [
        (HttpOptions::default(), &cut, true, "400"),
        (late, &cut, false, "408"),
        (
            HttpOptions::default(),
            &"Transfer-Encoding: chunked\r\n\r\nZZ\r\n".to_owned(),
            false,
            "400",
        ),
        (short(), &chunks(1001), false, "413"),
    ] {
        // Of a handler that reads it, and of one that gives no answer then.
        for answers in [true, false] {
            let (near, far) = testing::carriers(CAPACITY);
            let options = clone(&options);
            tokio::spawn(async move {
                let session = accept(options, far).await.unwrap();
                if answers {
                    let echo = ReplyOptions { echo: true, ..ReplyOptions::default() };
                    let _ = Reply::new(testing::host(), echo).unwrap().serve(session).await;
                    return;
                }
                let exchange = taken(&session);
                let incoming = exchange.accept().await.unwrap().unwrap();
                whole(incoming.request.body).await.unwrap_err();
                drop(incoming.answer);
                let _ = exchange.accept().await;
            });
            let mut client = near.take_stream().unwrap();
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
            client.write_all(request.as_bytes()).await.unwrap();
            if ends {
                client.shutdown().await.unwrap();
            }
            let head = head_of(&mut client).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{rest:.60}: {head}");
        }
    }
}

fn clone(options: &HttpOptions) -> HttpOptions {
    HttpOptions {
        body_timeout: options.body_timeout,
        max_request_body: options.max_request_body,
        ..HttpOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn transfer_codings_that_are_not_known_are_refused() {
    for (codings, status) in [
        ("Transfer-Encoding: chunked", "200"),
        ("Transfer-Encoding: Chunked", "200"),
        ("Transfer-Encoding: gzip, chunked", "501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "501"),
        ("Transfer-Encoding: chunked, chunked", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400"),
        ("Transfer-Encoding: , chunked", "400"),
    ] {
        let mut client = asked_by_hand(HttpOptions::default());
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{codings}\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let head = head_of(&mut client).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{codings}: {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_with_a_path_serves_nothing_else() {
    for (path, status) in [
        ("/api", "200"),
        ("/api/", "200"),
        ("/api/x?y", "200"),
        ("/api?x", "200"),
        ("/apix", "404"),
        ("/", "404"),
        ("/other/api", "404"),
        ("*", "404"),
    ] {
        let (near, far) = testing::carriers(CAPACITY);
        tokio::spawn(async move {
            let driver = HttpDriver::new(testing::host()).unwrap();
            let endpoint = driver.configure(HttpOptions::default(), Role::Server).unwrap();
            let address = Address::new("", 80).with_path("/api/");
            let request = Request::new(address, testing::DEADLINE).with_carrier(far);
            let session = driver.accept(&endpoint, request).await.unwrap();
            let _ =
                Reply::new(testing::host(), ReplyOptions::default()).unwrap().serve(session).await;
        });
        let mut client = near.take_stream().unwrap();
        let request = format!("OPTIONS {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let head = head_of(&mut client).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_listed_is_no_upgrade() {
    for (fields, is_upgrade) in [
        ("Connection: Upgrade\r\nUpgrade: websocket", true),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", false),
        ("Connection: close\r\nUpgrade: websocket", false),
        ("Connection: Upgrade\r\nUpgrade: own", false),
    ] {
        let (near, far) = testing::carriers(CAPACITY);
        let mut client = near.take_stream().unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let session = accept(HttpOptions::default(), far).await.unwrap();
        let incoming = taken(&session).accept().await.unwrap().unwrap();
        assert_eq!(incoming.request.upgrade.is_some(), is_upgrade, "{fields}");
        let left = incoming.request.head;
        assert_eq!(left.get("upgrade").is_some(), is_upgrade, "{fields}");
        assert!(left.get("http2-settings").is_none(), "{fields}");
        // Nobody can be told to switch who has not asked for it.
        let answer = asked(&[(":status", "101"), ("upgrade", "websocket")], Body::empty());
        let sent = incoming.answer.send(answer);
        if !is_upgrade {
            assert_eq!(sent.await.unwrap_err().kind(), ErrorKind::Config);
            assert!(head_of(&mut client).await.starts_with("HTTP/1.1 500 "));
        }
    }
}

#[tokio::test]
async fn the_bytes_after_an_upgrade_are_not_read_for_nothing() {
    let (near, far) = testing::carriers(CAPACITY);
    let mut client = near.take_stream().unwrap();
    let request =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
    client.write_all(request).await.unwrap();
    let session = accept(HttpOptions::default(), far).await.unwrap();
    let incoming = taken(&session).accept().await.unwrap().unwrap();
    let answer = [(":status", "101"), ("connection", "upgrade"), ("upgrade", "websocket")];
    let answered = incoming.answer.send(asked(&answer, Body::empty()));
    let (_, upgraded) = tokio::join!(answered, incoming.request.upgrade.unwrap());
    let mut stream = upgraded.unwrap().take_stream().unwrap();
    stream.shutdown().await.unwrap();
    client.write_all(b", second").await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "first, second");
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_http2_that_never_asks_is_cut_and_one_that_only_pings_too() {
    let settings = frame(SETTINGS, 0, 0, &[]);
    let preface = [PREFACE, &settings].concat();
    for (what, first, pings, limit) in [
        ("a preface", PREFACE.to_vec(), false, 30),
        ("settings", preface.clone(), false, 30),
        ("a head that never ends", [&preface[..], &frame(HEADERS, 1, 1, GET)].concat(), false, 30),
        ("pings", preface.clone(), true, 30),
        ("a request, then pings", [&preface[..], &frame(HEADERS, 5, 1, GET)].concat(), true, 75),
    ] {
        let mut client = asked_by_hand(HttpOptions::default());
        client.write_all(&first).await.unwrap();
        let start = Instant::now();
        let ended = async {
            let (mut read, mut write) = tokio::io::split(client);
            let pinging = async {
                if pings {
                    while write.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                std::future::pending::<()>().await;
            };
            let mut sink = Vec::new();
            tokio::select! {
                ended = read.read_to_end(&mut sink) => drop(ended),
                () = pinging => {}
            }
        };
        timeout(Duration::from_secs(limit + 6), ended).await.expect(what);
        assert!(start.elapsed() >= Duration::from_secs(limit), "{what}");
    }
}

#[tokio::test]
async fn cookies_of_http2_are_one_field() {
    let [client, server] = both(Version::Http2);
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(client, near).await.unwrap();
    let fields =
        [(":path", "/"), ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")];
    let asking = taken(&session).send(asked(&fields, Body::empty()));
    let serving = async {
        let session = accept(server, far).await.unwrap();
        let incoming = taken(&session).accept().await.unwrap().unwrap();
        let cookies = incoming.request.head.iter().filter(|(name, _)| *name == b"cookie");
        let cookies: Vec<_> = cookies.map(|(_, value)| value.to_vec()).collect();
        assert_eq!(cookies, [b"a=1; b=2; c=3"]);
        incoming.answer.send(asked(&[(":status", "204")], Body::empty())).await.unwrap();
    };
    tokio::join!(async { asking.await.unwrap() }, serving);
}
