//! What equipment tells a host of its faults.

use super::*;

/// The next message is this one of stream 9, about that header.
async fn complains(peer: &mut Peer, title: &str, about: Header) {
    let (told, body) = peer.data().await;
    assert_eq!(
        (told.title(), &body[..2], &body[2..]),
        (title.to_owned(), &b"\x21\x0a"[..], &about.bytes()[..])
    );
    assert!(!told.waits());
}

fn equipment(more: &Value) -> Value {
    let mut given = json!({ "equipment": true, "answers": { "S1F1": "S1F2 <L> ." } });
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    given
}

#[test]
fn a_device_that_is_not_ours_is_told_by_s9f1() {
    testing::paused(async {
        let (session, mut peer) = passive(equipment(&json!({ "session_id": 3 }))).await;
        let wrong = Header::data(4, 1, 1, true, 7);
        peer.sends(wrong, &[]).await;
        complains(&mut peer, "S9F1", wrong).await;
        let told = event(&session, "complained").await;
        assert_eq!((&told["by"], &told["message"]["session_id"]), (&json!("S9F1"), &json!(4)));
        peer.sends(Header::data(3, 1, 1, true, 8), &[]).await;
        assert_eq!(peer.data().await.0.title(), "S1F2");
        // One of `peers` is known by its own.
        let peers = json!([{ "name": "mes", "session_id": 5 }]);
        let place = Place::new(Role::Server, equipment(&json!({ "peers": peers })));
        let (_session, mut peer) = place.selected().await;
        peer.sends(Header::data(5, 1, 1, true, 9), &[]).await;
        assert_eq!(peer.data().await.0.title(), "S1F2");
    });
}

#[test]
fn a_stream_and_a_function_that_are_not_known_are_told_by_s9f3_and_s9f5() {
    testing::paused(async {
        let (session, mut peer) = passive(equipment(&json!({ "known": ["S2", "S7F3"] }))).await;
        let mut messages = session.take_messages().unwrap();
        for (stream, function, told) in [
            (1, 1, None),
            (1, 3, Some("S9F5")),
            (2, 41, None),
            (7, 3, None),
            (7, 5, Some("S9F5")),
            (10, 3, Some("S9F3")),
        ] {
            for wait in [true, false] {
                let header = Header::data(0, stream, function, wait, u32::from(function));
                peer.sends(header, &[]).await;
                match told {
                    Some(title) => complains(&mut peer, title, header).await,
                    None if stream == 1 && wait => assert_eq!(peer.data().await.0.title(), "S1F2"),
                    None if stream == 1 => {}
                    None => assert_eq!(received(&mut messages).await.0.title(), header.title()),
                }
            }
        }
        peer.is_served().await;
    });
}

#[test]
fn without_known_it_is_what_somebody_reads_and_before_that_everything() {
    testing::paused(async {
        let (session, mut peer) = passive(equipment(&json!({}))).await;
        peer.sends(Header::data(0, 99, 1, true, 1), &[]).await;
        assert_eq!(event(&session, "message").await["stream"], 99);
        let given = json!({ "receives": ["S6F11", "S2"] });
        let part = session.open_stream(&given).await.unwrap();
        let _messages = part.take_messages().unwrap();
        for (stream, function, title) in [(6, 1, "S9F5"), (1, 3, "S9F5"), (5, 1, "S9F3")] {
            let header = Header::data(0, stream, function, true, 2);
            peer.sends(header, &[]).await;
            complains(&mut peer, title, header).await;
        }
        peer.sends(Header::data(0, 2, 17, true, 3), &[]).await;
        peer.is_served().await;
    });
}

#[test]
fn data_that_is_no_item_is_told_by_s9f7_and_nobody_has_it() {
    testing::paused(async {
        let (session, mut peer) = passive(equipment(&json!({ "plain": "S127F255" }))).await;
        let mut messages = session.take_messages().unwrap();
        let wrong = Header::data(0, 6, 1, true, 5);
        for body in
            [&[0x41, 9][..], &[0x01, 2, 0x21, 0], &[0x21, 0, 0], &[0xff], &[0xb1, 3, 0, 0, 0]]
        {
            peer.sends(wrong, body).await;
            complains(&mut peer, "S9F7", wrong).await;
        }
        // Plain contents are bytes of something else.
        peer.sends(Header::data(0, 127, 255, false, 6), b"plain").await;
        peer.sends(Header::data(0, 6, 1, false, 7), &[0x01, 1, 0x41, 0]).await;
        assert_eq!(received(&mut messages).await.1, b"plain"[..]);
        assert_eq!(received(&mut messages).await.0.system, 7);
    });
}

#[test]
fn a_message_that_is_too_long_is_told_by_s9f11_and_passed_over() {
    testing::paused(async {
        let given = equipment(&json!({ "max_message": 1024, "t8": 3.0 }));
        let (session, mut peer) = passive(given).await;
        let long = Header::data(0, 7, 3, true, 5);
        for bytes in [1025, 100_000] {
            peer.sends(long, &vec![0; bytes]).await;
            complains(&mut peer, "S9F11", long).await;
            peer.is_served().await;
        }
        // An answer that is too long is none.
        let (answer, ()) = tokio::join!(says(&session, "S6F11 W ."), async {
            let (asked, _) = peer.data().await;
            peer.sends(asked.answer(12), &[0; 2000]).await;
            complains(&mut peer, "S9F11", asked.answer(12)).await;
        });
        let error = answer.unwrap_err();
        assert!(error.message().contains("max_message"), "{error}");
        // T8 is that of any message.
        peer.bytes(&long.frame(&[0; 3000]).unwrap()[..2000]).await;
        complains(&mut peer, "S9F11", long).await;
        let error = end_of(&session).await.expect("an error");
        assert!(error.message().contains("T8"), "{error}");
    });
}

#[test]
fn a_length_without_a_session_or_of_no_data_ends_the_connection_of_equipment_too() {
    testing::paused(async {
        let given = equipment(&json!({ "max_message": 1024 }));
        let place = Place::new(Role::Server, given.clone());
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, async {
            peer.bytes(b"GET / HTTP/1.1\r\n\r\n").await;
            peer.hears_the_end().await;
        });
        assert_eq!(session.expect_err("no peer").kind(), ErrorKind::Protocol);
        let (session, mut peer) = passive(given).await;
        let control = Header::control(Kind::LinktestReq, ALL_SESSIONS, 0, 1);
        peer.bytes(&control.frame(&[0; 2000]).unwrap()[..14]).await;
        assert_eq!(end_of(&session).await.expect("an error").kind(), ErrorKind::Protocol);
    });
}

#[test]
fn a_host_and_equipment_that_is_not_to_tell_send_nothing_of_stream_9() {
    testing::paused(async {
        for given in [json!({}), json!({ "equipment": true, "stream9": false })] {
            let (session, mut peer) = passive(given).await;
            let mut messages = session.take_messages().unwrap();
            peer.sends(Header::data(4, 99, 1, false, 1), &[0xff]).await;
            assert_eq!(received(&mut messages).await.1, [0xff][..]);
            peer.is_served().await;
        }
        let place = Place::new(Role::Server, json!({}));
        let given = options(json!({ "known": ["S1"] }));
        let error = place.driver.configure(given, Role::Server).map(drop).unwrap_err();
        assert!(error.to_string().contains("equipment"), "{error}");
    });
}

#[test]
fn stream_9_is_never_answered_by_stream_9_and_a_flood_is_bounded() {
    testing::paused(async {
        let (session, mut peer) = passive(equipment(&json!({ "known": [] }))).await;
        let mut messages = session.take_messages().unwrap();
        peer.sends(Header::data(4, 9, 5, false, 1), &[0xff]).await;
        assert_eq!(received(&mut messages).await.0.title(), "S9F5");
        let frame = Header::data(0, 99, 1, true, 1).frame(&[]).unwrap();
        let many: Vec<u8> = frame.iter().copied().cycle().take(frame.len() * 50_000).collect();
        // Nobody reads what is told: it does not grow.
        peer.bytes(&many).await;
        let (mut told, mut served) = (0, false);
        let system = peer.asks(Kind::LinktestReq, ALL_SESSIONS).await;
        while !served {
            let (header, _) = peer.next().await.unwrap();
            served = header.system == system && header.kind == Kind::LinktestRsp as u8;
            told += u32::from(!served);
        }
        assert!(told < 50_000, "{told}");
    });
}
