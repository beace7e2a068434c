//! The drivers of Modbus through a host, against pymodbus, libmodbus and mbpoll.

mod gateway;
mod lines;

use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    certs::Certs,
    host::TestHost,
    jackfield::ran,
    peers::modbus::{Device, master, mbpoll},
    process::DEADLINE,
};

async fn call(session: &Session, operation: &str, given: Value) -> Value {
    let called = timeout(DEADLINE, session.call(operation, &given)).await.expect("in time");
    called.unwrap_or_else(|error| panic!("{operation}: {error}"))
}

/// What each peer's device is asked; it holds addresses as its values.
async fn asks_of(session: &Session) {
    let given = json!({ "address": 5, "count": 3 });
    let read = call(session, "read_holding_registers", given).await;
    assert_eq!(read, json!({ "values": [5, 6, 7] }));
    let given = json!({ "address": 20, "values": [1.25, -3.5], "type": "f32", "order": "cdab" });
    call(session, "write_registers", given).await;
    let given = json!({ "address": 20, "count": 2, "type": "f32", "order": "cdab" });
    let read = call(session, "read_holding_registers", given).await;
    assert_eq!(read, json!({ "values": [1.25, -3.5] }));
    call(session, "write_register", json!({ "address": 30, "value": 0x12 })).await;
    call(session, "mask_write_register", json!({ "address": 30, "and": 0xf2, "or": 0x25 })).await;
    let given = json!({ "address": 30, "count": 1, "write_address": 31, "values": [9] });
    assert_eq!(call(session, "read_write_registers", given).await, json!({ "values": [0x17] }));
    call(session, "write_coils", json!({ "address": 8, "values": [true, false, true] })).await;
    call(session, "write_coil", json!({ "address": 9, "value": true })).await;
    let read = call(session, "read_coils", json!({ "address": 8, "count": 3 })).await;
    assert_eq!(read, json!({ "values": [true, true, true] }));
    let refused = session.call("read_coils", &json!({ "address": 60_000 })).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Refused, Some(2)));
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_as_a_device_answers_what_is_asked() {
    let host = TestHost::start("").await;
    for (mode, scheme) in [("tcp", "modbus"), ("rtu-tcp", "modbus-rtu+tcp")] {
        let device = Device::pymodbus(mode).await;
        let uri = format!("{scheme}://127.0.0.1:{}", device.port);
        let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
        asks_of(&session).await;
        let who = call(&session, "device_identification", json!({ "code": 2 })).await;
        assert_eq!(who["objects"]["vendor_name"], "pymodbus", "{who}");
        assert_eq!(who["objects"]["user_application_name"], "tests", "{who}");
        session.close(0, "").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libmodbus_as_a_device_answers_what_is_asked() {
    let device = Device::libmodbus().await;
    let host = TestHost::start("").await;
    let uri = format!("modbus://127.0.0.1:{}", device.port);
    let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
    asks_of(&session).await;
}

const MEMORY: &str = "[handlers.memory]\nhandler = \"modbus_memory\"\n\
     options = { input_registers = { \"7\" = [14] }, discrete_inputs = { \"0\" = [true] } }\n";

/// A host with a memory behind listeners with these URIs and options.
async fn memory(listeners: &[(&str, &str)]) -> TestHost {
    let mut toml = MEMORY.to_owned();
    for (listen, options) in listeners {
        toml.push_str(&format!(
            "[[routes]]\nlisten = \"{listen}\"\nto = \"handlers.memory\"\noptions = {{ {options} }}\n"
        ));
    }
    TestHost::start(&toml).await
}

/// What a master by pymodbus reads of it.
const READ: &str = "coils [False, True, False, True, False]\nregisters [1, 77, 3]\nboth [15, 77]\n\
     inputs [True, False]\ninput registers [14]\nrefused 2\nidentity Jackfield\n";

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_as_a_master_reads_and_writes_a_memory() {
    let host = memory(&[("modbus://127.0.0.1:0", ""), ("modbus-rtu+tcp://127.0.0.1:0", "")]).await;
    for (mode, index) in [("tcp", 0), ("rtu-tcp", 1)] {
        let port = host.address(index).port().to_string();
        assert_eq!(master(mode, &port).await, READ, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mbpoll_reads_and_writes_a_memory() {
    let host = memory(&[("modbus://127.0.0.1:0", "")]).await;
    let port = host.address(0).port().to_string();
    let at = ["-p", port.as_str(), "-a", "1", "-r", "40"];
    let wrote = mbpoll(&[&at[..], &["-t", "4:float", "127.0.0.1", "2.5", "7.25"]].concat()).await;
    assert!(wrote.contains("Written 2 references"), "{wrote}");
    let read = mbpoll(&[&at[..], &["-t", "4:float", "-c", "2", "127.0.0.1"]].concat()).await;
    assert!(read.contains("2.5") && read.contains("7.25"), "{read}");
    let refused = mbpoll(&["-p", &port, "-a", "1", "-r", "65535", "-c", "2", "127.0.0.1"]).await;
    assert!(refused.to_lowercase().contains("illegal data address"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_over_tls_is_the_same() {
    let certs = Certs::new();
    let options = format!(
        "tls = {{ certificate_file = {:?}, key_file = {:?} }}",
        certs.server.certificate, certs.server.key
    );
    let host = memory(&[("modbuss://127.0.0.1:0", &options)]).await;
    let uri = format!("modbuss://localhost:{}", host.address(0).port());
    let session = host.open(&uri, json!({ "tls": { "ca_file": certs.ca } })).await.unwrap();
    assert!(session.info().encrypted);
    let read = call(&session, "read_input_registers", json!({ "address": 7 })).await;
    assert_eq!(read, json!({ "values": [14] }));
}

#[tokio::test]
async fn an_operator_reads_and_writes_by_the_command_line() {
    let device = Device::pymodbus("tcp").await;
    let uri = format!("modbus://127.0.0.1:{}?timeout=30", device.port);
    let write = ["address=100", "values=[1.5, 2.5]", "type=f32"];
    ran(&[&["call", &uri, "write_registers"][..], &write].concat(), "").await.ok();
    let read = ["unit=1", "address=100", "count=2", "type=f32", "--json"];
    let read = ran(&[&["call", &uri, "read_holding_registers"][..], &read].concat(), "").await.ok();
    let read: Value = serde_json::from_str(&read.text()).unwrap();
    assert_eq!(read, json!({ "values": [1.5, 2.5] }));
    let wrong = ran(&["call", &uri, "read_coils", "address=60000"], "").await;
    assert!(wrong.stderr.contains("illegal data address (exception 2)"), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_route_does_not_allow_is_not_served() {
    let toml = format!(
        "{MEMORY}[[routes]]\nlisten = \"modbus://127.0.0.1:0\"\nto = \"handlers.memory\"\n\
         allow = [\"10.0.0.0/8\"]\n"
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("modbus://{}", host.address(0));
    let session = host.open(&uri, json!({})).await;
    let error = match session {
        Ok(session) => session.ping().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}
