//! The device inside the host, asked by a client over memory.

use super::*;
use crate::ModbusMemory;
use jackfield_plugin_api::{ErrorKind, Handler, Op};

/// A client's session to a memory; the memory serves while the second value lives.
fn memory(framing: Framing, given: Value) -> (Session, Op<()>) {
    let host = TestHost::new().host();
    let options = serde_json::from_value(given).expect("options");
    let memory = ModbusMemory::new(host, options).expect("a memory");
    let (near, far) = testing::carriers(64 * 1024);
    let stream = |session: &Session| session.take_stream().expect("a stream");
    let listener = endpoint(framing, Role::Server, json!({}));
    let served = server::session(host, &listener, (stream(&far), Info::new()));
    let serving = host.spawn(async move {
        let _ = memory.serve(served).await;
    });
    let client_end = endpoint(framing, Role::Client, json!({ "retries": 0 }));
    (client::session(host, &client_end, (stream(&near), Info::new())), serving)
}

async fn call(session: &Session, operation: &str, given: Value) -> Value {
    let result = session.call(operation, &given).await;
    result.unwrap_or_else(|error| panic!("{operation}: {error}"))
}

#[test]
fn what_is_written_is_read_in_every_framing() {
    testing::paused(async {
        for framing in ALL {
            let (session, _serving) = memory(framing, json!({}));
            call(&session, "write_coil", json!({ "address": 3, "value": true })).await;
            call(&session, "write_coils", json!({ "address": 4, "values": [true, false] })).await;
            let coils = call(&session, "read_coils", json!({ "address": 3, "count": 4 })).await;
            assert_eq!(coils, json!({ "values": [true, true, false, false] }));
            let given = json!({ "address": 10, "values": [1.5, -8.25], "type": "f32" });
            call(&session, "write_registers", given).await;
            let given = json!({ "address": 10, "count": 2, "type": "f32" });
            assert_eq!(
                registers(&session, given).await.unwrap(),
                json!({ "values": [1.5, -8.25] })
            );
            call(&session, "write_register", json!({ "address": 0, "value": 0x12 })).await;
            let given = json!({ "address": 0, "and": 0xf2, "or": 0x25 });
            call(&session, "mask_write_register", given).await;
            let given = json!({ "address": 0, "count": 2, "write_address": 1, "values": [7] });
            let both = call(&session, "read_write_registers", given).await;
            assert_eq!(both, json!({ "values": [0x17, 7] }), "{framing:?}");
            session.ping().await.unwrap();
            assert_eq!(count(&session, "exceptions"), 0);
        }
    });
}

#[test]
fn the_first_values_are_those_of_its_options() {
    testing::paused(async {
        let given = json!({
            "holding_registers": { "100": [1, 2] }, "input_registers": { "7": [9] },
            "discrete_inputs": { "1": [true] }, "identity": { "vendor_name": "acme" },
        });
        let (session, _serving) = memory(Framing::Tcp, given);
        let given = json!({ "address": 99, "count": 3 });
        assert_eq!(registers(&session, given).await.unwrap(), json!({ "values": [0, 1, 2] }));
        let inputs = call(&session, "read_input_registers", json!({ "address": 7 })).await;
        assert_eq!(inputs, json!({ "values": [9] }));
        let inputs = call(&session, "read_discrete_inputs", json!({ "address": 1 })).await;
        assert_eq!(inputs, json!({ "values": [true] }));
        let who = call(&session, "device_identification", json!({})).await;
        assert_eq!(who["objects"]["vendor_name"], "acme");
    });
}

#[test]
fn what_is_not_there_is_refused_by_the_exception_of_the_specification() {
    testing::paused(async {
        let given = json!({ "size": 100, "read_only": true, "units": ["1-2"] });
        let (session, _serving) = memory(Framing::Tcp, given);
        let code = async |operation: &str, given: Value| {
            session.call(operation, &given).await.unwrap_err().code()
        };
        assert_eq!(code("read_coils", json!({ "address": 99, "count": 2 })).await, Some(2));
        assert_eq!(code("write_coil", json!({ "address": 1, "value": true })).await, Some(1));
        assert_eq!(code("request", json!({ "function": 99 })).await, Some(1));
        assert_eq!(code("request", json!({ "function": 3, "data": "00" })).await, Some(3));
        let none = json!({ "function": 3, "data": "0000 0000" });
        assert_eq!(code("request", none).await, Some(3));
        assert_eq!(code("read_coils", json!({ "address": 1, "unit": 3 })).await, Some(11));
    });
}

#[test]
fn on_a_line_it_says_nothing_for_other_units() {
    testing::paused(async {
        let (session, _serving) = memory(Framing::Rtu, json!({ "units": [5] }));
        let error = registers(&session, json!({ "address": 1, "unit": 4 })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        call(&session, "write_register", json!({ "unit": 0, "address": 1, "value": 3 })).await;
        let five = registers(&session, json!({ "address": 1, "unit": 5 })).await.unwrap();
        assert_eq!(five, json!({ "values": [3] }));
    });
}
