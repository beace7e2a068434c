//! Masters of a listener.

use super::*;
use crate::delivery::PDU;
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::Message;

#[test]
fn answers_go_back_with_the_numbers_that_the_master_has_chosen() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Tcp, json!({}));
        let mut messages = session.take_messages().expect("messages");
        peer.sends(500, 1, &[3, 0, 1, 0, 1]).await;
        peer.sends(7, 2, &[3, 0, 2, 0, 1]).await;
        let one = messages.next().await.unwrap().unwrap();
        let two = messages.next().await.unwrap().unwrap();
        assert_eq!((one.id, one.kind, &two.payload[..]), (1, PDU, &[3, 0, 2, 0, 1][..]));
        for request in [two, one] {
            let answer = Message::of(PDU, Bytes::from_static(&[3, 2, 0, 9]));
            messages
                .send(answer.with_id(request.id).with_metadata(request.metadata))
                .await
                .unwrap();
        }
        let (first, second) = (peer.frame().await, peer.frame().await);
        assert_eq!((first.transaction, first.unit, second.transaction), (7, 2, 500));
    });
}

#[test]
fn on_a_line_the_answer_to_what_was_given_up_is_dropped() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Rtu, json!({}));
        let mut messages = session.take_messages().expect("messages");
        peer.sends(0, 1, &[3, 0, 1, 0, 1]).await;
        let one = messages.next().await.unwrap().unwrap();
        peer.sends(0, 1, &[3, 0, 2, 0, 1]).await;
        let two = messages.next().await.unwrap().unwrap();
        for (request, value) in [(one, 1), (two, 2)] {
            let answer = Message::of(PDU, Bytes::copy_from_slice(&[3, 2, 0, value]));
            messages.send(answer.with_id(1).with_metadata(request.metadata)).await.unwrap();
        }
        assert_eq!(peer.frame().await.pdu[..], [3, 2, 0, 2]);
        assert_eq!(count(&session, "dropped_answers"), 2);
    });
}

#[test]
fn no_more_of_a_master_is_read_than_may_wait() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Tcp, json!({ "max_pending": 3 }));
        let mut messages = session.take_messages().expect("messages");
        for number in 0..5 {
            peer.sends(number, 1, &[3, 0, 1, 0, 1]).await;
        }
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(messages.next().await.unwrap().unwrap());
        }
        tokio::time::timeout(ms(1000), messages.next()).await.unwrap_err();
        let answer = Message::of(PDU, Bytes::from_static(&[3, 2, 0, 9]));
        messages.send(answer.with_id(1).with_metadata(taken[0].metadata.clone())).await.unwrap();
        messages.next().await.unwrap().unwrap();
    });
}

#[test]
fn bytes_of_a_destination_answer_loopbacks_in_their_order() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Tcp, json!({}));
        let mut messages = session.take_messages().expect("messages");
        peer.sends(1, 1, b"\x08\0\0abc").await;
        peer.sends(2, 1, b"\x08\0\0de").await;
        assert_eq!(messages.next().await.unwrap().unwrap().payload[..], b"abc"[..]);
        assert_eq!(messages.next().await.unwrap().unwrap().payload[..], b"de"[..]);
        for piece in [&b"ab"[..], b"cd", b"e"] {
            messages.send(Message::binary(piece.to_vec())).await.unwrap();
        }
        let (one, two) = (peer.frame().await, peer.frame().await);
        assert_eq!((one.transaction, &one.pdu[..]), (1, &b"\x08\0\0abc"[..]));
        assert_eq!((two.transaction, &two.pdu[..]), (2, &b"\x08\0\0de"[..]));
    });
}

#[test]
fn a_listener_that_ends_refuses_what_it_has_not_answered() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Tcp, json!({}));
        peer.sends(9, 1, &[3, 0, 1, 0, 1]).await;
        let mut messages = session.take_messages().expect("messages");
        messages.next().await.unwrap().unwrap();
        session.close(0, "").await.unwrap();
        let answer = peer.frame().await;
        assert_eq!((answer.transaction, &answer.pdu[..]), (9, &[0x83, 10][..]));
        drop((session, messages));
        assert!(peer.next().await.is_none());
    });
}

#[test]
fn half_a_frame_ends_the_connection_over_tcp_and_is_noise_on_a_line() {
    testing::paused(async {
        let (session, mut peer) = master(Framing::Tcp, json!({}));
        let mut messages = session.take_messages().expect("messages");
        peer.bytes(&[0, 1, 0]).await;
        messages.next().await.unwrap().unwrap_err();
        let (session, mut peer) = master(Framing::Rtu, json!({}));
        let mut messages = session.take_messages().expect("messages");
        peer.bytes(&[1, 3, 0]).await;
        tokio::time::sleep(ms(20_000)).await;
        peer.sends(0, 1, &[3, 0, 1, 0, 1]).await;
        assert_eq!(messages.next().await.unwrap().unwrap().payload[..], [3, 0, 1, 0, 1]);
        assert_eq!(count(&session, "noise_bytes"), 3);
    });
}
