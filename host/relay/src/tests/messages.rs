//! Messages to messages, and messages to bytes and back.

use super::ends::{Kind, messages, start, start_with};
use crate::{End, Frames, RelayEnd, RelayOptions, RelaySizes, Side};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Info, Message, MessageKind, Session, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn text_options() -> RelayOptions {
    RelayOptions { frames: Frames::Text, ..RelayOptions::default() }
}

/// With a limit of messages.
fn up_to(max_message: usize) -> RelayOptions {
    let sizes = RelaySizes { max_message, ..RelaySizes::default() };
    RelayOptions { sizes, ..RelayOptions::default() }
}

#[tokio::test]
async fn messages_pass_whole_and_in_order() {
    let ((a, mut peer_a), (b, mut peer_b)) = (messages(), messages());
    let running = start(a, b);
    let odd = |id| {
        let message = Message::of(MessageKind(77), Bytes::from(vec![1; 1000]));
        message.with_id(id).with_metadata(Bytes::from_static(b"topic"))
    };
    let sender = async {
        for id in 0..100 {
            peer_a.send(odd(id)).await;
        }
    };
    let receiver = async {
        for id in 0..100 {
            assert_eq!(peer_b.rx.recv().await, Some(odd(id)));
        }
    };
    tokio::join!(sender, receiver);
    peer_b.send(Message::text("back")).await;
    assert_eq!(peer_a.rx.recv().await, Some(Message::text("back")));
    peer_a.tx = None;
    assert_eq!(peer_b.rx.recv().await, None, "the end is passed on");
    peer_b.tx = None;
    assert_eq!(peer_a.rx.recv().await, None);
    let totals = running.totals.clone();
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
    assert_eq!((totals.messages_to_b(), totals.bytes_to_b()), (100, 100_000));
    assert_eq!((totals.messages_to_a(), totals.bytes_to_a()), (1, 4));
}

#[tokio::test]
async fn what_was_taken_before_an_error_goes_out_before_the_end() {
    let breaking = || {
        let (a, peer_a) = messages();
        let tx = peer_a.tx.as_ref().expect("open");
        let error = Error::new(ErrorKind::Closed, "the connection broke off");
        for given in [Ok(Message::text("last")), Err(error)] {
            tx.try_send(given).expect("room");
        }
        (a, peer_a)
    };
    let ((a, _peer_a), (b, mut peer_b)) = (breaking(), messages());
    let running = start(a, b);
    assert_eq!(peer_b.rx.recv().await, Some(Message::text("last")));
    assert!(matches!(running.end().await, RelayEnd::Failed { side: Side::A, .. }));

    let (ours, mut peer_b) = tokio::io::duplex(64);
    let held_back = Stream::new(tokio::io::BufWriter::new(ours));
    let (a, _peer_a) = breaking();
    let running = start(a, End::Stream(held_back));
    let mut seen = [0; 4];
    peer_b.read_exact(&mut seen).await.expect("what was held back");
    assert_eq!(&seen, b"last");
    assert!(matches!(running.end().await, RelayEnd::Failed { side: Side::A, .. }));
}

#[tokio::test]
async fn a_peer_that_takes_no_messages_stops_the_sender() {
    let ((a, peer_a), (b, mut peer_b)) = (messages(), messages());
    let running = start(a, b);
    let tx = peer_a.tx.as_ref().expect("open");
    let (mut sent, mut stuck) = (0, 0);
    while stuck < 100 {
        match tx.try_send(Ok(Message::text(sent.to_string()))) {
            Ok(()) => (sent, stuck) = (sent + 1, 0),
            Err(_) => stuck += 1,
        }
        tokio::task::yield_now().await;
        assert!(sent < 200, "nothing bounds what is held");
    }
    for number in 0..sent {
        assert_eq!(peer_b.rx.recv().await, Some(Message::text(number.to_string())));
    }
    running.task.abort();
}

#[tokio::test]
async fn a_message_over_the_limit_is_its_senders_failure() {
    for to_bytes in [false, true] {
        let ((a, peer_a), (b, _peer_b)) = (messages(), messages());
        let (stream, _peer_stream) = Kind::Tcp.open().await;
        let options = up_to(10);
        let running = start_with(a, if to_bytes { stream } else { b }, options);
        peer_a.send(Message::text("just right")).await;
        peer_a.send(Message::text("a byte more")).await;
        let totals = running.totals.clone();
        let RelayEnd::Failed { side: Side::A, receiving: true, error } = running.end().await else {
            panic!("not the sender's failure")
        };
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("max_message=10"), "{error}");
        assert!(totals.bytes_to_b() <= 10);
    }
}

#[tokio::test]
async fn a_failure_of_messages_keeps_its_story() {
    let ((a, peer_a), (b, mut peer_b)) = (messages(), Kind::Tcp.open().await);
    let running = start(b, a);
    let error = Error::new(ErrorKind::Protocol, "a bad frame").with("byte", 12);
    peer_a.tx.as_ref().expect("open").send(Err(error.clone())).await.expect("a relay");
    let end = running.end().await;
    assert_eq!(end, RelayEnd::Failed { side: Side::B, receiving: true, error });
    assert_eq!(end.to_string(), "receiving from b failed: a bad frame [byte=12]");
    let _ = peer_b.read(&mut [0; 1]).await;
}

#[tokio::test]
async fn bytes_become_messages_and_payloads_bytes() {
    for kind in [Kind::Tcp, Kind::Foreign] {
        let ((a, mut peer_a), (b, mut peer_b)) = (kind.open().await, messages());
        let options = up_to(5);
        let running = start_with(a, b, options);
        peer_a.write_all(b"eleven byte").await.expect("taken");
        let mut got = Vec::new();
        while got.len() < 11 {
            let message = peer_b.rx.recv().await.expect("a message");
            assert_eq!(message.kind, MessageKind::BINARY);
            assert!(message.payload.len() <= 5);
            got.extend_from_slice(&message.payload);
        }
        assert_eq!(got, b"eleven byte");
        peer_b.send(Message::text("one")).await;
        peer_b.send(Message::binary(&b"two"[..])).await;
        let mut got = [0; 6];
        peer_a.read_exact(&mut got).await.expect("both");
        assert_eq!(&got, b"onetwo");
        peer_a.shutdown().await.expect("ended");
        assert_eq!(peer_b.rx.recv().await, None, "the end closes the messages");
        peer_b.tx = None;
        let totals = running.totals.clone();
        assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
        assert_eq!((totals.bytes_to_b(), totals.bytes_to_a()), (11, 6));
        assert!(totals.messages_to_b() >= 3);
    }
}

#[tokio::test]
async fn text_is_cut_between_characters_only() {
    let ((a, mut peer_a), (b, mut peer_b)) = (Kind::Foreign.open().await, messages());
    let options = RelayOptions { frames: Frames::Text, ..up_to(7) };
    let running = start_with(a, b, options);
    let text = "aé€😀 ".repeat(100);
    let sender = async {
        for byte in text.as_bytes() {
            peer_a.write_all(&[*byte]).await.expect("taken");
            tokio::task::yield_now().await;
        }
        peer_a.shutdown().await.expect("ended");
    };
    let receiver = async {
        let mut got = String::new();
        while let Some(message) = peer_b.rx.recv().await {
            assert_eq!(message.kind, MessageKind::TEXT);
            assert!(!message.payload.is_empty() && message.payload.len() <= 7);
            got += std::str::from_utf8(&message.payload).expect("whole characters");
        }
        got
    };
    assert_eq!(tokio::join!(sender, receiver).1, text);
    peer_b.tx = None;
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
}

#[tokio::test]
async fn noise_ends_no_text() {
    let ((a, mut peer_a), (b, mut peer_b)) = (Kind::Foreign.open().await, messages());
    let running = start_with(a, b, text_options());
    peer_a.write_all(b"boot\xff\xfe\x80").await.expect("taken");
    let noisy = peer_b.rx.recv().await.expect("a message");
    assert_eq!(
        (noisy.kind, &noisy.payload[..]),
        (MessageKind::TEXT, "boot\u{fffd}\u{fffd}\u{fffd}".as_bytes())
    );
    peer_a.write_all(b"login: ").await.expect("taken");
    assert_eq!(peer_b.rx.recv().await, Some(Message::text("login: ")));
    running.task.abort();
}

#[tokio::test]
async fn an_end_of_messages_can_be_left_to_their_owner() {
    let ((a, mut peer_a), (b, mut peer_b)) = (messages(), messages());
    let options = RelayOptions { leave_messages_open: true, ..RelayOptions::default() };
    let (mut run, ..) = super::ends::make(a, b, options);
    peer_a.send(Message::text("last")).await;
    peer_a.tx = None;
    assert_eq!((&mut run).await, RelayEnd::Closed { first: Side::A });
    assert_eq!(peer_b.rx.recv().await, Some(Message::text("last")));
    assert!(
        peer_b
            .rx
            .try_recv()
            .is_err_and(|error| error == tokio::sync::mpsc::error::TryRecvError::Empty)
    );
    drop(run);
    assert_eq!(peer_b.rx.recv().await, None);
}

#[tokio::test]
async fn sending_to_messages_that_said_goodbye_is_no_failure() {
    let ((a, mut peer_a), (b, mut peer_b)) = (messages(), Kind::Tcp.open().await);
    let running = start(a, b);
    peer_a.tx = None;
    peer_a.rx.close();
    assert_eq!(peer_b.read(&mut [0; 1]).await.expect("the end"), 0);
    peer_b.write_all(b"too late").await.expect("taken");
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
}

#[tokio::test]
async fn a_pair_takes_the_facets_that_fit() {
    let session = |stream: bool, message: bool| async move {
        let mut builder = Session::builder(Info::default());
        if stream && let (End::Stream(stream), _peer) = Kind::Foreign.open().await {
            builder = builder.stream(stream);
        }
        if message && let (End::Messages(messages), _peer) = messages() {
            builder = builder.messages(messages);
        }
        builder.build()
    };
    let name = |end: &End| match end {
        End::Stream(_) => "s",
        End::Messages(_) => "m",
        End::Datagrams(_) => "datagrams",
        End::Watched(_) => "watched",
    };
    let cases = [
        ((true, true), (true, true), "ss"),
        ((true, true), (true, false), "ss"),
        ((true, true), (false, true), "mm"),
        ((false, true), (true, false), "ms"),
        ((true, false), (false, true), "sm"),
    ];
    for (a, b, want) in cases {
        let (a, b) = (session(a.0, a.1).await, session(b.0, b.1).await);
        let (a, b) = End::pair(&a, &b).expect("both have something");
        assert_eq!(format!("{}{}", name(&a), name(&b)), want);
    }
    let (a, b) = (session(true, false).await, session(false, false).await);
    let error = End::pair(&a, &b).expect_err("nothing to relay");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("side=b"), "{error}");
}
