//! The server against clients that are written by hand.

use super::*;
use futures_util::{StreamExt, stream};
use jackfield_plugin_api::Incoming;
use std::time::Duration;

/// What a server answers to `bytes`, whose requests `echo` answers; and the paths it was asked for.
async fn told(options: HttpOptions, bytes: &[u8]) -> (String, Vec<String>) {
    let (near, far) = testing::carriers(1 << 20);
    let mut client = near.take_stream().unwrap();
    let server = tokio::spawn(async move {
        let session = accept(options, far).await?;
        let exchange = taken(&session);
        let mut paths = Vec::new();
        let mut end = Ok(());
        loop {
            match exchange.accept().await {
                Ok(Some(incoming)) => {
                    paths.push(field(&incoming.request.head, ":path"));
                    tokio::spawn(echo(incoming));
                }
                Ok(None) => break,
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        Ok::<_, jackfield_plugin_api::Error>((paths, end))
    });
    client.write_all(bytes).await.unwrap();
    let mut text = Vec::new();
    // A server that refuses may cut the rest off.
    let _ = client.read_to_end(&mut text).await;
    let paths = server.await.unwrap().map(|(paths, _)| paths).unwrap_or_default();
    (String::from_utf8_lossy(&text).into_owned(), paths)
}

fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect()
}

#[tokio::test(start_paused = true)]
async fn requests_are_kept_apart() {
    let two = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let (text, paths) = told(HttpOptions::default(), two).await;
    assert_eq!(statuses(&text), ["200", "200", "200"], "{text}");
    assert_eq!(paths, ["/1", "/2", "/3"]);
}

#[tokio::test(start_paused = true)]
async fn smuggled_requests_are_never_seen() {
    let next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (what, request, most) in [
        ("both lengths", format!("Content-Length: 4\r\n{chunked}\r\n0\r\n\r\n{next}"), 1),
        ("both, other order", format!("{chunked}Content-Length: 4\r\n\r\n0\r\n\r\n{next}"), 1),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: 4\r\n\r\n{next}"), 0),
        ("a list of lengths", format!("Content-Length: 0, 4\r\n\r\n{next}"), 0),
        ("a signed length", format!("Content-Length: +0\r\n\r\n{next}"), 0),
        ("no chunked last", format!("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n{next}"), 0),
        ("chunked hidden", format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{next}"), 0),
        (
            "a space before the colon",
            format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{next}"),
            0,
        ),
        ("a folded line", format!("X: y\r\n Transfer-Encoding: chunked\r\n\r\n{next}"), 0),
        ("a bare CR", format!("X: y\rTransfer-Encoding: chunked\r\n\r\n{next}"), 0),
        ("a NUL", format!("X: y\0\r\n\r\n{next}"), 0),
        ("a chunk size that is none", format!("{chunked}\r\n-1\r\n\r\n{next}"), 1),
        ("a chunk size too large", format!("{chunked}\r\nfffffffffffffffff\r\n\r\n{next}"), 1),
        ("a chunk longer than it says", format!("{chunked}\r\n1\r\nabc\r\n0\r\n\r\n{next}"), 1),
        ("two hosts", format!("Host: b\r\n\r\n{next}"), 0),
    ] {
        let bytes = format!("POST /first HTTP/1.1\r\nHost: a\r\n{request}");
        let (text, paths) = told(HttpOptions::default(), bytes.as_bytes()).await;
        assert!(!paths.contains(&"/smuggled".to_owned()), "{what}: {paths:?}\n{text}");
        assert!(paths.len() <= most, "{what}: {paths:?}");
        if most == 0 {
            assert_eq!(statuses(&text), ["400"], "{what}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(100 << 10));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost a\n\n", "400"),
        (long.as_str(), "431"),
        (many.as_str(), "431"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000000\r\n\r\n", "413"),
    ] {
        let (text, paths) = told(HttpOptions::default(), bytes.as_bytes()).await;
        let start: String = bytes.chars().take(40).collect();
        assert_eq!(statuses(&text), [status], "{start:?}: {text}");
        assert!(paths.is_empty());
    }
    let (text, _) = told(HttpOptions::default(), b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
}

#[tokio::test]
async fn content_that_is_cut_short_or_too_long_is_told_apart() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (rest, kind) in [
        ("Content-Length: 8\r\n\r\nhello", ErrorKind::Closed),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\nmore\r\n0\r\n\r\n",
            ErrorKind::Limit,
        ),
    ] {
        let (near, far) = testing::carriers(CAPACITY);
        let mut client = near.take_stream().unwrap();
        client.write_all(format!("{post}{rest}").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let options = HttpOptions { max_request_body: 8, ..HttpOptions::default() };
        let session = accept(options, far).await.unwrap();
        let incoming = taken(&session).accept().await.unwrap().unwrap();
        let error = whole(incoming.request.body).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_500_and_a_bad_answer_too() {
    let (near, far) = testing::carriers(CAPACITY);
    let mut client = near.take_stream().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let session = accept(HttpOptions::default(), far).await.unwrap();
    let exchange = taken(&session);
    drop(exchange.accept().await.unwrap().unwrap());
    assert!(head_of(&mut client).await.starts_with("HTTP/1.1 500 "));
    let mut rest = vec![0; "the request was not answered\n".len()];
    client.read_exact(&mut rest).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let incoming = exchange.accept().await.unwrap().unwrap();
    let split = asked(&[(":status", "200"), ("x", "a\r\nset-cookie: b")], Body::empty());
    assert_eq!(incoming.answer.send(split).await.unwrap_err().kind(), ErrorKind::Config);
    assert!(head_of(&mut client).await.starts_with("HTTP/1.1 500 "));
}

#[tokio::test]
async fn interim_responses_come_before_the_answer_and_never_inside_another() {
    let hints = || HeaderBlock::new([(":status", "103"), ("link", "</a>")]).unwrap();
    for (version, has_interim) in [("1.1", true), ("1.0", false)] {
        // Little room, so that the answers wait to be taken.
        let (near, far) = testing::carriers(40);
        let mut client = near.take_stream().unwrap();
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let serving = async {
            let session = accept(HttpOptions::default(), far).await.unwrap();
            let exchange = taken(&session);
            for _ in 0..2 {
                let mut incoming = exchange.accept().await.unwrap().unwrap();
                incoming.answer.interim(hints());
                // No interim response: it would end the wait for the answer.
                let no = HeaderBlock::new([(":status", "200")]).unwrap();
                incoming.answer.interim(no);
                incoming.answer.interim(hints());
                let answer = asked(&[(":status", "200")], Body::full("x".repeat(100)));
                incoming.answer.send(answer).await.unwrap();
            }
            // What is written still has to be taken.
            (session, exchange)
        };
        let talking = async {
            // Both at once: the second is begun while the first answer is still taken.
            let both = request.repeat(2);
            let sending = tokio::io::split(&mut client);
            let (mut read, mut write) = sending;
            let writing = async { write.write_all(both.as_bytes()).await.unwrap() };
            let reading = async {
                let mut text = Vec::new();
                while String::from_utf8_lossy(&text).matches(&"x".repeat(100)).count() < 2 {
                    text.push(read.read_u8().await.unwrap());
                }
                String::from_utf8(text).unwrap()
            };
            tokio::join!(reading, writing).0
        };
        let (text, _serving) = tokio::join!(talking, serving);
        let one = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let answers: Vec<&str> = text.split(&"x".repeat(100)).collect();
        for answer in &answers[..2] {
            let count = if has_interim { 2 } else { 0 };
            assert!(
                answer.starts_with(&format!("{}HTTP/{version} 200 OK\r\n", one.repeat(count))),
                "{text}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_heads_and_slow_content_are_given_up() {
    let options = || HttpOptions { header_timeout: 5, body_timeout: 5, ..HttpOptions::default() };
    // Before it is known which HTTP it is, and after.
    for head in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost:"] {
        let (near, far) = testing::carriers(CAPACITY);
        let mut client = near.take_stream().unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        let error = match accept(options(), far).await {
            Err(error) => error,
            Ok(session) => taken(&session).accept().await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{head}: {error}");
    }
    let (near, far) = testing::carriers(CAPACITY);
    let mut client = near.take_stream().unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nh").await.unwrap();
    let session = accept(options(), far).await.unwrap();
    let incoming = taken(&session).accept().await.unwrap().unwrap();
    let error = whole(incoming.request.body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let (near, far) = testing::carriers(1024);
    let mut client = near.take_stream().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let options = HttpOptions { write_timeout: 5, ..HttpOptions::default() };
    let session = accept(options, far).await.unwrap();
    let incoming = taken(&session).accept().await.unwrap().unwrap();
    let endless = stream::repeat_with(|| Ok(BodyPart::Data(Bytes::from_static(&[0; 1000]))));
    let answer = asked(&[(":status", "200")], Body::new(endless));
    let error = incoming.answer.send(answer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    for version in [Version::Http1, Version::Http2] {
        let [client, _] = both(version);
        let (near, far) = testing::carriers(CAPACITY);
        let opened = open(client, near).await.unwrap();
        let server = tokio::spawn(async move {
            let options = HttpOptions { idle_timeout: 10, ..HttpOptions::default() };
            let session = accept(options, far).await.unwrap();
            let exchange = taken(&session);
            while let Some(incoming) = exchange.accept().await.unwrap() {
                echo(incoming).await;
            }
        });
        call(&opened, "get", json!({})).await.unwrap();
        server.await.unwrap();
        let error = call(&opened, "get", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

#[tokio::test]
async fn draining_finishes_what_runs() {
    for version in [Version::Http1, Version::Http2] {
        let [client, server] = both(version);
        let (near, far) = testing::carriers(CAPACITY);
        let opened = open(client, near).await.unwrap();
        let asking = taken(&opened).send(asked(&[(":path", "/")], Body::empty()));
        let serving = async {
            let session = accept(server, far).await.unwrap();
            let exchange = taken(&session);
            let incoming = exchange.accept().await.unwrap().unwrap();
            let mut drained = session.drain();
            assert!((&mut drained).now_or_never().is_none());
            let late = asked(&[(":status", "200")], Body::full("late"));
            let (sent, drained) = tokio::join!(incoming.answer.send(late), drained);
            sent.unwrap();
            drained.unwrap();
            assert!(exchange.accept().await.unwrap().is_none());
        };
        let (answer, ()) =
            tokio::join!(async { whole(asking.await.unwrap().body).await.unwrap().0 }, serving);
        assert_eq!(answer, b"late");
    }
}

#[tokio::test]
async fn a_client_tells_when_its_connection_has_ended_and_what_it_has_not_sent() {
    for version in [Version::Http1, Version::Http2] {
        let (near, far) = testing::carriers(CAPACITY);
        let options = HttpOptions { version, ..HttpOptions::default() };
        let session = open(options, near).await.unwrap();
        let exchange = taken(&session);
        let mut end = exchange.accept();
        assert!((&mut end).now_or_never().is_none());
        drop(far);
        assert!(end.await.unwrap().is_none());
        let request = asked(&[(":method", "POST"), (":path", "/")], Body::full("once"));
        let error = exchange.send(request).await.unwrap_err();
        assert!(error.is_unsent(), "{version:?}: {error:?}");
    }
}

/// Reads frames of a client of HTTP/2 until one opens a stream.
async fn until_headers(stream: &mut Stream) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        if head[3] == 1 {
            return;
        }
    }
}

#[tokio::test]
async fn requests_that_an_http2_server_has_not_begun_may_be_asked_again() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // RST_STREAM of stream 1, with REFUSED_STREAM and with INTERNAL_ERROR.
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const BROKEN: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    // GOAWAY of all streams, with NO_ERROR and with PROTOCOL_ERROR.
    const LEAVING: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const FAILING: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for (said, unsent) in [(REFUSED, true), (BROKEN, false), (LEAVING, true), (FAILING, false)] {
        let (near, far) = testing::carriers(CAPACITY);
        let options = HttpOptions { version: Version::Http2, ..HttpOptions::default() };
        let session = open(options, near).await.unwrap();
        let mut server = far.take_stream().unwrap();
        let answering = async {
            server.read_exact(&mut [0; 24]).await.unwrap();
            server.write_all(SETTINGS).await.unwrap();
            until_headers(&mut server).await;
            server.write_all(said).await.unwrap();
        };
        let request = asked(&[(":method", "POST"), (":path", "/")], Body::empty());
        let (answer, ()) = tokio::join!(taken(&session).send(request), answering);
        let error = answer.unwrap_err();
        assert_eq!(error.is_unsent(), unsent, "{said:?}: {error:?}");
    }
}

/// What a client hears that ends its direction after its request, if `answer` answers that.
async fn heard_after_its_end<F: Future>(answer: impl FnOnce(Incoming) -> F) -> Vec<u8> {
    let (near, far) = testing::carriers(CAPACITY);
    let mut client = near.take_stream().unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let session = accept(HttpOptions::default(), far).await.unwrap();
    let exchange = taken(&session);
    let incoming = exchange.accept().await.unwrap().unwrap();
    let mut heard = Vec::new();
    tokio::join!(answer(incoming), async { client.read_to_end(&mut heard).await.unwrap() });
    assert!(!matches!(exchange.accept().await, Ok(Some(_))), "it has asked once");
    heard
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_direction_hears_an_answer_that_comes_soon() {
    const SOON: Duration = Duration::from_millis(250);
    for (within, hears) in [(Duration::ZERO, true), (SOON, true), (2 * SOON, false)] {
        let heard = heard_after_its_end(|incoming| async move {
            tokio::time::sleep(within).await;
            // Where the request was dropped there is nobody to answer.
            let _ = incoming.answer.send(asked(&[(":status", "204")], Body::empty())).await;
        });
        let heard = heard.await;
        assert_eq!(heard.starts_with(b"HTTP/1.1 204 "), hears, "{within:?}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_direction_hears_an_answer_as_long_as_it_goes_on() {
    for (pause, parts) in [(250, 20), (500, 1)] {
        let heard = heard_after_its_end(|incoming| async move {
            let content = stream::iter(0..20).then(move |part| async move {
                tokio::time::sleep(Duration::from_millis(pause * part.min(1))).await;
                Ok(BodyPart::Data("part;".into()))
            });
            let _ = incoming
                .answer
                .send(asked(&[(":status", "200")], Body::new(content.boxed())))
                .await;
        });
        let heard = String::from_utf8(heard.await).unwrap();
        assert_eq!(heard.matches("part;").count(), parts, "{pause} ms: {heard:?}");
        assert_eq!(heard.ends_with("0\r\n\r\n"), parts == 20, "{heard:?}");
    }
}
