//! Communications by GEM (E30), above the session.

use super::*;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// S1F14 that accepts, and one that denies.
const YES: &[u8] = b"\x01\x02\x21\x01\x00\x01\x00";
const NO: &[u8] = b"\x01\x02\x21\x01\x01\x01\x00";

fn with(more: &Value) -> Value {
    let mut given = json!({ "establish": true, "linktest_interval": 0 });
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    given
}

/// One whose opening does not wait.
fn at_once(more: &Value) -> Value {
    let mut given = with(more);
    given["establish_wait"] = false.into();
    given
}

fn state(session: &Session) -> String {
    session.info().facts["communication"].as_str().expect("a state").to_owned()
}

/// The next change, from and to.
async fn change(session: &Session) -> (String, String) {
    let facts = event(session, "communication").await;
    let of = |name: &str| facts[name].as_str().unwrap().to_owned();
    (of("was"), of("state"))
}

async fn changes(session: &Session, all: &[&str]) {
    for pair in all.windows(2) {
        assert_eq!(change(session).await, (pair[0].to_owned(), pair[1].to_owned()));
    }
}

/// The next message is our S1F13; its header.
async fn asked(peer: &mut Peer) -> Header {
    let (asked, body) = peer.data().await;
    assert_eq!((asked.title(), &body[..]), ("S1F13 W".to_owned(), &b"\x01\x00"[..]));
    asked
}

#[test]
fn either_role_opens_once_its_s1f13_is_accepted() {
    testing::paused(async {
        for role in [Role::Client, Role::Server] {
            for equipment in [false, true] {
                let place = Place::new(role, with(&json!({ "equipment": equipment })));
                let (session, mut peer) = place.begin();
                let (session, ()) = tokio::join!(session, async {
                    match role {
                        Role::Client => peer.accepts().await,
                        Role::Server => peer.selects(ALL_SESSIONS, 0).await,
                    }
                    let asked = asked(&mut peer).await;
                    peer.sends(asked.answer(14), YES).await;
                });
                let session = session.expect("a session");
                assert_eq!(state(&session), "communicating");
                changes(&session, &["not_communicating", "wait_cra", "communicating"]).await;
            }
        }
    });
}

#[test]
fn an_s1f13_that_is_denied_or_not_answered_is_sent_again_after_the_delay() {
    testing::paused(async {
        let given = with(&json!({ "establish_timeout": 4, "establish_delay": 7 }));
        let place = Place::new(Role::Client, given);
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, async {
            peer.accepts().await;
            let first = asked(&mut peer).await;
            let begun = Instant::now();
            peer.sends(first.answer(14), NO).await;
            let second = asked(&mut peer).await;
            assert_eq!(begun.elapsed().as_secs(), 7);
            // An abort, and what is no list, are no yes.
            peer.sends(second.answer(0), &[]).await;
            let third = asked(&mut peer).await;
            assert_eq!(begun.elapsed().as_secs(), 14);
            peer.sends(third.answer(14), b"\x21\x01\x00").await;
            asked(&mut peer).await;
            let last = asked(&mut peer).await;
            assert_eq!(begun.elapsed().as_secs(), 21 + 4 + 7);
            peer.sends(last.answer(14), YES).await;
        });
        let session = session.expect("a session");
        let mut all = vec!["not_communicating", "wait_cra"];
        all.extend(["wait_delay", "wait_cra"].repeat(4));
        all.push("communicating");
        changes(&session, &all).await;
    });
}

#[test]
fn the_delay_is_ten_seconds_by_default() {
    let defaults = options(json!({}));
    assert!(!defaults.establish);
    assert!((defaults.establish_delay - 10.0).abs() < f64::EPSILON);
}

#[test]
fn opening_that_is_denied_to_its_end_says_what_the_peer_said() {
    testing::paused(async {
        let place = Place::new(Role::Client, with(&json!({ "establish_delay": 40 })));
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, async {
            peer.accepts().await;
            for _ in 0..2 {
                let asked = asked(&mut peer).await;
                peer.sends(asked.answer(14), NO).await;
            }
        });
        let error = session.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.message().contains("S1F14 <L <B 0x01> <L>>"), "{error}");
    });
}

#[test]
fn the_peers_s1f13_counts_in_every_state_but_disabled() {
    testing::paused(async {
        for wanted in ["wait_cra", "wait_delay", "wait_cr_from_host"] {
            let initiate = wanted != "wait_cr_from_host";
            let given = json!({ "equipment": true, "establish_initiate": initiate });
            let (session, mut peer) = passive(at_once(&given)).await;
            if initiate {
                let asked = asked(&mut peer).await;
                if wanted == "wait_delay" {
                    peer.sends(asked.answer(14), NO).await;
                    changes(&session, &["not_communicating", "wait_cra", "wait_delay"]).await;
                }
            }
            assert_eq!(state(&session), wanted);
            peer.sends(Header::data(0, 1, 13, true, 5), b"\x01\x00").await;
            let (answer, body) = peer.data().await;
            assert_eq!((answer.title(), answer.system), ("S1F14".to_owned(), 5));
            assert_eq!(body, YES);
            assert_eq!(state(&session), "communicating");
            // Once more changes nothing.
            peer.sends(Header::data(0, 1, 13, true, 6), b"\x01\x00").await;
            assert_eq!(peer.data().await.0.title(), "S1F14");
            assert_eq!(state(&session), "communicating");
        }
    });
}

#[test]
fn an_s1f13_that_we_deny_establishes_nothing() {
    testing::paused(async {
        let no = json!({ "S1F13": "S1F14 <L <B 0x01> <L>> ." });
        let given = at_once(&json!({ "answers": no, "establish_initiate": false }));
        let (session, mut peer) = passive(given).await;
        peer.sends(Header::data(0, 1, 13, true, 5), b"\x01\x00").await;
        assert_eq!(peer.data().await.1, NO);
        assert_eq!(state(&session), "not_communicating");
    });
}

#[test]
fn equipment_names_itself_in_its_s1f13_as_in_its_s1f14() {
    testing::paused(async {
        let answers = json!({ "S1F13": "S1F14 <L <B 0> <L <A \"tool\"> <A \"1\">>> ." });
        let given = at_once(&json!({ "answers": answers, "equipment": true }));
        let (_session, mut peer) = passive(given).await;
        let (asked, body) = peer.data().await;
        assert_eq!(asked.title(), "S1F13 W");
        assert_eq!(body, b"\x01\x02\x41\x04tool\x41\x011");
    });
}

#[test]
fn before_communications_calls_and_messages_wait_and_those_of_the_peer_are_aborted() {
    testing::paused(async {
        let (session, mut peer) = active(at_once(&json!({}))).await;
        let first = asked(&mut peer).await;
        let mut messages = session.take_messages().unwrap();
        // Of the peer: aborted with W, dropped without.
        for (wait, system) in [(true, 7), (false, 8)] {
            peer.sends(Header::data(0, 6, 11, wait, system), &[]).await;
            let told = event(&session, "not_communicating").await;
            assert_eq!((&told["by"], &told["system"]), (&json!("peer"), &json!(system)));
        }
        let (aborted, _) = peer.data().await;
        assert_eq!((aborted.title(), aborted.system), ("S6F0".to_owned(), 7));
        let header = Header::data(0, 1, 3, false, 1);
        let (answer, sent, ()) =
            tokio::join!(says(&session, "S1F1 W ."), messages.send(message(header, b"")), async {
                // Neither has left; control messages pass.
                peer.is_served().await;
                peer.sends(first.answer(14), YES).await;
                for _ in 0..2 {
                    let (asked, _) = peer.data().await;
                    if asked.waits() {
                        peer.sends(asked.answer(2), &[]).await;
                    }
                }
            });
        assert_eq!(answer.expect("an answer")["function"], 2);
        sent.expect("sent");
    });
}

#[test]
fn a_call_waits_no_longer_for_communications_than_for_an_answer() {
    testing::paused(async {
        let given = at_once(&json!({ "t3": 9, "establish_initiate": false }));
        let (session, _peer) = active(given).await;
        for (given, seconds) in
            [(json!({ "sml": "S1F1 W ." }), 9), (json!({ "sml": "S1F1 W .", "timeout": 2 }), 2)]
        {
            let begun = Instant::now();
            let error = session.call("send", &given).await.unwrap_err();
            assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::TimedOut, seconds));
        }
        let wait = json!({ "wait": 3 });
        let error = session.call("communication", &wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_message_in_the_delay_shows_that_the_peer_is_there_and_is_asked_at_once() {
    testing::paused(async {
        let (session, mut peer) = active(at_once(&json!({}))).await;
        let first = asked(&mut peer).await;
        peer.sends(first.answer(14), NO).await;
        changes(&session, &["not_communicating", "wait_cra", "wait_delay"]).await;
        let begun = Instant::now();
        peer.sends(Header::data(0, 5, 1, false, 3), &[]).await;
        let second = asked(&mut peer).await;
        assert_eq!(begun.elapsed().as_secs(), 0);
        peer.sends(second.answer(14), YES).await;
        changes(&session, &["wait_delay", "wait_cra", "communicating"]).await;
    });
}

#[test]
fn a_lost_link_and_a_deselect_end_communications_and_the_next_select_begins_again() {
    testing::paused(async {
        let (session, mut peer) = passive(at_once(&json!({}))).await;
        let first = asked(&mut peer).await;
        peer.sends(first.answer(14), YES).await;
        changes(&session, &["not_communicating", "wait_cra", "communicating"]).await;
        peer.asks(Kind::DeselectReq, ALL_SESSIONS).await;
        peer.reads(Kind::DeselectRsp).await;
        changes(&session, &["communicating", "not_communicating"]).await;
        peer.selects(ALL_SESSIONS, 0).await;
        let second = asked(&mut peer).await;
        peer.sends(second.answer(14), YES).await;
        let told = session.call("communication", &json!({ "wait": 5 })).await.unwrap();
        assert_eq!(told, json!({ "state": "communicating" }));
        changes(&session, &["not_communicating", "wait_cra", "communicating"]).await;
        drop(peer);
        changes(&session, &["communicating", "not_communicating"]).await;
        assert_eq!(state(&session), "not_communicating");
        // And nobody waits for what cannot come.
        let wait = json!({ "wait": 50 });
        let error = session.call("communication", &wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(session.next_event().await.unwrap().is_none());
    });
}

#[test]
fn communications_are_disabled_and_enabled_by_a_call() {
    testing::paused(async {
        let (session, mut peer) = active(at_once(&json!({}))).await;
        asked(&mut peer).await;
        let told = session.call("communication", &json!({ "enabled": false })).await.unwrap();
        assert_eq!(told["state"], "disabled");
        let error = says(&session, "S1F1 W .").await.unwrap_err();
        assert!(error.message().contains("disabled"), "{error}");
        // Nothing of the peer is heard, nothing is asked again; the session itself goes on.
        peer.sends(Header::data(0, 1, 13, true, 5), b"\x01\x00").await;
        sleep(Duration::from_secs(30)).await;
        peer.is_served().await;
        let told = session.call("communication", &json!({ "enabled": true })).await.unwrap();
        assert_eq!(told["state"], "wait_cra");
        let second = asked(&mut peer).await;
        peer.sends(second.answer(14), YES).await;
        let told = session.call("communication", &json!({ "wait": 1 })).await.unwrap();
        assert_eq!(told["state"], "communicating");
    });
}

#[test]
fn a_late_or_denied_answer_to_ours_changes_nothing_once_the_peers_was_accepted() {
    testing::paused(async {
        let (session, mut peer) = active(at_once(&json!({}))).await;
        let first = asked(&mut peer).await;
        peer.sends(Header::data(0, 1, 13, true, 5), b"\x01\x00").await;
        assert_eq!(peer.data().await.0.title(), "S1F14");
        peer.sends(first.answer(14), NO).await;
        peer.is_served().await;
        assert_eq!(state(&session), "communicating");
        sleep(Duration::from_secs(30)).await;
        assert_eq!(state(&session), "communicating");
    });
}

#[test]
fn without_the_option_there_are_no_communications() {
    testing::paused(async {
        let (session, _peer) = active(json!({})).await;
        assert!(session.info().facts.get("communication").is_none());
        let error = session.call("communication", &json!({})).await.unwrap_err();
        assert!(error.message().contains("establish"), "{error}");
    });
}

#[test]
fn in_generic_mode_other_sessions_do_not_wait() {
    testing::paused(async {
        let given = at_once(&json!({ "mode": "generic", "session_id": 3 }));
        let place = Place::new(Role::Server, given);
        let (session, mut peer) = place.begin();
        let (session, ()) = tokio::join!(session, peer.selects(3, 0));
        let session = session.expect("a session");
        let (first, _) = peer.data().await;
        assert_eq!((first.title(), first.session), ("S1F13 W".to_owned(), 3));
        peer.selects(4, 0).await;
        let given = json!({ "sml": "S1F1 W .", "session_id": 4 });
        let (answer, ()) = tokio::join!(session.call("send", &given), async {
            let (asked, _) = peer.data().await;
            assert_eq!(asked.session, 4);
            peer.sends(asked.answer(2), &[]).await;
        });
        answer.expect("an answer");
        assert_eq!(state(&session), "wait_cra");
        // The end of the other is no matter of this one.
        peer.sends(first.answer(14), YES).await;
        peer.asks(Kind::DeselectReq, 4).await;
        peer.reads(Kind::DeselectRsp).await;
        assert_eq!(state(&session), "communicating");
    });
}

#[test]
fn a_peer_that_asks_and_reads_no_answers_is_not_heard_further() {
    testing::paused(async {
        let given = json!({ "answers": { "S1F1": "S1F2 <L> ." }, "write_buffer": 1000 });
        let (session, mut peer) = passive(given).await;
        let frame = Header::data(0, 1, 1, true, 1).frame(&[]).unwrap();
        let many: Vec<u8> = frame.iter().copied().cycle().take(frame.len() * 50_000).collect();
        let sent = tokio::time::timeout(Duration::from_secs(3), peer.bytes(&many)).await;
        assert!(sent.is_err(), "nothing has stopped it");
        drop(session);
    });
}
