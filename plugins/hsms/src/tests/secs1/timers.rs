//! T1 to T4 and RTY, each with what follows.

use super::*;

#[test]
fn without_eot_a_block_is_tried_again_after_t2_and_its_message_is_given_up_after_rty() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 2.0, "rty": 3 })).await;
        let ((sent, tenths), ()) = tokio::join!(took(says(&session, "S1F1 W .")), async {
            for _ in 0..4 {
                far.hears(ENQ).await;
            }
        });
        let error = sent.unwrap_err();
        assert_eq!((error.kind(), tenths), (ErrorKind::TimedOut, 80));
        for part in ["S1F1 W was not sent", "no EOT", "(T2)", "4 times (RTY 3)"] {
            assert!(error.message().contains(part), "{error}");
        }
        assert_eq!(event(&session, "send_failed").await["function"], 1);
        assert_eq!(session.info().facts["open_transactions"], 0);
        // The line is still there, also for one that asks for no answer.
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            for _ in 0..4 {
                far.hears(ENQ).await;
            }
        });
        assert!(sent.unwrap_err().message().contains("S6F1 was not sent"));
        far.is_served(&session).await;
    });
}

#[test]
fn without_ack_a_block_is_sent_again() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 2.0 })).await;
        let ((sent, tenths), ()) = tokio::join!(took(says(&session, "S6F1 .")), async {
            far.hears(ENQ).await;
            far.says(&[EOT]).await;
            let first = far.block().await;
            // Its ACK is lost.
            assert_eq!(far.takes_block().await, first);
        });
        sent.unwrap();
        assert_eq!(tenths, 20);
        assert_eq!(session.info().facts["blocks_retried"], 1);
    });
}

#[test]
fn t1_ends_a_block_that_stops_in_it_and_it_may_come_again() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t1": 0.5 })).await;
        let block = far.head(data(1, false, 1), 1, true).write(b"\x41\x02hi");
        for count in [1, 2, 11, 12, block.len() - 1] {
            far.says(&[ENQ]).await;
            far.hears(EOT).await;
            far.says(&block[..count]).await;
            let ((), tenths) = took(far.hears(NAK)).await;
            assert_eq!(tenths, 5, "{count}");
            let why = event(&session, "block_refused").await["why"].to_string();
            assert!(why.contains("(T1)"), "{why}");
        }
        // A pause below T1 after each byte is none.
        far.says(&[ENQ]).await;
        far.hears(EOT).await;
        for byte in &block {
            tokio::time::sleep(Duration::from_millis(400)).await;
            far.says(&[*byte]).await;
        }
        far.hears(ACK).await;
        assert_eq!(event(&session, "message").await["sml"], "S6F1 <A \"hi\"> .");
    });
}

#[test]
fn t2_ends_the_wait_for_a_length() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 3.0 })).await;
        far.says(&[ENQ]).await;
        far.hears(EOT).await;
        let ((), tenths) = took(far.hears(NAK)).await;
        assert_eq!(tenths, 30);
        far.is_served(&session).await;
    });
}

#[test]
fn t3_begins_with_the_last_block_and_ends_the_transaction_alone() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 30.0, "t3": 5.0 })).await;
        let text = format!("S2F15 W <A \"{}\"> .", "x".repeat(400));
        let ((answer, tenths), ()) = tokio::join!(took(says(&session, &text)), async {
            for end in [false, true] {
                // A slow line: each block alone takes longer than T3.
                tokio::time::sleep(Duration::from_secs(20)).await;
                assert_eq!(far.takes_block().await.0.end, end);
            }
        });
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), tenths), (ErrorKind::TimedOut, 450));
        assert!(error.message().contains("(T3)"), "{error}");
        event(&session, "reply_timeout").await;
        far.is_served(&session).await;
    });
}

#[test]
fn equipment_tells_of_t3_by_s9f9_with_the_header_of_the_block() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "equipment": true })).await;
        let given = json!({ "sml": "S6F11 W .", "timeout": 2 });
        let ((answer, tenths), (asked, told)) =
            tokio::join!(took(session.call("send", &given)), async {
                let (asked, _) = far.takes_block().await;
                (asked, far.takes().await)
            });
        assert_eq!((answer.unwrap_err().kind(), tenths), (ErrorKind::TimedOut, 20));
        assert_eq!((told.0.title(), &told.1[2..]), ("S9F9".to_owned(), &asked.bytes()[..]));
    });
}

#[test]
fn t4_drops_a_message_whose_next_block_does_not_come() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t4": 7.0 })).await;
        let first = far.head(data(11, true, 5), 1, false);
        far.sends_block(first, b"one").await;
        let (dropped, tenths) = took(event(&session, "message_dropped")).await;
        assert_eq!(tenths, 70);
        assert!(dropped["why"].as_str().unwrap().contains("block 2 did not come within 7s (T4)"));
        // What comes too late belongs to nothing.
        far.sends_block(far.head(data(11, true, 5), 2, true), b"two").await;
        let dropped = event(&session, "message_dropped").await;
        assert!(dropped["why"].as_str().unwrap().contains("none before it"), "{dropped}");
        far.is_served(&session).await;
    });
}

#[test]
fn an_answer_that_has_begun_has_t4_for_each_block_and_no_t3() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t3": 5.0, "t4": 10.0 })).await;
        let (answer, ()) = tokio::join!(says(&session, "S1F3 W ."), async {
            let (asked, _) = far.takes().await;
            for (number, text) in [b"\x41\x03a", b"bc\x00"].into_iter().enumerate() {
                tokio::time::sleep(Duration::from_secs(4 + 4 * number as u64)).await;
                let number = u16::try_from(number).unwrap() + 1;
                let text = text.strip_suffix(b"\x00").unwrap_or(text);
                far.sends_block(far.head(asked.answer(4), number, number == 2), text).await;
            }
        });
        assert_eq!(answer.unwrap()["item"], json!({ "A": "abc" }));
        let ((answer, tenths), ()) = tokio::join!(took(says(&session, "S1F3 W .")), async {
            let (asked, _) = far.takes().await;
            far.sends_block(far.head(asked.answer(4), 1, false), b"\x41\x03a").await;
        });
        let error = answer.unwrap_err();
        assert_eq!(tenths, 100);
        assert!(error.message().contains("(T4)"), "{error}");
        far.is_served(&session).await;
    });
}

#[test]
fn closing_towards_a_peer_that_does_not_answer_ends_after_t2() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t2": 3.0 })).await;
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), async {
            far.hears(ENQ).await;
            let (closed, tenths) = took(session.close(0, "")).await;
            closed.unwrap();
            assert_eq!(tenths, 30);
        });
        sent.unwrap_err();
    });
}
