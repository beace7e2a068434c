//! Answers that come late or not at all, and callers that are gone.

use super::*;
use jackfield_plugin_api::ErrorKind;

#[test]
fn a_late_answer_over_tcp_is_nobodys() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({ "retries": 0, "timeout": 0.5 }));
        let (error, first) =
            tokio::join!(registers(&session, json!({ "address": 1 })), peer.frame());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
        let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            let second = peer.frame().await;
            peer.answers(&first, &[3, 2, 0, 99]).await;
            peer.answers(&second, &[3, 2, 0, 1]).await;
        });
        assert_eq!(result.unwrap(), json!({ "values": [1] }));
        assert_eq!((count(&session, "late_answers"), count(&session, "timeouts")), (1, 1));
        let mut names = Vec::new();
        for _ in 0..2 {
            names.push(session.next_event().await.unwrap().unwrap().name);
        }
        assert_eq!(names, ["no_answer", "late_answer"]);
    });
}

#[test]
fn a_late_answer_on_a_line_is_waited_for_before_the_same_is_asked_again() {
    testing::paused(async {
        for framing in [Framing::Rtu, Framing::Ascii] {
            let given = json!({ "retries": 0, "timeout": 0.5, "late": 2.0 });
            let (session, mut peer) = client(framing, given);
            let (error, first) =
                tokio::join!(registers(&session, json!({ "address": 1 })), peer.frame());
            assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
            let (same, other, ()) = tokio::join!(
                registers(&session, json!({ "address": 2 })),
                registers(&session, json!({ "address": 2, "unit": 2 })),
                async {
                    // Another unit does not wait.
                    let second = peer.frame().await;
                    assert_eq!(second.unit, 2);
                    peer.answers(&second, &[3, 2, 0, 2]).await;
                    assert!(peer.hears_nothing_for(ms(300)).await);
                    peer.answers(&first, &[3, 2, 0, 99]).await;
                    let third = peer.frame().await;
                    peer.answers(&third, &[3, 2, 0, 1]).await;
                }
            );
            assert_eq!(other.unwrap(), json!({ "values": [2] }));
            assert_eq!(same.unwrap(), json!({ "values": [1] }), "{framing:?}");
            assert_eq!(count(&session, "late_answers"), 1);
        }
    });
}

#[test]
fn after_the_time_for_late_answers_the_same_is_asked() {
    testing::paused(async {
        let given = json!({ "retries": 0, "timeout": 0.5, "late": 2.0 });
        let (session, mut peer) = client(Framing::Rtu, given);
        let (error, _) = tokio::join!(registers(&session, json!({ "address": 1 })), peer.frame());
        error.unwrap_err();
        let begun = tokio::time::Instant::now();
        let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            let request = peer.frame().await;
            assert_eq!(begun.elapsed().as_millis(), 2000);
            peer.answers(&request, &[3, 2, 0, 1]).await;
        });
        result.unwrap();
    });
}

#[test]
fn a_request_is_asked_again_as_often_as_retries_says() {
    testing::paused(async {
        for framing in ALL {
            let given = json!({ "retries": 5, "units": { "9": { "retries": 2, "timeout": 0.1 } } });
            let (session, mut peer) = client(framing, given);
            let (error, ()) =
                tokio::join!(registers(&session, json!({ "address": 1, "unit": 9 })), async {
                    for _ in 0..3 {
                        assert_eq!(peer.frame().await.pdu[..], [3, 0, 1, 0, 1]);
                    }
                    assert!(peer.hears_nothing_for(ms(5000)).await);
                });
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{framing:?}");
            assert_eq!((fact(&error, "unit"), fact(&error, "sent")), (Some("9"), Some("3")));
        }
    });
}

#[test]
fn what_may_do_something_twice_is_asked_once() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({ "retries": 3 }));
        let given = json!({ "function": 100 });
        let (error, ()) = tokio::join!(session.call("request", &given), async {
            peer.frame().await;
            assert!(peer.hears_nothing_for(ms(10_000)).await);
        });
        error.unwrap_err();
    });
}

#[test]
fn a_call_that_is_dropped_before_its_turn_is_not_sent() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Rtu, json!({}));
        let (first, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            let request = peer.frame().await;
            let given = json!({ "address": 2 });
            let dropped = tokio::time::timeout(ms(100), registers(&session, given));
            dropped.await.unwrap_err();
            peer.answers(&request, &[3, 2, 0, 1]).await;
        });
        first.unwrap();
        assert!(peer.hears_nothing_for(ms(5000)).await);
    });
}

#[test]
fn a_call_that_is_dropped_at_any_await_leaves_the_session_to_the_next() {
    testing::paused(async {
        for framing in ALL {
            let (session, mut peer) = client(framing, json!({ "retries": 0, "late": 0.0 }));
            let device = async {
                // Answers with the address that it was asked for.
                while let Some(request) = peer.next().await {
                    tokio::time::sleep(ms(3)).await;
                    let answer = [3, 2, request.pdu[1], request.pdu[2]];
                    peer.answers(&request, &answer).await;
                }
            };
            let calls = async {
                let mut address = 0_u16;
                let (dropped, last) = testing::cancel_at_every_await(|| {
                    address += 1;
                    let given = json!({ "address": address });
                    let session = &session;
                    async move { (registers(session, given.clone()).await, given) }
                })
                .await;
                assert!(dropped > 0);
                let (result, given) = last;
                assert_eq!(result.unwrap()["values"][0], given["address"], "{framing:?}");
            };
            tokio::select! {
                () = device => panic!("the session has ended"),
                () = calls => {}
            }
        }
    });
}

#[test]
fn a_session_that_is_closed_answers_what_was_sent_and_refuses_the_rest() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({}));
        let (sent, unsent, closed, ()) = tokio::join!(
            registers(&session, json!({ "address": 1 })),
            registers(&session, json!({ "address": 2 })),
            async {
                tokio::time::sleep(ms(10)).await;
                session.close(0, "").await
            },
            async {
                let request = peer.frame().await;
                tokio::time::sleep(ms(100)).await;
                peer.answers(&request, &[3, 2, 0, 1]).await;
                assert!(peer.next().await.is_none());
            }
        );
        sent.unwrap();
        closed.unwrap();
        assert!(unsent.unwrap_err().is_unsent());
        assert_eq!(session.ping().await.unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_session_that_is_closed_does_not_wait_long_for_a_device_that_says_nothing() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({ "timeout": 3600 }));
        let begun = tokio::time::Instant::now();
        let (asked, closed) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            peer.frame().await;
            session.close(0, "").await
        });
        closed.unwrap();
        asked.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 2);
    });
}

#[test]
fn a_long_answer_of_a_slow_line_has_the_time_that_it_takes() {
    testing::paused(async {
        let (near, far) = testing::carriers(1024);
        let endpoint =
            endpoint(Framing::Rtu, Role::Client, json!({ "timeout": 0.3, "retries": 0 }));
        let below = Info::new().peer("/dev/ttyS0").with("baud", 1200);
        let carrier = (near.take_stream().expect("a stream"), below);
        let session = client::session(TestHost::new().host(), &endpoint, carrier);
        let mut peer = Peer::over(Framing::Rtu, Reading::Requests, &far);
        let given = json!({ "address": 0, "count": 100 });
        let (result, ()) = tokio::join!(registers(&session, given), async {
            let request = peer.frame().await;
            let answer = crate::rtu::write(request.unit, &[&[3, 200][..], &[7; 200]].concat());
            for byte in answer.chunks(1) {
                // Eleven bits, of 1200 a second.
                tokio::time::sleep(Duration::from_micros(9166)).await;
                peer.bytes(byte).await;
            }
        });
        assert_eq!(result.unwrap()["values"].as_array().unwrap().len(), 100);
    });
}
