//! Who gets which answer.

use super::*;
use futures_util::FutureExt;

#[test]
fn a_message_with_w_gets_its_answer_as_sml_and_json() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "session_id": 3 })).await;
        let message =
            json!({ "stream": 1, "function": 3, "wait": true, "item": { "L": [{ "U4": [10] }] } });
        for given in [json!({ "sml": "S1F3 W <L <U4 10>> ." }), json!({ "message": message })] {
            let (answer, ()) = tokio::join!(async { session.call("send", &given).await }, async {
                let (asked, body) = peer.data().await;
                assert_eq!((asked.title(), asked.session), ("S1F3 W".to_owned(), 3));
                assert_eq!(body, b"\x01\x01\xb1\x04\x00\x00\x00\x0a");
                peer.sends(asked.answer(4), b"\x01\x01\xa9\x02\x00\x7b").await;
            });
            let answer = answer.unwrap();
            assert_eq!(answer["item"], json!({ "L": [{ "U2": [123] }] }));
            assert_eq!(answer["sml"], "S1F4 <L <U2 123>> .");
            assert_eq!(answer["session_id"], 3);
        }
    });
}

#[test]
fn answers_come_in_any_order_and_go_to_who_has_asked() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let asks = (0..100).map(|number| {
            let session = &session;
            async move {
                let sml = format!("S2F13 W <U4 {number}> .");
                says(session, &sml).await.map(|answer| (number, answer))
            }
        });
        let (answers, ()) = tokio::join!(futures_util::future::join_all(asks), async {
            let mut asked = Vec::new();
            for _ in 0..100 {
                asked.push(peer.data().await);
            }
            for (header, body) in asked.into_iter().rev() {
                peer.sends(header.answer(14), &body).await;
            }
        });
        for answer in answers {
            let (number, answer) = answer.unwrap();
            assert_eq!(answer["item"], json!({ "U4": [number] }));
        }
    });
}

#[test]
fn a_primary_of_the_peer_with_our_system_bytes_is_no_answer() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let mut messages = session.take_messages().unwrap();
        let (answer, first, ()) =
            tokio::join!(says(&session, "S1F1 W ."), received(&mut messages), async {
                let (asked, _) = peer.data().await;
                // Of another direction, of another session, and of another message.
                peer.sends(Header::data(0, 1, 1, true, asked.system), b"\x41\x01p").await;
                peer.sends(Header { session: 9, ..asked.answer(2) }, b"\x41\x01s").await;
                peer.sends(asked.answer(4), b"\x41\x01f").await;
                peer.sends(Header::data(0, 2, 2, false, asked.system), b"\x41\x01g").await;
                peer.sends(asked.answer(2), b"\x41\x01r").await;
            });
        assert_eq!(answer.unwrap()["item"], json!({ "A": "r" }));
        assert_eq!((first.0.title(), &first.1[..]), ("S1F1 W".to_owned(), &b"\x41\x01p"[..]));
        for _ in 0..3 {
            event(&session, "late_reply").await;
        }
    });
}

#[test]
fn an_abort_and_stream_9_end_the_transaction_with_their_reason() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (answer, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            let (asked, _) = peer.data().await;
            peer.sends(asked.answer(0), &[]).await;
        });
        assert!(answer.unwrap_err().message().contains("S1F0"));
        let (answer, ()) = tokio::join!(says(&session, "S1F77 W ."), async {
            let (asked, _) = peer.data().await;
            let body = [&b"\x21\x0a"[..], &asked.bytes()].concat();
            peer.sends(Header::data(0, 9, 5, false, 1), &body).await;
        });
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(5)));
        assert!(error.message().contains("the function is unknown"), "{error}");
    });
}

#[test]
fn an_even_function_with_w_is_refused_when_sent_and_taken_when_received() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let sent = session.call("send", &json!({ "sml": "S1F2 W .", "system": 1 })).await;
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::Config);
        let (answer, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            let (asked, _) = peer.data().await;
            let answer = asked.answer(2);
            peer.sends(Header { byte2: answer.byte2 | 0x80, ..answer }, b"\x41\x00").await;
        });
        assert_eq!(answer.unwrap()["item"], json!({ "A": "" }));
    });
}

#[test]
fn a_message_of_the_peer_is_an_event_and_can_be_answered_once() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        peer.sends(Header::data(0, 6, 11, true, 42), b"\x41\x01x").await;
        let told = event(&session, "message").await;
        assert_eq!((&told["sml"], &told["system"]), (&json!("S6F11 W <A \"x\"> ."), &json!(42)));
        let answer = json!({ "sml": "S6F12 <B 0> .", "system": told["system"] });
        session.call("send", &answer).await.unwrap();
        let (header, body) = peer.data().await;
        assert_eq!((header.title(), header.system), ("S6F12".to_owned(), 42));
        assert_eq!(body, [0x21, 1, 0]);
        let again = session.call("send", &answer).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn system_bytes_that_are_used_again_are_told() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        for _ in 0..2 {
            peer.sends(Header::data(0, 6, 11, true, 42), &[]).await;
        }
        assert_eq!(event(&session, "system_bytes_reused").await["system"], 42);
    });
}

#[test]
fn what_stands_in_answers_is_answered_by_the_driver() {
    testing::paused(async {
        let given = json!({ "answers": { "S1F13": "S1F14 <L <B 0> <L>> .", "S1F1": "S1F0 ." } });
        let (session, mut peer) = active(given).await;
        peer.sends(Header::data(0, 1, 13, true, 8), b"\x01\x00").await;
        let (header, body) = peer.data().await;
        assert_eq!((header.title(), header.system), ("S1F14".to_owned(), 8));
        assert_eq!(body, b"\x01\x02\x21\x01\x00\x01\x00");
        peer.sends(Header::data(0, 1, 1, true, 9), &[]).await;
        assert_eq!(peer.data().await.0.title(), "S1F0");
        assert_eq!(event(&session, "answered").await["function"], 13);
        for wrong in [
            json!({ "S1F2": "S1F3 ." }),
            json!({ "S1F1": "S1F4 ." }),
            json!({ "S1F1": "S1F2 W ." }),
        ] {
            let driver = HsmsDriver::new(testing::host()).unwrap();
            let given = options(json!({ "answers": wrong }));
            assert!(
                driver.configure(given, Role::Client).unwrap_err().to_string().contains("answers")
            );
        }
    });
}

#[test]
fn a_call_that_is_dropped_takes_no_answer_of_another() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        {
            let mut call = Box::pin(says(&session, "S1F1 W ."));
            assert!(call.as_mut().now_or_never().is_none());
        }
        let (first, _) = peer.data().await;
        let (answer, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            let (second, _) = peer.data().await;
            peer.sends(first.answer(2), b"\x41\x05first").await;
            peer.sends(second.answer(2), b"\x41\x06second").await;
        });
        assert_eq!(answer.unwrap()["item"], json!({ "A": "second" }));
        event(&session, "late_reply").await;
    });
}

#[test]
fn messages_carry_their_header_both_ways_and_contents_without_one_are_plain() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "plain": "S100F1", "session_id": 2 })).await;
        let mut messages = session.take_messages().unwrap();
        peer.sends(Header::data(2, 6, 11, true, 42), b"\x41\x01x").await;
        let got = messages.next().await.unwrap().unwrap();
        assert_eq!((got.id, got.kind), (6 << 8 | 11, crate::users::DATA));
        let (header, _) = (header_of(&got), ());
        messages.send(message(header.answer(12), b"\x21\x01\x00")).await.unwrap();
        assert_eq!(peer.data().await.0, Header::data(2, 6, 12, false, 42));
        // A primary of ours: its answer comes back with the system bytes that were chosen.
        messages.send(message(Header::data(2, 1, 1, true, 7), b"")).await.unwrap();
        let (asked, _) = peer.data().await;
        peer.sends(asked.answer(2), b"").await;
        assert_eq!(received(&mut messages).await.0, Header::data(2, 1, 2, false, 7));
        messages.send(Message::binary("bytes")).await.unwrap();
        let (plain, body) = peer.data().await;
        assert_eq!(
            (plain.title(), plain.session, &body[..]),
            ("S100F1".to_owned(), 2, &b"bytes"[..])
        );
    });
}

#[test]
fn a_reader_that_is_slow_makes_the_peer_wait_and_loses_nothing() {
    testing::paused(async {
        let (session, mut peer) =
            active(json!({ "read_ahead": 10_000, "linktest_interval": 20.0 })).await;
        let mut messages = session.take_messages().unwrap();
        assert!(messages.next().now_or_never().is_none());
        let sending = tokio::spawn(async move {
            for number in 0..1000_u32 {
                let header = Header::data(0, 6, 1, false, number);
                peer.sends(header, &[0; 1000]).await;
            }
            peer
        });
        // Long enough for a linktest whose answer stands behind what nobody takes.
        tokio::time::sleep(std::time::Duration::from_secs(40)).await;
        assert!(!sending.is_finished());
        for number in 0..1000 {
            assert_eq!(received(&mut messages).await.0.system, number);
        }
        sending.await.unwrap();
    });
}

#[test]
fn who_takes_a_message_may_ask_and_wait_before_the_next_and_their_order_stays() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let mut messages = session.take_messages().unwrap();
        let taken = async {
            let first = received(&mut messages).await.0.system;
            let answer = says(&session, "S1F17 W .").await.expect("an answer");
            assert_eq!(answer["item"], json!({ "B": [0] }));
            let mut all = vec![first];
            for _ in 0..9 {
                all.push(received(&mut messages).await.0.system);
            }
            all
        };
        let (all, ()) = tokio::join!(taken, async {
            for number in 0..10 {
                peer.sends(Header::data(0, 6, 11, true, number), b"").await;
            }
            // Its answer stands behind all of them.
            let (asked, _) = peer.data().await;
            peer.sends(asked.answer(18), b"\x21\x01\x00").await;
        });
        assert_eq!(all, (0..10).collect::<Vec<u32>>());
    });
}

#[test]
fn no_more_transactions_are_open_than_may_be() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "max_transactions": 2 })).await;
        let (answers, ()) = tokio::join!(
            futures_util::future::join_all((0..5).map(|_| says(&session, "S1F1 W ."))),
            async {
                for _ in 0..5 {
                    let (asked, _) = peer.data().await;
                    tokio::task::yield_now().await;
                    assert!(session.info().facts["open_transactions"].as_u64() <= Some(2));
                    peer.sends(asked.answer(2), &[]).await;
                }
            }
        );
        assert!(answers.iter().all(Result::is_ok));
    });
}
