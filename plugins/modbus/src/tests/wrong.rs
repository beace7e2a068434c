//! Devices that break the protocol.

use super::*;
use jackfield_plugin_api::ErrorKind;

/// What a client makes of `said` after it has asked for a register of unit 1; `{t}` is done by `answer`.
async fn told(framing: Framing, said: impl AsyncFn(&mut Peer, Frame)) -> (Session, Result<Value>) {
    let (session, mut peer) = client(framing, json!({ "retries": 0 }));
    let result = {
        let call = registers(&session, json!({ "address": 1 }));
        tokio::join!(call, async {
            let request = peer.frame().await;
            said(&mut peer, request).await;
        })
        .0
    };
    (session, result)
}

#[test]
fn an_answer_with_the_number_of_another_request_is_nobodys() {
    testing::paused(async {
        let (session, result) = told(Framing::Tcp, async |peer, request| {
            peer.sends(request.transaction.wrapping_add(1), 1, &[3, 2, 0, 9]).await;
        })
        .await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(count(&session, "late_answers"), 1);
    });
}

#[test]
fn an_answer_of_another_unit_is_not_taken() {
    testing::paused(async {
        for framing in ALL {
            let (session, result) = told(framing, async |peer, request| {
                peer.sends(request.transaction, 2, &[3, 2, 0, 9]).await;
                peer.answers(&request, &[3, 2, 0, 1]).await;
            })
            .await;
            assert_eq!(result.unwrap(), json!({ "values": [1] }), "{framing:?}");
            let dropped = count(&session, "late_answers") + count(&session, "wrong_answers");
            assert_eq!(dropped, 1, "{framing:?}");
        }
        let (session, mut peer) = client(Framing::Tcp, json!({ "any_unit": true }));
        let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            let request = peer.frame().await;
            peer.sends(request.transaction, 255, &[3, 2, 0, 9]).await;
        });
        assert_eq!(result.unwrap(), json!({ "values": [9] }));
    });
}

#[test]
fn an_answer_that_does_not_fit_is_an_error_that_says_what_was_expected() {
    testing::paused(async {
        for (answer, part) in [
            (&[3, 4, 0, 1, 0, 2][..], "expected 2 bytes"),
            (&[3, 2, 0], "expected 2 bytes"),
            (&[3], "expected 2 bytes"),
            (&[4, 2, 0, 1], "expected an answer to function 3"),
            (&[0x83], "exception of 2 bytes"),
        ] {
            let (session, result) = told(Framing::Tcp, async |peer, request| {
                peer.answers(&request, answer).await;
            })
            .await;
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(count(&session, "wrong_answers"), 1);
        }
    });
}

#[test]
fn on_a_line_the_right_answer_may_follow_a_wrong_one() {
    testing::paused(async {
        let (session, result) = told(Framing::Rtu, async |peer, request| {
            peer.answers(&request, &[3, 4, 0, 1, 0, 2]).await;
            peer.answers(&request, &[3, 2, 0, 5]).await;
        })
        .await;
        assert_eq!(result.unwrap(), json!({ "values": [5] }));
        assert_eq!(count(&session, "wrong_answers"), 1);
    });
}

#[test]
fn a_wrong_checksum_is_noise() {
    testing::paused(async {
        for framing in [Framing::Rtu, Framing::Ascii] {
            let (session, mut peer) = client(framing, json!({ "retries": 1 }));
            let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
                let request = peer.frame().await;
                let answer = Frame { pdu: Bytes::from_static(&[3, 2, 0, 5]), ..request.clone() };
                let mut bytes = framing.write(&answer).to_vec();
                bytes[5] ^= 1;
                peer.bytes(&bytes).await;
                let again = peer.frame().await;
                assert_eq!(again, request);
                peer.answers(&again, &[3, 2, 0, 6]).await;
            });
            assert_eq!(result.unwrap(), json!({ "values": [6] }), "{framing:?}");
            assert!(count(&session, "noise_bytes") > 0);
        }
    });
}

#[test]
fn noise_before_an_answer_that_looks_like_its_beginning_does_no_harm() {
    testing::paused(async {
        let (_, result) = told(Framing::Rtu, async |peer, request| {
            // Says that 200 bytes follow.
            peer.bytes(&[1, 3, 200]).await;
            peer.answers(&request, &[3, 2, 0, 5]).await;
        })
        .await;
        assert_eq!(result.unwrap(), json!({ "values": [5] }));
    });
}

#[test]
fn a_header_that_cannot_be_ends_the_session() {
    testing::paused(async {
        for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0, 1, 0, 0, 0xff, 0xff, 1, 3]] {
            let (session, result) =
                told(Framing::Tcp, async |peer, _| peer.bytes(bytes).await).await;
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert_eq!(session.ping().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
    });
}

#[test]
fn an_answer_that_is_cut_off_is_an_end() {
    testing::paused(async {
        for framing in ALL {
            let (session, mut peer) = client(framing, json!({}));
            let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
                peer.frame().await;
                peer.bytes(&[0, 1, 0, 0]).await;
                drop(peer);
            });
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed, "{framing:?}");
        }
    });
}

#[test]
fn a_device_that_says_more_follows_without_end_is_not_believed() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({}));
        let given = json!({});
        let device = async {
            loop {
                let request = peer.frame().await;
                peer.answers(&request, &[43, 14, 1, 1, 0xff, 0, 0]).await;
            }
        };
        let error = tokio::select! {
            result = session.call("device_identification", &given) => result.unwrap_err(),
            () = device => unreachable!(),
        };
        assert_eq!(error.kind(), ErrorKind::Protocol);
    });
}

#[test]
fn more_calls_than_may_wait_are_refused() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({ "max_queue": 2 }));
        let call = |address: u16| registers(&session, json!({ "address": address }));
        let (one, two, three, four, ()) = tokio::join!(call(1), call(2), call(3), call(4), async {
            for value in 1..=3 {
                let request = peer.frame().await;
                peer.answers(&request, &[3, 2, 0, value]).await;
                if value == 2 {
                    break;
                }
            }
        });
        let results = [one, two, three, four];
        let refused = |result: &&Result<Value>| {
            result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Limit)
        };
        assert!(results.iter().filter(refused).count() >= 1, "{results:?}");
    });
}
