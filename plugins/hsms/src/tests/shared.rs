//! Streams that share one connection to the equipment.

use super::*;

async fn stream(session: &Session, given: Value) -> (Session, Messages) {
    let part = session.open_stream(&given).await.expect("a stream");
    let messages = part.take_messages().expect("messages");
    (part, messages)
}

#[test]
fn answers_go_to_who_has_asked_though_both_use_the_same_system_bytes() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (_one, mut one) = stream(&session, Value::Null).await;
        let (_two, mut two) = stream(&session, Value::Null).await;
        one.send(message(Header::data(0, 1, 3, true, 1), b"\x41\x03one")).await.unwrap();
        two.send(message(Header::data(0, 1, 3, true, 1), b"\x41\x03two")).await.unwrap();
        let asked = [peer.data().await, peer.data().await];
        assert_ne!(asked[0].0.system, asked[1].0.system);
        for (header, body) in asked.iter().rev() {
            peer.sends(header.answer(4), body).await;
        }
        for (messages, text) in [(&mut one, b"\x41\x03one"), (&mut two, b"\x41\x03two")] {
            let (header, body) = received(messages).await;
            assert_eq!(
                (header.title(), header.system, &body[..]),
                ("S1F4".to_owned(), 1, &text[..])
            );
        }
    });
}

#[test]
fn messages_of_the_equipment_go_to_all_who_want_them_and_the_first_answer_counts() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (_mes, mut mes) = stream(&session, Value::Null).await;
        let (_other, mut other) = stream(&session, Value::Null).await;
        let given = json!({ "receives": ["S6F11"], "answers": false });
        let (_collector, mut collector) = stream(&session, given).await;
        peer.sends(Header::data(0, 5, 1, true, 70), b"").await;
        peer.sends(Header::data(0, 6, 11, true, 71), b"").await;
        for messages in [&mut mes, &mut other] {
            assert_eq!(received(messages).await.0.title(), "S5F1 W");
            assert_eq!(received(messages).await.0.title(), "S6F11 W");
        }
        // One that does not answer is not asked.
        let (header, _) = received(&mut collector).await;
        assert_eq!(header.title(), "S6F11");
        collector.send(message(header.answer(12), b"")).await.unwrap();
        mes.send(message(header.answer(12), b"\x21\x01\x00")).await.unwrap();
        other.send(message(header.answer(12), b"\x21\x01\x01")).await.unwrap();
        let (answer, body) = peer.data().await;
        assert_eq!(
            (answer.title(), answer.system, &body[..]),
            ("S6F12".to_owned(), 71, &b"\x21\x01\x00"[..])
        );
        for _ in 0..2 {
            assert_eq!(event(&session, "answer_dropped").await["system"], 71);
        }
        peer.is_served().await;
    });
}

#[test]
fn the_answer_of_one_that_has_gone_is_given_to_nobody() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (one, mut messages) = stream(&session, Value::Null).await;
        messages.send(message(Header::data(0, 1, 1, true, 1), b"")).await.unwrap();
        let (asked, _) = peer.data().await;
        drop((one, messages));
        let (_two, mut two) = stream(&session, Value::Null).await;
        peer.sends(asked.answer(2), b"").await;
        peer.sends(Header::data(0, 6, 1, false, 2), b"").await;
        assert_eq!(received(&mut two).await.0.title(), "S6F1");
        assert_eq!(event(&session, "late_reply").await["system"], asked.system);
        assert_eq!(session.info().facts["streams"], 1);
    });
}

#[test]
fn one_that_does_not_read_ends_alone() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "read_ahead": 5000 })).await;
        let (_slow, mut slow) = stream(&session, Value::Null).await;
        let (_quick, mut quick) = stream(&session, Value::Null).await;
        for number in 0..50 {
            peer.sends(Header::data(0, 6, 1, false, number), &[0; 1000]).await;
            assert_eq!(received(&mut quick).await.0.system, number);
        }
        let error = loop {
            match slow.next().await.expect("an error") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.message().contains("reads too slowly"), "{error}");
        peer.is_served().await;
    });
}

#[test]
fn no_more_share_a_connection_than_may_and_its_end_is_theirs() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "max_streams": 2 })).await;
        let (_one, mut one) = stream(&session, Value::Null).await;
        let (_two, mut two) = stream(&session, Value::Null).await;
        let third = session.open_stream(&Value::Null).await.expect_err("full");
        assert_eq!(third.kind(), ErrorKind::Limit);
        peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        assert!(one.next().await.is_none() && two.next().await.is_none());
        assert!(session.open_stream(&Value::Null).await.is_err());
    });
}

#[test]
fn what_concerns_all_is_not_for_one_of_them() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (part, _messages) = stream(&session, Value::Null).await;
        for operation in ["separate", "deselect", "select"] {
            let error = part.call(operation, &json!({})).await.unwrap_err();
            assert!(error.message().contains("all who share"), "{error}");
        }
        part.close(0, "").await.unwrap();
        let (answer, ()) =
            tokio::join!(async { part.call("send", &json!({ "sml": "S1F1 W ." })).await }, async {
                let (asked, _) = peer.data().await;
                peer.sends(asked.answer(2), b"").await;
            });
        answer.unwrap();
    });
}

#[test]
fn stream_9_names_the_system_bytes_of_who_has_asked() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (_one, mut one) = stream(&session, Value::Null).await;
        let asks = Header::data(0, 1, 77, true, 5);
        one.send(message(asks, b"")).await.unwrap();
        let (asked, _) = peer.data().await;
        let body = [&b"\x21\x0a"[..], &asked.bytes()].concat();
        peer.sends(Header::data(0, 9, 5, false, 1), &body).await;
        let (header, body) = received(&mut one).await;
        assert_eq!((header.title(), &body[2..]), ("S9F5".to_owned(), &asks.bytes()[..]));
    });
}
