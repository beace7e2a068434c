//! The client against servers that are written by hand.

use super::*;

/// A client whose server answers a GET with `bytes` and leaves.
async fn answered(options: HttpOptions, bytes: &[u8]) -> Result<Value> {
    let (near, far) = testing::carriers(1 << 20);
    let session = open(options, near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let server = async {
        let head = head_of(&mut server).await;
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
        head
    };
    let (answer, head) = tokio::join!(call(&session, "get", json!({})), server);
    assert!(
        head.starts_with("GET /start HTTP/1.1\r\nhost: a.test\r\n")
            || head.contains("host: a.test"),
        "{head}"
    );
    assert!(!head.contains("content-length") && !head.contains("chunked"), "{head}");
    answer
}

#[tokio::test]
async fn what_servers_say_is_read_as_it_stands() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (rest, body) in [
        ("content-length: 5\r\n\r\nhello", "hello"),
        ("content-length: 5\r\n\r\nhello and more", "hello"),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("\r\nuntil the end", "until the end"),
        ("set-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n", ""),
    ] {
        let answer = answered(HttpOptions::default(), format!("{ok}{rest}").as_bytes()).await;
        assert_eq!(answer.unwrap()["body"], body, "{rest}");
    }
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 404 No\r\n\r\n";
    assert_eq!(answered(HttpOptions::default(), early.as_bytes()).await.unwrap()["status"], 404);
}

#[tokio::test]
async fn what_breaks_the_rules_is_an_error() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    for (bytes, kind) in [
        ("", ErrorKind::Closed),
        ("HTTP/1.1 200 OK\r\ncontent-le", ErrorKind::Closed),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", ErrorKind::Closed),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorKind::Protocol),
        ("HTTP/1.1 2x0 OK\r\n\r\n", ErrorKind::Protocol),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", ErrorKind::Protocol),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            ErrorKind::Protocol,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ErrorKind::Protocol),
        (long.as_str(), ErrorKind::Limit),
        (many.as_str(), ErrorKind::Limit),
    ] {
        let error = answered(HttpOptions::default(), bytes.as_bytes()).await.unwrap_err();
        let start: String = bytes.chars().take(60).collect();
        assert_eq!(error.kind(), kind, "{start:?}: {error}");
    }
}

#[tokio::test]
async fn content_has_a_limit_and_compression_does_not_lift_it() {
    let small = || HttpOptions { max_body: 4, ..HttpOptions::default() };
    let error = answered(small(), b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let packed =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\n\r\n\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello";
    let answer = answered(HttpOptions::default(), packed).await.unwrap();
    assert_eq!(answer["body"], "hello");
    let as_it_came = HttpOptions { decompress: false, ..HttpOptions::default() };
    assert!(answered(as_it_came, packed).await.unwrap()["body_base64"].is_string());
}

#[tokio::test(start_paused = true)]
async fn servers_that_say_nothing_are_given_up() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"] {
        let (near, far) = testing::carriers(CAPACITY);
        let options =
            HttpOptions { response_timeout: 5, body_timeout: 5, ..HttpOptions::default() };
        let session = open(options, near).await.unwrap();
        let mut server = far.take_stream().unwrap();
        server.write_all(b"").await.unwrap();
        let answer = taken(&session).send(asked(&[(":path", "/")], Body::empty()));
        let talk = async {
            head_of(&mut server).await;
            server.write_all(head.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(answer, talk);
        let error = match answer {
            Ok(answer) => whole(answer.body).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_until_it_is_closed() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let server = async {
        for _ in 0..3 {
            head_of(&mut server).await;
            server.write_all(answer).await.unwrap();
        }
        head_of(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbye").await.unwrap();
        drop(server);
    };
    let client = async {
        // Three at once wait for each other.
        let three: Vec<_> = (0..3).map(|_| call(&session, "get", json!({}))).collect();
        for answer in futures_util::future::join_all(three).await {
            assert_eq!(answer.unwrap()["body"], "hi");
        }
        assert_eq!(call(&session, "get", json!({})).await.unwrap()["body"], "bye");
        call(&session, "get", json!({})).await.unwrap_err()
    };
    let (error, ()) = tokio::join!(client, server);
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn draining_waits_for_what_runs_and_takes_nothing_new() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let exchange = taken(&session);
    let answer = exchange.send(asked(&[(":path", "/")], Body::empty()));
    let talk = async {
        head_of(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nh").await.unwrap();
    };
    let (answer, ()) = tokio::join!(answer, talk);
    let mut drained = session.drain();
    assert!((&mut drained).now_or_never().is_none());
    let error = call(&session, "get", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    server.write_all(b"i").await.unwrap();
    assert_eq!(whole(answer.unwrap().body).await.unwrap().0, b"hi");
    drained.await.unwrap();
    session.close(0, "").await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap_or(0), 0);
}
