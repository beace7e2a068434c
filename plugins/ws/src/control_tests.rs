//! Control frames of the peer as events.

use super::*;
use jackfield_plugin_api::Facets;
use serde_json::json;

#[tokio::test]
async fn control_frames_of_the_peer_are_events_with_their_payloads_if_wanted() {
    let telling = WsOptions { control_frames: true, ..WsOptions::default() };
    let (session, mut peer) = raw_client(telling).await;
    // A ping in the middle of a message, one that is no text, a pong that nobody asked for, and the close.
    let frames: [&[u8]; 5] = [
        b"\x01\x82\0\0\0\0he",
        b"\x89\x84\0\0\0\0beat",
        b"\x89\x82\0\0\0\0\xff\0",
        b"\x8a\x80\0\0\0\0",
        b"\x80\x81\0\0\0\0y",
    ];
    for frame in frames {
        peer.write_all(frame).await.unwrap();
    }
    let next = async || session.next_event().await.unwrap();
    for (name, data) in [
        ("ping", json!({ "payload": "62656174", "text": "beat" })),
        ("ping", json!({ "payload": "ff00" })),
        ("pong", json!({ "payload": "", "text": "" })),
    ] {
        let event = next().await.expect("an event");
        assert_eq!((event.name.as_str(), event.data), (name, data));
    }
    let mut answers = [0; 10];
    peer.read_exact(&mut answers).await.unwrap();
    assert_eq!(&answers, b"\x8a\x04beat\x8a\x02\xff\0");
    // The message is whole, and nobody lost it.
    let mut messages = session.take_messages().unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("hey"));
    peer.write_all(b"\x88\x85\0\0\0\0\x03\xe8bye").await.unwrap();
    let event = next().await.expect("an event");
    assert_eq!(
        (event.name.as_str(), event.data),
        ("close", json!({ "code": 1000, "reason": "bye" }))
    );
    assert!(messages.next().await.is_none());
    assert!(next().await.is_none());
}

#[tokio::test]
async fn without_the_option_there_are_no_events() {
    let (opened, _accepted) = pair(WsOptions::default(), WsOptions::default()).await;
    assert!(!opened.facets().contains(Facets::EVENTS));
}
