//! Peers that do what they may not.

use super::*;

#[test]
fn a_length_that_no_block_has_is_refused_once_the_peer_is_silent() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t1": 0.5 })).await;
        for length in (0..10).chain([255]) {
            far.says(&[ENQ]).await;
            far.hears(EOT).await;
            // What follows would be an ENQ if it were looked at.
            far.says(&[length, ENQ, ENQ, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
            let ((), tenths) = took(far.hears(NAK)).await;
            assert_eq!(tenths, 5, "{length}");
            let why = event(&session, "block_refused").await["why"].to_string();
            assert!(why.contains(&format!("{length} bytes; expected 10 to 254")), "{why}");
        }
        far.is_served(&session).await;
        assert_eq!(session.info().facts["blocks_refused"], 11);
    });
}

#[test]
fn a_wrong_checksum_is_refused_and_the_block_may_come_again() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let block = far.head(data(1, false, 1), 1, true).write(b"\x41\x02hi");
        for at in [1, 11, 14, block.len() - 1] {
            let mut wrong = block.to_vec();
            wrong[at] ^= 1;
            far.offers(&wrong).await;
            far.hears(NAK).await;
            let why = event(&session, "block_refused").await["why"].to_string();
            assert!(why.contains("checksum"), "{why}");
        }
        far.offers(&block).await;
        far.hears(ACK).await;
        assert_eq!(event(&session, "message").await["sml"], "S6F1 <A \"hi\"> .");
    });
}

#[test]
fn a_peer_that_refuses_for_ever_is_given_up_after_rty_and_the_next_message_is_tried() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "rty": 2 })).await;
        let (sent, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            for _ in 0..3 {
                far.hears(ENQ).await;
                far.says(&[EOT]).await;
                far.block().await;
                far.says(&[NAK]).await;
            }
        });
        let error = sent.unwrap_err();
        assert!(error.message().contains("refused it (NAK)"), "{error}");
        assert!(error.message().contains("3 times (RTY 2)"), "{error}");
        far.is_served(&session).await;
    });
}

#[test]
fn a_message_of_many_blocks_is_given_up_as_a_whole() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "rty": 0 })).await;
        let text = format!("S2F15 W <A \"{}\"> .", "x".repeat(600));
        let (sent, ()) = tokio::join!(says(&session, &text), async {
            far.takes_block().await;
            far.hears(ENQ).await;
            far.says(&[EOT]).await;
            assert_eq!(far.block().await.0.number, 2);
            far.says(&[ENQ]).await;
        });
        let error = sent.unwrap_err();
        assert!(error.message().contains("0x05 came instead of ACK; block 2"), "{error}");
        far.is_served(&session).await;
    });
}

#[test]
fn noise_between_blocks_and_before_eot_is_none_of_our_business() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let noise: Vec<u8> = (0..=255).filter(|byte| ![ENQ, EOT].contains(byte)).collect();
        far.says(&noise).await;
        far.says(&[EOT, ACK, NAK]).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            far.hears(ENQ).await;
            far.says(&noise).await;
            far.says(&[EOT]).await;
            far.block().await;
            far.says(&[ACK]).await;
        });
        sent.unwrap();
        assert_eq!(session.info().facts["blocks_retried"], 0);
    });
}

#[test]
fn an_ack_before_its_block_is_none() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 1.0, "rty": 0 })).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            far.hears(ENQ).await;
            far.says(&[EOT, ACK]).await;
            far.block().await;
        });
        let error = sent.unwrap_err();
        assert!(error.message().contains("no ACK"), "{error}");
    });
}

#[test]
fn a_block_that_comes_twice_is_acknowledged_and_counts_once() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        for (number, text) in [(1, &b"\x41\x04ab"[..]), (2, b"cd")] {
            for _ in 0..3 {
                far.sends_block(far.head(data(1, false, 1), number, number == 2), text).await;
            }
        }
        far.sends(data(1, false, 2), b"").await;
        assert_eq!(event(&session, "message").await["sml"], "S6F1 <A \"abcd\"> .");
        assert_eq!(event(&session, "message").await["system"], 2);
    });
}

#[test]
fn a_missing_block_drops_its_message_and_who_waits_for_it_hears_so() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let ((answer, tenths), ()) = tokio::join!(took(says(&session, "S1F3 W .")), async {
            let (asked, _) = far.takes().await;
            far.sends_block(far.head(asked.answer(4), 1, false), b"\x41\x03a").await;
            far.sends_block(far.head(asked.answer(4), 3, true), b"c").await;
        });
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), tenths), (ErrorKind::Protocol, 0));
        assert!(error.message().contains("block 3 comes where block 2 of S1F4"), "{error}");
        event(&session, "message_dropped").await;
        far.is_served(&session).await;
    });
}

#[test]
fn a_block_of_another_device_or_in_the_wrong_direction_is_dropped() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "session_id": 1 })).await;
        let other = BlockHeader::only(Header::data(2, 6, 1, true, 1), true);
        far.sends_block(other, b"").await;
        let dropped = event(&session, "message_dropped").await;
        assert!(dropped["why"].as_str().unwrap().contains("device 2"), "{dropped}");
        let wrong = BlockHeader::only(Header::data(1, 6, 1, true, 1), false);
        far.sends_block(wrong, b"").await;
        let dropped = event(&session, "message_dropped").await;
        assert!(dropped["why"].as_str().unwrap().contains("R bit"), "{dropped}");
        // A host complains to nobody.
        let (asked, ()) = tokio::join!(far.takes(), async {
            says(&session, "S6F1 .").await.unwrap();
        });
        assert_eq!(asked.0.title(), "S6F1");
    });
}

#[test]
fn equipment_tells_of_an_unknown_device_by_s9f1_once_for_each_message() {
    testing::paused(async {
        let (_session, mut far) = line(json!({ "session_id": 1, "equipment": true })).await;
        let first = BlockHeader::new(Header::data(2, 2, 15, true, 1), false, 1, false);
        let second = BlockHeader::new(Header::data(2, 2, 15, true, 1), false, 2, true);
        far.sends_block(first, b"x").await;
        let (told, body) = far.takes().await;
        assert_eq!((told.title(), told.session), ("S9F1".to_owned(), 1));
        assert_eq!(body[2..], first.bytes());
        far.sends_block(second, b"y").await;
        far.sends(Header::data(3, 2, 15, true, 2), b"").await;
        let (_, body) = far.takes().await;
        assert_eq!(body[2..4], [0, 3]);
    });
}

#[test]
fn stream_9_refuses_a_message_of_ours_by_the_header_of_its_block() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let (answer, ()) = tokio::join!(says(&session, "S1F77 W ."), async {
            let (block, _) = far.takes_block().await;
            let body = [&b"\x21\x0a"[..], &block.bytes()].concat();
            far.sends(Header::data(0, 9, 5, false, 1), &body).await;
        });
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(5)), "{error}");
    });
}

#[test]
fn an_answer_to_nothing_is_an_event_and_a_late_one_is_nobodys() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        far.sends(Header::data(0, 1, 2, false, 12_345), b"").await;
        assert_eq!(event(&session, "late_reply").await["system"], 12_345);
        far.is_served(&session).await;
    });
}

#[test]
fn an_end_within_a_block_or_a_message_is_an_error() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        far.offers(&[20, 0, 0]).await;
        drop(far);
        let error = end_of(&session).await.expect("an error");
        assert!(error.message().contains("a block was under way"), "{error}");
        let (session, mut far) = line(json!({})).await;
        let first = far.head(data(11, true, 5), 1, false);
        far.sends_block(first, b"one").await;
        drop(far);
        let error = end_of(&session).await.expect("an error");
        assert!(error.message().contains("within a message"), "{error}");
    });
}

#[test]
fn messages_that_begin_and_do_not_end_are_bounded() {
    testing::paused(async {
        let given = json!({ "max_message": 500, "max_open_messages": 2 });
        let (session, mut far) = line(given).await;
        for number in 1..=3 {
            far.sends_block(far.head(data(1, false, 1), number, false), &[0; 244]).await;
        }
        let why = event(&session, "message_dropped").await["why"].to_string();
        assert!(why.contains("max_message"), "{why}");
        for system in 2..=4 {
            far.sends_block(far.head(data(1, false, system), 1, false), &[0; 244]).await;
        }
        let dropped = event(&session, "message_dropped").await;
        assert_eq!(dropped["system"], 4);
        let text = format!("S6F1 <A \"{}\"> .", "x".repeat(600));
        let error = says(&session, &text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    });
}

#[test]
fn equipment_tells_of_unknown_messages_illegal_data_and_length_by_stream_9() {
    testing::paused(async {
        let given = json!({ "equipment": true, "known": ["S6"], "max_message": 300 });
        let (session, mut far) = line(given).await;
        let unknown = Header::data(0, 2, 17, true, 1);
        for (header, body, title) in [
            (unknown, &b""[..], "S9F3"),
            (data(1, false, 2), &[0x41, 9], "S9F7"),
            (data(1, false, 3), &[0; 400], "S9F11"),
        ] {
            far.sends(header, body).await;
            let (told, named) = far.takes().await;
            assert_eq!(told.title(), title);
            let number = if body.len() > 244 { 2 } else { 1 };
            assert_eq!(named[2..], far.head(header, number, true).bytes());
        }
        far.is_served(&session).await;
    });
}
