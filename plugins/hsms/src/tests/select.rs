//! Selecting, deselecting, linktests and the end, in both roles.

use super::*;

#[test]
fn the_active_side_selects_and_is_selected_by_status_0_alone() {
    testing::paused(async {
        let (session, _peer) = active(json!({})).await;
        assert_eq!(session.info().facts["hsms"], "selected");
        for (status, words) in [
            (1, "already active"),
            (2, "not ready"),
            (3, "no connection left"),
            (9, "reason of the peer's own"),
        ] {
            let place = Place::new(Role::Client, json!({}));
            let (session, mut peer) = place.begin();
            let (session, ()) = tokio::join!(session, async {
                let asked = peer.reads(Kind::SelectReq).await;
                assert_eq!(asked.session, ALL_SESSIONS);
                peer.answers(asked, Kind::SelectRsp, status).await;
                peer.hears_the_end().await;
            });
            let error = session.expect_err("refused");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(status.into())));
            assert!(error.message().contains(words), "{error}");
        }
    });
}

#[test]
fn a_second_select_is_told_that_communication_is_active() {
    testing::paused(async {
        let (_session, mut peer) = passive(json!({})).await;
        peer.selects(ALL_SESSIONS, 1).await;
        peer.is_served().await;
    });
}

#[test]
fn two_that_select_at_the_same_time_are_selected() {
    testing::paused(async {
        // The peer answers ours with 0, or says that it is active already by its own.
        for status in [0, 1] {
            let place = Place::new(Role::Client, json!({}));
            let (session, mut peer) = place.begin();
            let (session, ()) = tokio::join!(session, async {
                let ours = peer.reads(Kind::SelectReq).await;
                peer.selects(ALL_SESSIONS, 0).await;
                peer.answers(ours, Kind::SelectRsp, status).await;
            });
            let _session = session.expect("a session");
            peer.is_served().await;
        }
    });
}

#[test]
fn a_linktest_is_answered_before_and_after_the_select_and_ping_is_one() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({}));
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, async {
            peer.is_served().await;
            peer.selects(ALL_SESSIONS, 0).await;
        });
        let session = session.expect("a session");
        let (ping, call, ()) = tokio::join!(
            session.ping(),
            async { session.call("linktest", &json!({})).await },
            async {
                for _ in 0..2 {
                    let asked = peer.reads(Kind::LinktestReq).await;
                    peer.answers(asked, Kind::LinktestRsp, 0).await;
                }
            }
        );
        ping.expect("a round trip");
        assert!(call.expect("a round trip")["milliseconds"].is_number());
    });
}

#[test]
fn deselect_leaves_the_connection_and_t7_begins_again() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({ "t7": 30.0 })).await;
        let asked = peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        let answer = peer.reads(Kind::DeselectRsp).await;
        assert_eq!((answer.system, answer.byte3), (asked, 0));
        assert_eq!(session.info().facts["hsms"], "not_selected");
        assert_eq!(says(&session, "S1F1 W .").await.unwrap_err().kind(), ErrorKind::Closed);
        // Again: it is not selected any more, and may be.
        peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        assert_eq!(peer.reads(Kind::DeselectRsp).await.byte3, 1);
        peer.selects(ALL_SESSIONS, 0).await;
        peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        peer.reads(Kind::DeselectRsp).await;
        let error = end_of(&session).await.expect("an error");
        assert!(error.message().contains("(T7)"), "{error}");
        peer.hears_the_end().await;
    });
}

#[test]
fn deselect_is_refused_while_a_transaction_is_open_and_a_refusal_is_told() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        peer.sends(Header::data(0, 5, 1, true, 7), &[]).await;
        peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        assert_eq!(peer.reads(Kind::DeselectRsp).await.byte3, 2);
        let (refused, ()) =
            tokio::join!(async { session.call("deselect", &json!({})).await }, async {
                let asked = peer.reads(Kind::DeselectReq).await;
                peer.answers(asked, Kind::DeselectRsp, 2).await;
            });
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(2)));
        assert!(error.message().contains("busy"), "{error}");
        peer.is_served().await;
    });
}

#[test]
fn deselect_and_select_by_call_go_there_and_back() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        for (operation, asks, answers, status) in [
            ("deselect", Kind::DeselectReq, Kind::DeselectRsp, "not_selected"),
            ("select", Kind::SelectReq, Kind::SelectRsp, "selected"),
        ] {
            let (done, ()) =
                tokio::join!(async { session.call(operation, &json!({})).await }, async {
                    let asked = peer.reads(asks).await;
                    peer.answers(asked, answers, 0).await;
                });
            done.expect("done");
            assert_eq!(session.info().facts["hsms"], status);
        }
    });
}

#[test]
fn a_separate_ends_the_session_at_once_and_is_an_end_not_an_error() {
    testing::paused(async {
        for role in [Role::Client, Role::Server] {
            let (session, mut peer) = Place::new(role, json!({})).selected().await;
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
            peer.hears_the_end().await;
            assert_eq!(end_of(&session).await, None);
            let error = says(&session, "S1F1 W .").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    });
}

#[test]
fn a_peer_that_selects_and_is_gone_at_once_leaves_an_end_and_nothing_else() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({}));
        let select = Header::control(Kind::SelectReq, ALL_SESSIONS, 0, 1).frame(&[]).unwrap();
        let separate = Header::control(Kind::SeparateReq, ALL_SESSIONS, 0, 2).frame(&[]).unwrap();
        for (said, polite) in [([&select[..], &separate].concat(), true), (select.to_vec(), false)]
        {
            let (session, mut peer) = place.begin();
            let (session, ()) = tokio::join!(session, async {
                peer.bytes(&said).await;
                drop(peer);
            });
            match session {
                Ok(session) => assert_eq!(end_of(&session).await.is_none(), polite),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
            }
        }
        tokio::task::yield_now().await;
        assert_eq!(place.host.tasks(), 0);
    });
}

#[test]
fn our_end_is_a_separate_behind_what_was_sent() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        says(&session, "S6F1 <A \"last\"> .").await.unwrap();
        let (closed, ()) = tokio::join!(session.close(0, ""), async {
            assert_eq!(peer.data().await.0.title(), "S6F1");
            peer.reads(Kind::SeparateReq).await;
            peer.hears_the_end().await;
        });
        closed.expect("closed");
    });
}

#[test]
fn an_end_without_a_separate_is_an_error() {
    testing::paused(async {
        let (session, peer) = active(json!({})).await;
        drop(peer);
        let error = end_of(&session).await.expect("an error");
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.message().contains("without a Separate.req"), "{error}");
        // And what is cut off in a message says so.
        let (session, mut peer) = active(json!({})).await;
        peer.bytes(&[0, 0, 0, 20, 1, 2]).await;
        drop(peer);
        let error = end_of(&session).await.expect("an error");
        assert!(error.message().contains("after 6 bytes of a message"), "{error}");
    });
}

#[test]
fn a_session_that_is_dropped_leaves_neither_task_nor_connection() {
    testing::paused(async {
        let place = Place::new(Role::Client, json!({ "t5": 0.0 }));
        for _ in 0..6 {
            let (session, mut peer) = place.selected().await;
            drop(session);
            peer.hears_the_end().await;
        }
        tokio::task::yield_now().await;
        assert_eq!(place.host.tasks(), 0);
    });
}

#[test]
fn opening_that_is_dropped_anywhere_leaves_nothing() {
    testing::paused(async {
        let place = Place::new(Role::Client, json!({ "t5": 0.0 }));
        let (_, session) = testing::cancel_at_every_await(|| {
            let (session, mut peer) = place.begin();
            async move {
                let (session, ()) = tokio::join!(session, peer.accepts());
                session.map(|_| ())
            }
        })
        .await;
        session.expect("a session");
        tokio::task::yield_now().await;
        assert_eq!(place.host.tasks(), 0);
    });
}

#[test]
fn in_generic_mode_each_session_is_selected_by_its_id() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({ "mode": "generic", "max_selected": 2 }));
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, peer.selects(1, 0));
        let session = session.expect("a session");
        peer.selects(1, 1).await;
        peer.selects(2, 0).await;
        peer.selects(3, 3).await;
        assert_eq!(session.info().facts["sessions"], json!([1, 2]));
        peer.sends(Header::data(3, 1, 1, true, 5), &[]).await;
        peer.reads_reject(4).await;
        peer.asks(Kind::DeselectReq, 2).await;
        assert_eq!(peer.reads(Kind::DeselectRsp).await.byte3, 0);
        peer.sends(Header::data(2, 1, 1, true, 6), &[]).await;
        peer.reads_reject(4).await;
        assert_eq!(session.info().facts["sessions"], json!([1]));
        // Of ours, what names another session is not sent and ends nothing.
        let mut messages = session.take_messages().unwrap();
        messages.send(message(Header::data(2, 6, 1, false, 1), b"")).await.unwrap();
        messages.send(message(Header::data(1, 6, 1, false, 1), b"")).await.unwrap();
        assert_eq!(peer.data().await.0.session, 1);
        assert_eq!(event(&session, "not_selected").await["session_id"], 2);
    });
}
