//! Many masters before one line.

use futures_util::future::join_all;
use serde_json::json;

use super::{asks_of, call, master};
use crate::support::{
    host::TestHost,
    peers::{modbus::Device, socat::Line},
};

fn gateway(lines: &str, options: &str) -> String {
    format!(
        "[handlers.bus]\nhandler = \"modbus_gateway\"\n[handlers.bus.options]\n{options}\n\
         [handlers.bus.options.lines]\n{lines}\n\
         [[routes]]\nlisten = \"modbus://127.0.0.1:0\"\nto = \"handlers.bus\"\n\
         [[routes]]\nlisten = \"modbus-rtu+tcp://127.0.0.1:0\"\nto = \"handlers.bus\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_masters_share_a_line_and_each_has_its_own_answers() {
    let line = Line::new().await;
    let _device = Device::pymodbus_at("rtu", &line.end("a")).await;
    let bus = format!(
        "bus = {{ uri = \"modbus-rtu://{}\", options = {{ timeout = 30 }} }}",
        line.end("b").display()
    );
    let host = TestHost::start(&gateway(&bus, "")).await;
    let (tcp, rtu) = (host.address(0), host.address(1));
    let masters = (0..32).map(|number: u16| {
        let (host, uri) = match number % 2 {
            0 => (&host, format!("modbus://{tcp}")),
            _ => (&host, format!("modbus-rtu+tcp://{rtu}")),
        };
        async move {
            let session = host.open(&uri, json!({ "timeout": 60, "retries": 0 })).await.unwrap();
            for round in 0..10 {
                let address = number * 20 + round;
                let given = json!({ "address": address });
                let read = call(&session, "read_holding_registers", given).await;
                assert_eq!(read, json!({ "values": [address] }));
            }
        }
    });
    join_all(masters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_lead_to_several_lines() {
    let (one, two) = (Device::pymodbus("tcp").await, Device::pymodbus("rtu-tcp").await);
    let lines = format!(
        "one = {{ uri = \"modbus://127.0.0.1:{}\", units = [\"1-9\"], options = {{ timeout = 30 }} }}\n\
         two = {{ uri = \"modbus-rtu+tcp://127.0.0.1:{}\", options = {{ timeout = 30 }} }}",
        one.port, two.port
    );
    let host = TestHost::start(&gateway(&lines, "coalesce = 0.05")).await;
    let uri = format!("modbus://{}", host.address(0));
    let session = host.open(&uri, json!({ "timeout": 60 })).await.unwrap();
    asks_of(&session).await;
    call(&session, "write_register", json!({ "unit": 2, "address": 50, "value": 1 })).await;
    call(&session, "write_register", json!({ "unit": 20, "address": 50, "value": 2 })).await;
    for (unit, value) in [(1, 1), (9, 1), (10, 2), (200, 2)] {
        let given = json!({ "unit": unit, "address": 50 });
        let read = call(&session, "read_holding_registers", given).await;
        assert_eq!(read, json!({ "values": [value] }), "{unit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_no_path_until_it_is_back() {
    let line = "a = { uri = \"modbus://127.0.0.1:1\" }";
    let host = TestHost::start(&gateway(line, "")).await;
    let uri = format!("modbus://{}", host.address(0));
    let session = host.open(&uri, json!({ "timeout": 60 })).await.unwrap();
    let error = session.call("read_coils", &json!({ "address": 1 })).await.unwrap_err();
    assert_eq!(error.code(), Some(10), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_as_a_master_reaches_a_memory_through_a_gateway() {
    let memory = super::memory(&[("modbus-rtu+tcp://127.0.0.1:0", "")]).await;
    let line = format!(
        "a = {{ uri = \"modbus-rtu+tcp://{}\", options = {{ timeout = 30 }} }}",
        memory.address(0)
    );
    let host = TestHost::start(&gateway(&line, "")).await;
    let port = host.address(0).port().to_string();
    assert_eq!(master("tcp", &port).await, super::READ);
}
