//! Peers that do what they may not.

use super::*;

/// A session has ended with an error that says so, and the peer hears it.
async fn ends(session: &Session, peer: &mut Peer, words: &str) {
    let error = end_of(session).await.expect("an error");
    assert!(error.message().contains(words), "{error}");
    assert_ne!(error.retry(), jackfield_plugin_api::Retry::Never);
    peer.hears_the_end().await;
}

#[test]
fn data_before_the_select_is_rejected_and_the_select_may_follow() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({}));
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, async {
            peer.sends(Header::data(0, 1, 1, true, 77), &[]).await;
            let reject = peer.reads_reject(4).await;
            assert_eq!((reject.system, reject.byte2), (77, 0));
            peer.selects(ALL_SESSIONS, 0).await;
        });
        session.expect("a session");
    });
}

#[test]
fn unknown_types_and_presentations_are_rejected() {
    testing::paused(async {
        let (_session, mut peer) = passive(json!({})).await;
        for kind in [8, 10, 127, 255] {
            let header = Header { kind, ..Header::data(0, 1, 1, false, 5) };
            peer.sends(header, &[]).await;
            let reject = peer.reads_reject(1).await;
            assert_eq!((reject.byte2, reject.system), (kind, 5));
        }
        let header = Header { presentation: 1, ..Header::data(0, 1, 1, true, 6) };
        peer.sends(header, &[]).await;
        let reject = peer.reads_reject(2).await;
        assert_eq!((reject.byte2, reject.system), (1, 6));
        peer.is_served().await;
    });
}

#[test]
fn a_peer_that_has_forgotten_the_select_is_selected_again_and_the_next_time_left() {
    testing::paused(async {
        // As E37 has it, and without the session, as secsgem does.
        for of in [0, ALL_SESSIONS] {
            let (session, mut peer) = active(json!({})).await;
            let (said, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
                let (asked, _) = peer.data().await;
                peer.sends(Header { session: of, ..asked.reject(4) }, &[]).await;
                peer.accepts().await;
            });
            assert!(said.expect_err("a Reject").message().contains("the session is not selected"));
            assert_eq!(event(&session, "deselected").await["by"], "peer");
            assert_eq!(event(&session, "selected").await["by"], "us");
            let (said, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
                let (asked, _) = peer.data().await;
                peer.sends(asked.answer(2), &[]).await;
            });
            assert_eq!(said.expect("an answer")["sml"], "S1F2 .");
            let (said, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
                let (asked, _) = peer.data().await;
                peer.sends(asked.reject(4), &[]).await;
            });
            said.expect_err("a Reject");
            ends(&session, &mut peer, "accepted twice").await;
        }
    });
}

#[test]
fn answers_to_nothing_are_rejected_and_rejects_are_not() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        for kind in [Kind::SelectRsp, Kind::DeselectRsp, Kind::LinktestRsp] {
            peer.asks(kind, ALL_SESSIONS).await;
            let reject = peer.reads_reject(3).await;
            assert_eq!(reject.byte2, kind as u8);
        }
        let header = Header::control(Kind::RejectReq, ALL_SESSIONS, 1, 99);
        peer.sends(header, &[]).await;
        peer.is_served().await;
        assert_eq!(event(&session, "rejected").await["reason"], 1);
    });
}

#[test]
fn a_reject_of_ours_fails_its_transaction_alone() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (answer, tested, ()) = tokio::join!(
            says(&session, "S1F1 W ."),
            async { session.call("linktest", &json!({})).await },
            async {
                for _ in 0..2 {
                    let (asked, _) = peer.next().await.unwrap();
                    peer.sends(asked.reject(2), &[]).await;
                }
            }
        );
        for error in [answer.unwrap_err(), tested.unwrap_err()] {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(2)), "{error}");
        }
        peer.is_served().await;
    });
}

#[test]
fn a_length_below_that_of_a_header_or_above_the_limit_ends_the_connection_at_once() {
    testing::paused(async {
        for (length, words) in [(0_u32, "has 0 bytes"), (9, "has 9 bytes"), (1035, "`max_message`")]
        {
            let (session, mut peer) = passive(json!({ "max_message": 1024 })).await;
            peer.bytes(&length.to_be_bytes()).await;
            ends(&session, &mut peer, words).await;
        }
        let (_session, mut peer) = passive(json!({ "max_message": 1024 })).await;
        peer.sends(Header::data(0, 1, 1, false, 1), &[0; 1024]).await;
        peer.is_served().await;
    });
}

#[test]
fn a_control_message_with_content_ends_the_connection() {
    testing::paused(async {
        for selected in [false, true] {
            let place = Place::new(Role::Server, json!({}));
            let header = Header::control(Kind::LinktestReq, ALL_SESSIONS, 0, 1);
            if selected {
                let (session, mut peer) = place.selected().await;
                peer.sends(header, &[0]).await;
                ends(&session, &mut peer, "header alone").await;
                continue;
            }
            let (session, mut peer) = place.begin();
            let (session, ()) = tokio::join!(session, async {
                peer.sends(header, &[0]).await;
                peer.hears_the_end().await;
            });
            assert_eq!(session.expect_err("broken").kind(), ErrorKind::Protocol);
        }
    });
}

#[test]
fn what_comes_in_single_bytes_is_the_same() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({})).await;
        let frame = Header::data(0, 6, 1, false, 3).frame(b"\x41\x02hi").unwrap();
        for byte in &frame {
            peer.bytes(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(event(&session, "message").await["sml"], "S6F1 <A \"hi\"> .");
    });
}

#[test]
fn content_that_is_no_item_passes_as_a_message_and_is_told_in_an_answer() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let (answer, ()) = tokio::join!(says(&session, "S1F1 W ."), async {
            let (asked, _) = peer.data().await;
            peer.sends(asked.answer(2), &[0x41, 9]).await;
        });
        let answer = answer.unwrap();
        assert!(answer["unreadable"].as_str().unwrap().contains("ends early"), "{answer}");
        assert_eq!(answer["content"], "4109");
        let mut messages = session.take_messages().unwrap();
        peer.sends(Header::data(0, 6, 1, false, 1), &[0xff]).await;
        assert_eq!(received(&mut messages).await.1, [0xff][..]);
    });
}

#[test]
fn unfinished_messages_of_all_connections_together_are_bounded() {
    testing::paused(async {
        let place = Place::new(Role::Server, json!({ "max_unfinished": 150_000, "t8": 600.0 }));
        let head = 200_000_u32.to_be_bytes();
        let (_first, mut first) = place.selected().await;
        first.bytes(&[&head[..], &[0; 120_000]].concat()).await;
        let (session, mut second) = place.selected().await;
        second.is_served().await;
        let (error, _) = tokio::join!(end_of(&session), async {
            // Its end may be seen before all of it was written.
            let _ = second.stream.write_all(&[&head[..], &[0; 180_000]].concat()).await;
        });
        assert!(error.expect("an error").message().contains("max_unfinished"));
        // The first goes on.
        first.bytes(&[0; 80_000]).await;
        first.is_served().await;
    });
}

#[test]
fn a_peer_that_asks_and_never_reads_is_not_answered_without_end() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({ "t8": 5.0 })).await;
        let request = Header::control(Kind::LinktestReq, ALL_SESSIONS, 0, 1).frame(&[]).unwrap();
        let many: Vec<u8> = request.iter().copied().cycle().take(request.len() * 100_000).collect();
        let flood =
            tokio::time::timeout(std::time::Duration::from_secs(60), peer.stream.write_all(&many));
        flood.await.expect_err("it has to wait");
        drop(session);
    });
}
