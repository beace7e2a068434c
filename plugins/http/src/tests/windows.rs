//! Both roles against peers of HTTP/2 that open no window, or close it: frames written by hand.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const WINDOW: u8 = 8;
/// A request for `/` of `http` by GET, as indexed fields of HPACK's own table.
pub(super) const GET: &[u8] = &[0x82, 0x86, 0x84];

pub(super) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Settings of a peer whose streams may get so many bytes at first.
fn window(bytes: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4], &bytes.to_be_bytes()[..]].concat())
}

/// The next frame: kind, stream, content. `None` at the end.
pub(super) async fn read(stream: &mut Stream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut content = vec![0; length as usize];
    stream.read_exact(&mut content).await.ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), content))
}

/// The first frame of a kind, and how many bytes of content came before it.
pub(super) async fn until(stream: &mut Stream, kind: u8) -> (u32, Vec<u8>, usize) {
    let mut bytes = 0;
    loop {
        let (came, id, content) = read(stream).await.expect("the frame comes");
        if came == kind {
            return (id, content, bytes);
        }
        bytes += if came == DATA { content.len() } else { 0 };
    }
}

fn limited() -> HttpOptions {
    HttpOptions { write_timeout: 5, ..HttpOptions::default() }
}

/// A server whose client has asked `requests` times and gives each stream so many bytes.
async fn asked_by(bytes: u32, requests: u32) -> (Session, Stream) {
    let (near, far) = testing::carriers(1 << 20);
    let mut client = near.take_stream().unwrap();
    client.write_all(&[PREFACE, &window(bytes)].concat()).await.unwrap();
    for number in 0..requests {
        client.write_all(&frame(HEADERS, 5, 2 * number + 1, GET)).await.unwrap();
    }
    (accept(limited(), far).await.unwrap(), client)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_window_loses_its_stream_alone() {
    // Of what is at most 4 KiB hyper holds what one byte of room is not enough for.
    for (bytes, length) in [(0, 10), (0, 100_000), (1, 5_000), (1, 100_000), (20_000, 25_000)] {
        let (session, mut client) = asked_by(bytes, 2).await;
        let exchange = taken(&session);
        let first = exchange.accept().await.unwrap().unwrap();
        let second = exchange.accept().await.unwrap().unwrap();
        let body = Body::full(vec![0; length]);
        let sent = first.answer.send(asked(&[(":status", "200")], body));
        let (error, (stream, code, came)) = tokio::join!(sent, until(&mut client, RESET));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{bytes} {length}: {error}");
        assert!(error.to_string().contains("allowed no more data for 5s"), "{error}");
        assert_eq!((stream, code.as_slice()), (1, [0, 0, 0, 8].as_slice()), "{bytes} {length}");
        assert!(came <= bytes as usize, "{came}");
        // The other stream has its window, and the connection goes on.
        client.write_all(&frame(WINDOW, 0, 3, &[0, 0, 4, 0])).await.unwrap();
        let late = second.answer.send(asked(&[(":status", "200")], Body::full("late")));
        let (late, (stream, content, _)) = tokio::join!(late, until(&mut client, DATA));
        late.unwrap();
        assert_eq!((stream, content.as_slice()), (3, b"late".as_slice()), "{bytes} {length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_its_window_slowly_gets_all() {
    let (session, mut client) = asked_by(0, 1).await;
    let incoming = taken(&session).accept().await.unwrap().unwrap();
    let body = Body::full(vec![7; 200_000]);
    let sent = incoming.answer.send(asked(&[(":status", "200")], body));
    let reading = async {
        let mut came = 0;
        while came < 200_000 {
            // Less than its time goes by between two of them, many times that in all.
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            client.write_all(&frame(WINDOW, 0, 1, &[0, 0, 0x4e, 0x20])).await.unwrap();
            client.write_all(&frame(WINDOW, 0, 0, &[0, 0, 0x4e, 0x20])).await.unwrap();
            let most = came + 20_000;
            while came < most {
                came += until(&mut client, DATA).await.1.len();
            }
        }
        came
    };
    let (sent, came) = tokio::join!(sent, reading);
    sent.unwrap();
    assert_eq!(came, 200_000);
}

#[tokio::test(start_paused = true)]
async fn content_that_takes_its_time_is_not_cut_short() {
    let (session, mut client) = asked_by(100, 1).await;
    let incoming = taken(&session).accept().await.unwrap().unwrap();
    let slow = futures_util::stream::unfold(0, |count| async move {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        (count < 3).then(|| (Ok(BodyPart::Data(Bytes::from_static(b"part"))), count + 1))
    });
    let answer = asked(&[(":status", "200")], Body::new(Box::pin(slow)));
    let ours = async {
        for _ in 0..3 {
            assert_eq!(until(&mut client, DATA).await.1, b"part");
        }
    };
    let (sent, ()) = tokio::join!(incoming.answer.send(answer), ours);
    sent.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_piece_is_held_for_a_client_that_opens_no_window() {
    let (session, mut client) = asked_by(1, 50).await;
    let exchange = taken(&session);
    let made = Arc::new(AtomicUsize::new(0));
    let mut answers = Vec::new();
    for _ in 0..50 {
        let made = Arc::clone(&made);
        let endless = futures_util::stream::repeat_with(move || {
            made.fetch_add(1000, Ordering::Relaxed);
            Ok(BodyPart::Data(Bytes::from_static(&[0; 1000])))
        });
        let incoming = exchange.accept().await.unwrap().unwrap();
        answers.push(incoming.answer.send(asked(&[(":status", "200")], Body::new(endless))));
    }
    let ended = async {
        for _ in 0..50 {
            until(&mut client, RESET).await;
        }
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(answers), ended);
    assert!(answers.iter().all(|answer| answer.is_err()));
    let each = made.load(Ordering::Relaxed) / 50;
    assert!(each <= 5000, "{each} bytes were made for each of them");
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_stay_for_what_its_client_does_not_take() {
    // What is short enough is left to hyper, so its answers are sent; and nobody answers the ping of the end.
    let (session, mut client) = asked_by(1, 1).await;
    let exchange = taken(&session);
    let incoming = exchange.accept().await.unwrap().unwrap();
    incoming.answer.send(asked(&[(":status", "200")], Body::full("short"))).await.unwrap();
    assert!(exchange.accept().await.unwrap().is_none());
    while read(&mut client).await.is_some() {}
}

/// A client that sends `length` bytes, and the server that reads its head and gives each stream `bytes`.
async fn sending(options: HttpOptions, bytes: u32, length: usize) -> (Result<Envelope>, Stream) {
    let (near, far) = testing::carriers(1 << 20);
    let session = open(HttpOptions { version: Version::Http2, ..options }, near).await.unwrap();
    let mut server = far.take_stream().unwrap();
    let content = Body::full(vec![0; length]);
    let sent = taken(&session).send(asked(&[(":method", "POST"), (":path", "/")], content));
    let reading = async {
        server.write_all(&window(bytes)).await.unwrap();
        server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        // The settings come before the request, so that it knows of them.
        let (stream, code, came) = until(&mut server, RESET).await;
        assert_eq!((stream, code.as_slice()), (1, [0, 0, 0, 8].as_slice()));
        came
    };
    let (sent, came) = tokio::join!(sent, reading);
    assert!(came <= 65_535, "{came}");
    (sent, server)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_opens_no_window_fails_the_request() {
    for (bytes, length) in [(0, 100_000), (1, 100_000)] {
        // With no limit of time for the response, so that it is not that which ends it.
        let options = HttpOptions { response_timeout: 0, ..limited() };
        let (sent, _server) = sending(options, bytes, length).await;
        let error = sent.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().contains("allowed no more data for 5s"), "{error}");
    }
}
