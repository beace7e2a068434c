//! T3 and T5 to T8, each with what follows, and linktests.

use super::*;
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long something took, to the second.
async fn took<T>(work: impl Future<Output = T>) -> (T, u64) {
    let begun = Instant::now();
    let done = work.await;
    (done, (begun.elapsed() + Duration::from_millis(500)).as_secs())
}

#[test]
fn t3_ends_the_transaction_and_nothing_else_and_the_late_reply_is_an_event() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "t3": 7.0, "linktest_interval": 0.0 })).await;
        let (answer, seconds) = took(says(&session, "S1F1 W .")).await;
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), seconds), (ErrorKind::TimedOut, 7));
        assert!(error.message().contains("S1F1 W") && error.message().contains("(T3)"), "{error}");
        assert_eq!(event(&session, "reply_timeout").await["function"], 1);
        let (late, _) = peer.data().await;
        // The next one gets its own answer, and never that of the one before.
        let (answer, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            let (asked, _) = peer.data().await;
            assert_ne!(asked.system, late.system);
            peer.sends(late.answer(2), b"\x41\x04late").await;
            peer.sends(asked.answer(2), b"\x41\x05ontim").await;
        });
        assert_eq!(answer.unwrap()["item"], json!({ "A": "ontim" }));
        assert_eq!(event(&session, "late_reply").await["system"], late.system);
    });
}

#[test]
fn a_call_may_have_a_limit_of_its_own_and_equipment_tells_of_it_by_s9f9() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "equipment": true })).await;
        let given = json!({ "sml": "S6F11 W .", "timeout": 2 });
        let (answer, seconds) = took(session.call("send", &given)).await;
        assert_eq!((answer.unwrap_err().kind(), seconds), (ErrorKind::TimedOut, 2));
        let (asked, _) = peer.data().await;
        let (told, body) = peer.data().await;
        assert_eq!((told.title(), &body[2..]), ("S9F9".to_owned(), &asked.bytes()[..]));
    });
}

#[test]
fn t5_keeps_two_connections_apart() {
    testing::paused(async {
        let place = Place::new(Role::Client, json!({ "t5": 8.0 }));
        let (session, peer) = place.selected().await;
        drop((session, peer));
        tokio::task::yield_now().await;
        let (session, mut peer) = place.begin();
        let ((session, seconds), ()) = tokio::join!(took(session), peer.hears_the_end());
        let error = session.expect_err("too soon");
        assert!(error.message().contains("T5"), "{error}");
        // Up to a quarter more, by chance.
        assert!((8..=10).contains(&seconds), "{seconds}");
        place.selected().await;
    });
}

#[test]
fn t6_ends_a_connection_whose_select_is_not_answered() {
    testing::paused(async {
        let place = Place::new(Role::Client, json!({ "t6": 3.0 }));
        let (session, mut peer) = place.begin();
        let ((session, seconds), ()) = tokio::join!(took(session), async {
            peer.reads(Kind::SelectReq).await;
            peer.hears_the_end().await;
        });
        let error = session.expect_err("no answer");
        assert_eq!((error.kind(), seconds), (ErrorKind::TimedOut, 3));
        assert!(
            error.message().contains("Select.req") && error.message().contains("(T6)"),
            "{error}"
        );
    });
}

#[test]
fn t6_ends_a_connection_whose_linktest_is_not_answered() {
    testing::paused(async {
        for role in [Role::Client, Role::Server] {
            let given = json!({ "t6": 3.0, "linktest_interval": 20.0 });
            let (session, mut peer) = Place::new(role, given).selected().await;
            let (error, seconds) = took(end_of(&session)).await;
            let error = error.expect("an error");
            assert_eq!((error.kind(), seconds), (ErrorKind::TimedOut, 23));
            assert!(error.message().contains("Linktest.req"), "{error}");
            peer.reads(Kind::LinktestReq).await;
            peer.hears_the_end().await;
        }
    });
}

#[test]
fn linktests_go_on_while_they_are_answered_and_begin_again_with_the_next_select() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({ "linktest_interval": 2.0, "t7": 10.0 })).await;
        for _ in 0..5 {
            let (asked, seconds) = took(peer.reads(Kind::LinktestReq)).await;
            assert_eq!(seconds, 2);
            peer.answers(asked, Kind::LinktestRsp, 0).await;
        }
        peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        peer.reads(Kind::DeselectRsp).await;
        sleep(Duration::from_secs(9)).await;
        peer.selects(ALL_SESSIONS, 0).await;
        let (_, seconds) = took(peer.reads(Kind::LinktestReq)).await;
        assert_eq!(seconds, 2);
        drop(session);
    });
}

#[test]
fn t6_must_be_shorter_than_t7() {
    testing::paused(async {
        let driver = HsmsDriver::new(testing::host()).unwrap();
        let error = driver.configure(options(json!({ "t6": 10.0 })), Role::Client).unwrap_err();
        assert!(error.to_string().contains("t7"), "{error}");
    });
}

#[test]
fn t7_ends_a_connection_that_is_not_selected_whatever_else_it_says() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({ "t7": 9.0 }));
        for talks in [false, true] {
            let (session, mut peer) = place.begin();
            let ((session, seconds), ()) = tokio::join!(took(session), async {
                if talks {
                    for _ in 0..8 {
                        peer.is_served().await;
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                peer.hears_the_end().await;
            });
            let error = session.expect_err("not selected");
            assert_eq!((error.kind(), seconds), (ErrorKind::TimedOut, 9));
            assert!(error.message().contains("(T7)"), "{error}");
        }
    });
}

#[test]
fn t8_ends_a_message_that_stops_in_its_length_its_header_or_its_content() {
    testing::paused(async {
        let frame = Header::data(0, 1, 1, false, 1).frame(&[0; 100]).unwrap();
        for count in [1, 3, 4, 9, 13, 14, 60, 113] {
            let (session, mut peer) = active(json!({ "t8": 4.0 })).await;
            peer.bytes(&frame[..count]).await;
            // It is the peer's pause that counts, not the whole.
            sleep(Duration::from_secs(3)).await;
            peer.bytes(&frame[count..=count]).await;
            let (error, seconds) = match count {
                113 => {
                    peer.is_served().await;
                    continue;
                }
                _ => took(end_of(&session)).await,
            };
            let error = error.expect("an error");
            assert_eq!((error.kind(), seconds), (ErrorKind::TimedOut, 4), "{count}");
            assert!(error.message().contains("(T8)"), "{error}");
            peer.hears_the_end().await;
        }
    });
}

#[test]
fn a_peer_that_stops_in_a_message_is_still_sent_to_and_can_be_closed() {
    testing::paused(async {
        let (session, mut peer) = active(json!({ "t8": 100.0, "linktest_interval": 0.0 })).await;
        peer.bytes(&[0, 0]).await;
        says(&session, "S6F1 .").await.expect("sent");
        assert_eq!(peer.data().await.0.title(), "S6F1");
        let (closed, seconds) = took(session.close(0, "")).await;
        closed.expect("closed");
        assert_eq!(seconds, 0);
        peer.reads(Kind::SeparateReq).await;
        peer.hears_the_end().await;
    });
}

#[test]
fn closing_towards_a_peer_that_reads_nothing_ends_after_t6() {
    testing::paused(async {
        let given = json!({ "t6": 3.0, "linktest_interval": 0.0, "write_buffer": 1 << 20 });
        let (session, peer) = active(given).await;
        let mut messages = session.take_messages().unwrap();
        let large = Bytes::from(vec![0; 300_000]);
        assert!(messages.send(Message::binary(large)).now_or_never().is_none());
        let (closed, seconds) = took(session.close(0, "")).await;
        closed.expect("closed");
        assert_eq!(seconds, 3);
        drop(peer);
    });
}

#[test]
fn before_a_connection_is_there_nothing_is_waited_for() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        event_ends(&session).await;
        for operation in ["linktest", "select", "deselect"] {
            let (result, seconds) = took(session.call(operation, &json!({}))).await;
            assert_eq!(
                (result.unwrap_err().kind(), seconds),
                (ErrorKind::Closed, 0),
                "{operation}"
            );
        }
    });
}

async fn event_ends(session: &Session) {
    while session.next_event().await.expect("no error").is_some() {}
}
