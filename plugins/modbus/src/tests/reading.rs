//! Calls of a client, and what stands on the wire.

use super::*;
use jackfield_plugin_api::ErrorKind;

/// Calls, and answers what is asked by `answer`. Gives what stood on the wire and what the call gave.
async fn asked(operation: &str, given: Value, answer: &[u8]) -> (Vec<u8>, Result<Value>) {
    let (session, mut peer) = client(Framing::Tcp, json!({}));
    let (result, pdu) = tokio::join!(session.call(operation, &given), async {
        let request = peer.frame().await;
        peer.answers(&request, answer).await;
        request.pdu.to_vec()
    });
    (pdu, result)
}

#[test]
fn each_operation_asks_by_its_function_and_reads_its_answer() {
    testing::paused(async {
        let given = json!({ "address": 100, "count": 2, "type": "f32" });
        let answer = [&[3, 8][..], &1.5_f32.to_be_bytes(), &(-2.25_f32).to_be_bytes()].concat();
        let (pdu, result) = asked("read_holding_registers", given, &answer).await;
        assert_eq!(
            (pdu, result.unwrap()),
            (vec![3, 0, 100, 0, 4], json!({ "values": [1.5, -2.25] }))
        );

        let given = json!({ "address": 4, "count": 3 });
        let (pdu, result) = asked("read_coils", given, &[1, 1, 0b101]).await;
        let values = json!({ "values": [true, false, true] });
        assert_eq!((pdu, result.unwrap()), (vec![1, 0, 4, 0, 3], values));

        let given = json!({ "address": 4, "value": true });
        let (pdu, result) = asked("write_coil", given, &[5, 0, 4, 0xff, 0]).await;
        assert_eq!((pdu, result.unwrap()), (vec![5, 0, 4, 0xff, 0], json!({})));

        let given = json!({ "address": 1, "values": [-1], "type": "i32", "order": "cdab" });
        let (pdu, result) = asked("write_registers", given, &[16, 0, 1, 0, 2]).await;
        assert_eq!((pdu[5..].to_vec(), result.unwrap()), (vec![4, 255, 255, 255, 255], json!({})));

        let given = json!({ "address": 4, "and": 0xf2, "or": 0x25 });
        let echo = [22, 0, 4, 0, 0xf2, 0, 0x25];
        let (pdu, result) = asked("mask_write_register", given, &echo).await;
        assert_eq!((pdu, result.unwrap()), (echo.to_vec(), json!({})));

        let given = json!({ "address": 3, "count": 1, "write_address": 14, "values": [255] });
        let (pdu, result) = asked("read_write_registers", given, &[23, 2, 0, 254]).await;
        assert_eq!(pdu, [23, 0, 3, 0, 1, 0, 14, 0, 1, 2, 0, 255]);
        assert_eq!(result.unwrap(), json!({ "values": [254] }));

        let given = json!({ "function": 17, "data": "" });
        let (pdu, result) = asked("request", given, &[17, 2, 0xab, 0xff]).await;
        assert_eq!((pdu, result.unwrap()), (vec![17], json!({ "data": "02abff" })));
    });
}

#[test]
fn an_identification_is_asked_for_until_nothing_follows() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({}));
        let given = json!({ "code": 2 });
        let (result, ()) = tokio::join!(session.call("device_identification", &given), async {
            let first = peer.frame().await;
            assert_eq!(first.pdu[..], [43, 14, 2, 0]);
            peer.answers(&first, &[&[43, 14, 2, 0x82, 0xff, 1, 1, 0, 3][..], b"abc"].concat())
                .await;
            let second = peer.frame().await;
            assert_eq!(second.pdu[..], [43, 14, 2, 1]);
            let more = [&[43, 14, 2, 0x82, 0, 0, 2, 1, 1][..], b"x", &[0x80, 1], b"y"].concat();
            peer.answers(&second, &more).await;
        });
        let objects = json!({ "vendor_name": "abc", "product_code": "x", "128": "y" });
        assert_eq!(result.unwrap(), json!({ "objects": objects, "conformity": 0x82 }));
    });
}

#[test]
fn an_exception_is_an_error_with_its_name_and_code() {
    testing::paused(async {
        let (_, result) =
            asked("read_holding_registers", json!({ "address": 1 }), &[0x83, 2]).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(2)));
        assert!(error.to_string().contains("illegal data address"), "{error}");
        let (_, result) =
            asked("read_holding_registers", json!({ "address": 1 }), &[0x83, 0x77]).await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains("unknown exception (exception 119)"), "{error}");
    });
}

#[test]
fn every_framing_carries_the_same() {
    testing::paused(async {
        for framing in ALL {
            let (session, mut peer) = client(framing, json!({ "unit": 17 }));
            let given = json!({ "address": 107, "count": 3 });
            let (result, ()) = tokio::join!(registers(&session, given), async {
                let request = peer.frame().await;
                assert_eq!((request.unit, &request.pdu[..]), (17, &[3, 0, 107, 0, 3][..]));
                peer.answers(&request, &[3, 6, 2, 43, 0, 0, 0, 100]).await;
            });
            assert_eq!(result.unwrap(), json!({ "values": [555, 0, 100] }), "{framing:?}");
        }
    });
}

#[test]
fn what_is_wrong_with_a_parameter_is_said_before_anything_is_sent() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({}));
        for (operation, given, part) in [
            ("read_holding_registers", json!({ "address": 0, "count": 63, "type": "f32" }), "125"),
            ("write_register", json!({ "address": 0, "value": 70_000 }), "65535"),
            (
                "write_register",
                json!({ "address": 0, "value": 1, "type": "f32" }),
                "write_registers",
            ),
            ("request", json!({ "function": 3, "data": "0g" }), "hexadecimal"),
            ("device_identification", json!({ "code": 5 }), "1 to 4"),
        ] {
            let error = session.call(operation, &given).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(peer.hears_nothing_for(ms(10_000)).await);
    });
}

#[test]
fn a_write_to_all_units_waits_for_nobody_and_lets_them_work() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Rtu, json!({ "turnaround": 0.2 }));
        let write = json!({ "unit": 0, "address": 1, "value": 7 });
        session.call("write_register", &write).await.unwrap();
        assert_eq!(peer.frame().await.unit, 0);
        let begun = tokio::time::Instant::now();
        let (result, ()) = tokio::join!(registers(&session, json!({ "address": 1 })), async {
            let request = peer.frame().await;
            assert_eq!(begun.elapsed().as_millis(), 200);
            peer.answers(&request, &[3, 2, 0, 7]).await;
        });
        result.unwrap();
        let error = registers(&session, json!({ "unit": 0, "address": 1 })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    });
}

#[test]
fn a_ping_is_answered_by_a_refusal_too() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({}));
        let (ping, ()) = tokio::join!(session.ping(), async {
            let request = peer.frame().await;
            assert_eq!(request.pdu[..3], [8, 0, 0]);
            peer.answers(&request, &[0x88, 1]).await;
        });
        ping.unwrap();
        let (session, mut peer) = client(Framing::Tcp, json!({ "ping_register": 9 }));
        let (ping, ()) = tokio::join!(session.ping(), async {
            let request = peer.frame().await;
            assert_eq!(request.pdu[..], [3, 0, 9, 0, 1]);
            peer.answers(&request, &[3, 2, 0, 0]).await;
        });
        ping.unwrap();
    });
}

#[test]
fn requests_over_tcp_go_together_as_far_as_in_flight_says() {
    testing::paused(async {
        let (session, mut peer) = client(Framing::Tcp, json!({ "in_flight": 2 }));
        let call = |address: u16| registers(&session, json!({ "address": address }));
        let (one, two, three, ()) = tokio::join!(call(1), call(2), call(3), async {
            let (first, second) = (peer.frame().await, peer.frame().await);
            assert!(peer.hears_nothing_for(ms(500)).await);
            // The other way round.
            peer.answers(&second, &[3, 2, 0, 22]).await;
            peer.answers(&first, &[3, 2, 0, 11]).await;
            let third = peer.frame().await;
            peer.answers(&third, &[3, 2, 0, 33]).await;
        });
        let values = [one, two, three].map(|result| result.unwrap()["values"][0].clone());
        assert_eq!(values, [json!(11), json!(22), json!(33)]);
    });
}
