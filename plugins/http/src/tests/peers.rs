//! The client against servers that are written by hand.

use super::windows::{DATA, HEADERS, RESET, SETTINGS, frame, until};
use super::*;
use crate::HeaderCase;
use jackfield_plugin_api::{Answer, Error};
use std::time::Duration;
use tokio::time::sleep;

/// What a client gets whose request is answered with these bytes, and what the server was asked for.
async fn answered(fields: &[(&str, &str)], answer: &str) -> (Result<Envelope>, String) {
    answered_with(HttpOptions::default(), fields, answer).await
}

async fn answered_with(
    options: HttpOptions,
    fields: &[(&str, &str)],
    answer: &str,
) -> (Result<Envelope>, String) {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(options, near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let asking = taken(&session).send(asked(fields, Body::empty()));
    let answering = async {
        let head = head_of(&mut server).await;
        server.write_all(answer.as_bytes()).await.unwrap();
        head
    };
    tokio::join!(asking, answering)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_that_knows_no_host_is_for_the_address() {
    for fields in [&[(":path", "/")][..], &[(":path", "/"), (":authority", "")], &[("host", "")]] {
        let (answer, head) = answered(fields, OK).await;
        assert_eq!(answer.unwrap().status(), 200);
        assert!(head.contains("\r\nhost: a.test\r\n"), "{head}");
    }
}

#[tokio::test]
async fn cookies_are_one_field_of_http1() {
    let fields = [(":path", "/"), ("cookie", "a=1"), ("cookie", "b=2")];
    let (_, head) = answered(&fields, OK).await;
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
}

#[tokio::test]
async fn names_of_fields_are_written_as_the_option_says() {
    let fields = [(":path", "/"), ("x-own-field", "1")];
    for (header_case, name) in
        [(HeaderCase::Lower, "x-own-field"), (HeaderCase::Title, "X-Own-Field")]
    {
        let options = HttpOptions { header_case, ..HttpOptions::default() };
        let (_, head) = answered_with(options, &fields, OK).await;
        assert!(head.contains(&format!("\r\n{name}: 1\r\n")), "{head}");
        let (near, far) = testing::carriers(CAPACITY);
        let mut client = near.take_stream().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let options = HttpOptions { header_case, ..HttpOptions::default() };
        let session = accept(options, far).await.unwrap();
        let incoming = taken(&session).accept().await.unwrap().unwrap();
        let answer = asked(&[(":status", "200"), ("x-own-field", "1")], Body::empty());
        incoming.answer.send(answer).await.unwrap();
        let head = head_of(&mut client).await;
        assert!(head.contains(&format!("\r\n{name}: 1\r\n")), "{head}");
    }
}

#[tokio::test]
async fn a_server_switches_to_nothing_that_it_was_not_asked_for() {
    let answer = |to: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n\r\n")
    };
    let asks = [(":path", "/"), ("connection", "upgrade"), ("upgrade", "websocket")];
    let (agreed, _) = answered(&asks, &answer("websocket")).await;
    assert!(agreed.unwrap().upgrade.is_some());
    for fields in [&asks[..1], &asks] {
        let (error, _) = answered(fields, &answer("own")).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol);
    }
}

#[tokio::test]
async fn an_answer_in_chunks_has_no_other_length_and_no_other_coding() {
    let answer =
        |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let both = answer("Content-Length: 2\r\nTransfer-Encoding: chunked");
    let (got, _) = answered(&[(":path", "/")], &both).await;
    let got = got.unwrap();
    assert!(got.head.get("content-length").is_none());
    assert_eq!(whole(got.body).await.unwrap().0, b"hello");
    let (error, _) = answered(&[(":path", "/")], &answer("Transfer-Encoding: gzip, chunked")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol);
}

/// Content of so many parts of 64 KiB.
fn content(parts: usize) -> Body {
    let part = || Ok(BodyPart::Data(Bytes::from_static(&[0; 64 << 10])));
    Body::new(futures_util::stream::iter((0..parts).map(move |_| part())))
}

#[tokio::test]
async fn an_answer_is_taken_although_the_server_reads_no_more() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let asking = taken(&session).send(asked(&[(":method", "POST"), (":path", "/")], content(100)));
    let answering = async move {
        head_of(&mut server).await;
        let refusal =
            b"HTTP/1.1 413 Too Long\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlong";
        server.write_all(refusal).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(whole(answer.body).await.unwrap().0, b"long");
}

#[tokio::test]
async fn a_server_that_leaves_without_an_answer_is_an_error() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let asking = taken(&session).send(asked(&[(":method", "POST"), (":path", "/")], content(100)));
    let answering = async move {
        head_of(&mut server).await;
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn content_over_http2_that_is_reset_without_an_error_is_cut_unless_it_has_ended() {
    // `:status: 200`, as HPACK's own table has it.
    let head = frame(HEADERS, 4, 1, &[0x88]);
    let reset = frame(RESET, 0, 1, &[0; 4]);
    for (end_stream, whole_content) in [(0, false), (1, true)] {
        let (near, far) = testing::carriers(CAPACITY);
        let options = HttpOptions { version: Version::Http2, ..HttpOptions::default() };
        let session = open(options, near).await.unwrap();
        let mut server = far.take_stream().unwrap();
        let part = frame(DATA, end_stream, 1, b"half");
        let answer = [frame(SETTINGS, 0, 0, &[]), head.clone(), part, reset.clone()].concat();
        let answering = async {
            // The preface.
            server.read_exact(&mut [0; 24]).await.unwrap();
            until(&mut server, HEADERS).await;
            server.write_all(&answer).await.unwrap();
        };
        let asking = taken(&session).send(asked(&[(":path", "/")], Body::empty()));
        let (answer, ()) = tokio::join!(asking, answering);
        let content = whole(answer.unwrap().body).await;
        assert_eq!(content.is_ok(), whole_content, "{content:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_an_answer_begins_when_the_request_has_been_sent() {
    for version in [Version::Http1, Version::Http2] {
        let options = HttpOptions { version, response_timeout: 60, ..HttpOptions::default() };
        let (near, far) = testing::carriers(CAPACITY);
        let session = open(options, near).await.unwrap();
        // The head of its answer comes when it has read all.
        tokio::spawn(async move {
            let session = accept(HttpOptions::default(), far).await.unwrap();
            let incoming = taken(&session).accept().await.unwrap().unwrap();
            let (content, _) = whole(incoming.request.body).await.unwrap();
            let answer = asked(&[(":status", "200")], Body::full(content));
            incoming.answer.send(answer).await.unwrap();
        });
        let slow = futures_util::stream::unfold(0, |count| async move {
            sleep(Duration::from_secs(40)).await;
            let part = Ok(BodyPart::Data(Bytes::from_static(b"slow")));
            (count < 5).then_some((part, count + 1))
        });
        let fields = [(":method", "POST"), (":path", "/")];
        let body = Body::new(Box::pin(slow));
        let answer = taken(&session).send(asked(&fields, body)).await.unwrap();
        assert_eq!(whole(answer.body).await.unwrap().0, b"slow".repeat(5), "{version:?}");
    }
    let (near, _far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let error = taken(&session).send(asked(&[(":path", "/")], content(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn interim_responses_are_told_before_the_answer() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let no_answer = |_| async { Err(Error::unsupported("an answer")) };
    let place = Answer::telling(no_answer, move |head| tell.try_send(head).unwrap());
    let asking = taken(&session).send_telling(asked(&[(":path", "/")], Body::empty()), place);
    let answering = async {
        head_of(&mut server).await;
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{hints}{OK}");
        server.write_all(answer.as_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap().status(), 200);
    let hints = told.recv().await.unwrap();
    assert_eq!(
        (field(&hints, ":status"), field(&hints, "link")),
        ("103".into(), "</a.css>; rel=preload".into())
    );
    assert!(told.recv().await.is_none());
}
