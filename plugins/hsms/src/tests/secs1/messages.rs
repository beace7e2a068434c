//! What goes well: messages of one block and of many, both ways, as host and as equipment.

use super::*;
use futures_util::{FutureExt, SinkExt, StreamExt};
use jackfield_plugin_api::Message;

#[test]
fn a_question_has_its_answer_as_host_and_as_equipment() {
    testing::paused(async {
        for equipment in [false, true] {
            let (session, mut far) = line(json!({ "equipment": equipment, "session_id": 5 })).await;
            let (answer, ()) = tokio::join!(says(&session, "S1F3 W <L <U1 10>> ."), async {
                let (block, text) = far.takes_block().await;
                assert_eq!((block.reverse, block.number, block.end), (equipment, 1, true));
                assert_eq!(block.message().session, 5);
                assert_eq!(text[..], *b"\x01\x01\xa5\x01\x0a");
                far.sends(block.message().answer(4), b"\x01\x01\xa5\x01\x7b").await;
            });
            assert_eq!(answer.unwrap()["sml"], "S1F4 <L <U1 123>> .");
            let role = session.info().facts["role"].clone();
            assert_eq!(role, if equipment { "equipment" } else { "host" });
            assert_eq!(session.info().facts["blocks_sent"], 1);
        }
    });
}

#[test]
fn messages_of_any_length_pass_in_blocks_of_244_bytes() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let mut messages = session.take_messages().unwrap();
        for (number, length) in [0, 1, 243, 244, 245, 488, 489, 10_000].into_iter().enumerate() {
            let body: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[0]).collect();
            let header = data(1, false, u32::try_from(number).unwrap());
            far.sends(header, &body).await;
            let (got, came) = received(&mut messages).await;
            assert_eq!((got, &came[..]), (header, &body[..]), "{length}");
            let sent = crate::users::message(header, body.clone().into());
            let (taken, ()) = tokio::join!(far.takes(), async {
                messages.send(sent).await.unwrap();
            });
            assert_eq!((taken.0.title(), &taken.1[..]), (header.title(), &body[..]), "{length}");
        }
    });
}

#[test]
fn an_answer_goes_back_with_the_system_bytes_of_what_it_answers() {
    testing::paused(async {
        let given = json!({ "answers": { "S1F13": "S1F14 <L <B 0> <L>> ." } });
        let (session, mut far) = line(given).await;
        far.sends(Header::data(0, 1, 13, true, 77), b"\x01\x00").await;
        let (answer, body) = far.takes().await;
        assert_eq!((answer.title(), answer.system), ("S1F14".to_owned(), 77));
        assert_eq!(body[..], *b"\x01\x02\x21\x01\x00\x01\x00");
        event(&session, "answered").await;
        far.sends(data(11, true, 78), b"").await;
        let asked = event(&session, "message").await;
        let given = json!({ "sml": "S6F12 <B 0> .", "system": asked["system"] });
        let (sent, (answer, _)) = tokio::join!(session.call("send", &given), far.takes());
        sent.unwrap();
        assert_eq!((answer.title(), answer.system), ("S6F12".to_owned(), 78));
    });
}

#[test]
fn contents_without_a_header_are_plain_and_those_with_one_keep_their_device() {
    testing::paused(async {
        let given = json!({ "plain": "S100F1", "session_id": 2, "more_devices": [3] });
        let (session, mut far) = line(given).await;
        let mut messages = session.take_messages().unwrap();
        let other = crate::users::message(Header::data(3, 6, 1, false, 1), Bytes::new());
        let sending = async {
            messages.send(Message::binary("bytes")).await.unwrap();
            messages.send(other).await.unwrap();
            // Of a device that is not there: it is dropped, and the others go on.
            let nobody = crate::users::message(Header::data(9, 6, 1, false, 1), Bytes::new());
            messages.send(nobody).await.unwrap();
        };
        let ((), (plain, third)) =
            tokio::join!(sending, async { (far.takes().await, far.takes().await) });
        assert_eq!((plain.0.title(), plain.0.session), ("S100F1".to_owned(), 2));
        assert_eq!((plain.1, third.0.session), (Bytes::from_static(b"bytes"), 3));
        assert_eq!(event(&session, "not_selected").await["session_id"], 9);
        let given = json!({ "sml": "S6F1 .", "session_id": 9 });
        let error = session.call("send", &given).await.unwrap_err();
        assert!(error.message().contains("`more_devices`"), "{error}");
        far.sends(Header::data(3, 6, 5, false, 9), b"").await;
        let got = messages.next().await.unwrap().unwrap();
        assert_eq!(got.metadata[..2], [0, 3]);
    });
}

#[test]
fn a_ping_is_s1f1_and_any_answer_shows_that_the_peer_is_there() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "t3": 5.0 })).await;
        for function in [2, 0] {
            let (ping, ()) = tokio::join!(session.ping(), async {
                let (asked, _) = far.takes().await;
                assert_eq!(asked.title(), "S1F1 W");
                far.sends(asked.answer(function), b"").await;
            });
            ping.unwrap();
        }
        let (ping, ()) = tokio::join!(session.ping(), async {
            let (block, _) = far.takes_block().await;
            let about = [&b"\x21\x0a"[..], &block.bytes()].concat();
            far.sends(Header::data(0, 9, 3, false, 1), &about).await;
        });
        ping.unwrap();
        let (ping, _) = tokio::join!(session.ping(), far.takes());
        assert_eq!(ping.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn there_is_one_operation_and_a_line_is_never_selected() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        for operation in ["linktest", "select", "deselect", "separate", "no_such"] {
            let error = session.call(operation, &json!({})).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.message().contains("there are: send"), "{error}");
        }
        // No T7 runs.
        tokio::time::sleep(Duration::from_secs(40)).await;
        far.is_served(&session).await;
    });
}

#[test]
fn communications_are_established_before_a_session_is_there_if_wanted() {
    testing::paused(async {
        let (opening, mut far) = begun(json!({ "establish": true }));
        let (session, ()) = tokio::join!(opening, async {
            let (asked, body) = far.takes().await;
            assert_eq!((asked.title(), &body[..]), ("S1F13 W".to_owned(), &b"\x01\x00"[..]));
            far.sends(asked.answer(14), b"\x01\x02\x21\x01\x00\x01\x00").await;
        });
        far.is_served(&session.expect("a session")).await;
    });
}

#[test]
fn a_host_lets_equipment_establish_communications_if_it_does_so_at_once() {
    testing::paused(async {
        let (opening, mut far) = begun(json!({ "establish": true }));
        let (session, ()) = tokio::join!(opening, async {
            far.sends(Header::data(0, 1, 13, true, 5), b"\x01\x00").await;
            let (answer, body) = far.takes().await;
            assert_eq!((answer.title(), &body[2..5]), ("S1F14".to_owned(), &b"\x21\x01\x00"[..]));
        });
        // And nothing of ours behind it.
        far.is_served(&session.expect("a session")).await;
    });
}

#[test]
fn a_message_that_does_not_arrive_ends_communications_which_begin_again() {
    testing::paused(async {
        let given = json!({ "establish": true, "establish_delay": 5, "t2": 1.0, "rty": 0 });
        let (opening, mut far) = begun(given);
        let (session, ()) = tokio::join!(opening, async {
            let (asked, _) = far.takes().await;
            far.sends(asked.answer(14), b"\x01\x02\x21\x01\x00\x01\x00").await;
        });
        let session = session.expect("a session");
        assert_eq!(session.info().facts["communication"], "communicating");
        let (sent, ()) = tokio::join!(says(&session, "S6F1 ."), far.hears(ENQ));
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(session.info().facts["communication"], "not_communicating");
        let (asked, _) = far.takes().await;
        assert_eq!(asked.title(), "S1F13 W");
        far.sends(asked.answer(14), b"\x01\x02\x21\x01\x00\x01\x00").await;
        far.is_served(&session).await;
    });
}

#[test]
fn users_of_one_line_have_their_own_answers() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let mut users = Vec::new();
        for text in ["one", "two"] {
            let part = session.open_stream(&Value::Null).await.unwrap();
            let mut messages = part.take_messages().unwrap();
            let header = Header::data(0, 1, 3, true, 1);
            let sent = crate::users::message(header, Bytes::copy_from_slice(text.as_bytes()));
            let (asked, ()) = tokio::join!(far.takes(), async {
                messages.send(sent).await.unwrap();
            });
            users.push((part, messages, asked));
        }
        assert_ne!(users[0].2.0.system, users[1].2.0.system);
        for (_, messages, (asked, text)) in users.iter_mut().rev() {
            far.sends(asked.answer(4), text).await;
            let (header, body) = received(messages).await;
            assert_eq!((header.system, &body), (1, &*text));
        }
        let error = users[0].0.call("linktest", &json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    });
}

#[test]
fn what_waits_is_sent_before_a_line_is_closed_and_the_peers_end_between_messages_is_one() {
    testing::paused(async {
        let (session, mut far) = line(json!({})).await;
        let mut messages = session.take_messages().unwrap();
        assert!(messages.send(Message::binary("last words")).now_or_never().is_none());
        let (closed, ()) = tokio::join!(session.close(0, ""), async {
            assert_eq!(far.takes().await.1[..], *b"last words");
            far.hears_the_end().await;
        });
        closed.unwrap();
        let (session, far) = line(json!({})).await;
        drop(far);
        assert_eq!(end_of(&session).await, None);
        let error = says(&session, "S1F1 W .").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    });
}

#[test]
fn a_slow_reader_makes_the_peer_wait_for_its_eot_and_loses_nothing() {
    testing::paused(async {
        let (session, mut far) = line(json!({ "read_ahead": 1000, "t2": 2.0 })).await;
        let mut messages = session.take_messages().unwrap();
        // It reads, and so it is waited for.
        far.sends(data(1, false, 0), &[0; 800]).await;
        received(&mut messages).await;
        for number in 1..=3 {
            far.sends(data(1, false, number), &[0; 800]).await;
        }
        far.says(&[ENQ]).await;
        let eot = tokio::time::timeout(Duration::from_secs(30), far.hears(EOT)).await;
        eot.expect_err("there is no room");
        far.says(&[ENQ, ENQ]).await;
        assert_eq!(received(&mut messages).await.0.system, 1);
        // One EOT for all that was asked.
        far.hears(EOT).await;
        let block = far.head(data(1, false, 4), 1, true);
        far.says(&block.write(b"four")).await;
        far.hears(ACK).await;
        for number in 2..=4 {
            assert_eq!(received(&mut messages).await.0.system, number);
        }
    });
}
