//! Handlers by stream and function, and the abort of what nobody answers any more.

use super::*;
use crate::item::Item;
use crate::{Handlers, Received};
use std::sync::Mutex;

fn one() -> Item {
    let bytes = Bytes::from_static(b"\x41\x03one");
    Item::read(&bytes, Default::default()).expect("an item").expect("one")
}

fn failure() -> Error {
    Error::new(ErrorKind::Other, "the recipe is locked")
}

#[test]
fn each_message_has_its_handler_and_what_it_gives_is_the_answer() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({})).await;
        let handlers = Handlers::new()
            .on("S1F1", async |_: Received| Ok(Some(one())))
            .and_then(|all| all.on("S7F19", |it: Received| async move { Ok(it.item) }))
            .and_then(|all| all.on("S6F11", async |_| Ok(None)))
            .expect("handlers");
        let serving = handlers.serve(&session);
        let talking = async {
            for (stream, function, body, answer) in [
                (1, 1, &b""[..], &b"\x41\x03one"[..]),
                (7, 19, b"\x21\x01\x05", b"\x21\x01\x05"),
                (6, 11, b"", b""),
            ] {
                let asked = Header::data(0, stream, function, true, u32::from(stream));
                peer.sends(asked, body).await;
                let (header, body) = peer.data().await;
                assert_eq!((header, &body[..]), (asked.answer(function + 1), answer));
            }
            // Without W nothing is answered.
            peer.sends(Header::data(0, 6, 11, false, 9), b"").await;
            peer.is_served().await;
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        };
        let (served, ()) = tokio::join!(serving, talking);
        served.expect("a polite end");
    });
}

#[test]
fn a_handler_that_fails_or_panics_aborts_its_message_and_the_others_go_on() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({})).await;
        let failed = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&failed);
        let handlers = Handlers::new()
            .on("S7F5", async |_| Err(failure()))
            .and_then(|all| all.on("S2F41", |_| -> std::future::Ready<_> { panic!("a slip") }))
            .and_then(|all| all.on("S1F1", async |_| Ok(None)))
            .expect("handlers")
            .on_error(move |header, error| {
                told.lock().unwrap().push(format!("{}: {}", header.title(), error.message()));
            });
        let talking = async {
            for (stream, function, answer) in [(7, 5, "S7F0"), (2, 41, "S2F0"), (1, 1, "S1F2")] {
                let asked = Header::data(0, stream, function, true, 5);
                peer.sends(asked, b"").await;
                let (header, _) = peer.data().await;
                assert_eq!((header.title(), header.system), (answer.to_owned(), 5));
            }
            // What is no item has no handler to understand it.
            peer.sends(Header::data(0, 1, 1, true, 6), b"\xff").await;
            assert_eq!(peer.data().await.0.title(), "S1F0");
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        };
        let (served, ()) = tokio::join!(handlers.serve(&session), talking);
        served.expect("a polite end");
        assert_eq!(event(&session, "aborted").await["stream"], 7);
        let failed = failed.lock().unwrap();
        assert_eq!(failed.len(), 3);
        assert_eq!(failed[0], "S7F5 W: the recipe is locked");
        assert!(failed[1].contains("panicked"), "{failed:?}");
    });
}

#[test]
fn a_handler_may_ask_the_peer_and_the_order_of_messages_stays() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({})).await;
        let session = Arc::new(session);
        let asking = Arc::clone(&session);
        let handlers = Handlers::new()
            .on("S5F1", move |_| {
                let session = Arc::clone(&asking);
                async move { says(&session, "S1F3 W .").await.map(|_| None) }
            })
            .expect("a handler");
        let talking = async {
            for system in [1, 2] {
                peer.sends(Header::data(0, 5, 1, true, system), b"").await;
            }
            for system in [1, 2] {
                let (asked, _) = peer.data().await;
                assert_eq!(asked.title(), "S1F3 W");
                peer.sends(asked.answer(4), b"").await;
                assert_eq!(peer.data().await.0, Header::data(0, 5, 2, false, system));
            }
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        };
        let (served, ()) = tokio::join!(handlers.serve(&session), talking);
        served.expect("a polite end");
    });
}

#[test]
fn equipment_with_handlers_tells_of_all_else_by_stream_9() {
    testing::paused(async {
        let (session, mut peer) = passive(json!({ "equipment": true })).await;
        let handlers = Handlers::new().on("S1F1", async |_| Ok(None)).expect("a handler");
        let talking = async {
            peer.sends(Header::data(0, 1, 1, true, 1), b"").await;
            assert_eq!(peer.data().await.0.title(), "S1F2");
            for (stream, function, told) in [(1, 3, "S9F5"), (2, 17, "S9F3")] {
                peer.sends(Header::data(0, stream, function, true, 2), b"").await;
                assert_eq!(peer.data().await.0.title(), told);
            }
            peer.asks(Kind::SeparateReq, ALL_SESSIONS).await;
        };
        let (served, ()) = tokio::join!(handlers.serve(&session), talking);
        served.expect("a polite end");
    });
}

#[test]
fn what_a_user_has_not_answered_is_aborted_when_it_is_gone() {
    testing::paused(async {
        let (session, mut peer) = active(json!({})).await;
        let one = session.open_stream(&json!({ "receives": ["S6"] })).await.unwrap();
        let two = session.open_stream(&Value::Null).await.unwrap();
        let (mut first, second) = (one.take_messages().unwrap(), two.take_messages().unwrap());
        let (alone, shared, without) = (
            Header::data(0, 5, 1, true, 1),
            Header::data(0, 6, 11, true, 2),
            Header::data(0, 5, 1, false, 3),
        );
        for header in [alone, shared, without] {
            peer.sends(header, b"").await;
        }
        assert_eq!(received(&mut first).await.0.title(), "S6F11 W");
        peer.is_served().await;
        drop((two, second));
        let (aborted, _) = peer.data().await;
        assert_eq!((aborted.title(), aborted.system), ("S5F0".to_owned(), 1));
        assert_eq!(event(&session, "aborted").await["system"], 1);
        // The other can still answer; then nothing is left.
        first.send(message(shared.answer(12), b"")).await.unwrap();
        assert_eq!(peer.data().await.0.title(), "S6F12");
        drop((one, first));
        peer.is_served().await;
    });
}

#[test]
fn a_handler_is_for_a_message_that_begins_a_transaction() {
    for title in ["S1F2", "S128F1", "F1", ""] {
        let error = Handlers::new().on(title, async |_| Ok(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{title}");
    }
}
