//! Serial lines: pairs of pseudo terminals, and what stands behind ser2net.

use serde_json::json;
use tokio::time::timeout;

use super::{READ, asks_of, call, master, mbpoll};
use crate::support::{
    host::TestHost,
    peers::{
        modbus::Device,
        socat::{Line, Ser2net},
    },
    process::DEADLINE,
};

#[tokio::test(flavor = "multi_thread")]
async fn devices_at_a_line_answer_what_is_asked() {
    let host = TestHost::start("").await;
    for mode in ["rtu", "ascii"] {
        let line = Line::new().await;
        let _device = Device::pymodbus_at(mode, &line.end("a")).await;
        let uri = format!("modbus-{mode}://{}?baud=115200", line.end("b").display());
        let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
        asks_of(&session).await;
        assert_eq!(session.info().facts["framing"], mode);
    }
    let line = Line::new().await;
    let _device = Device::libmodbus_at(&line.end("a")).await;
    let uri = format!("modbus-rtu://{}", line.end("b").display());
    // On a line it answers no function that it does not know, such as a loopback.
    let options = json!({ "timeout": 30, "ping_register": 5 });
    let session = host.open(&uri, options).await.unwrap();
    asks_of(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_behind_ser2net_is_reached_over_tcp_and_by_rfc_2217() {
    let line = Line::new().await;
    let _device = Device::pymodbus_at("rtu", &line.end("a")).await;
    let (_ser2net, port) = Ser2net::rfc2217(&line.end("b")).await;
    let host = TestHost::start("").await;
    let uri = format!("modbus-rtu+telnet://127.0.0.1:{port}");
    let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
    asks_of(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_read_and_write_a_memory_that_listens_at_a_line() {
    for mode in ["rtu", "ascii"] {
        let line = Line::new().await;
        let listen = format!("modbus-{mode}://{}", line.end("b").display());
        let _host = super::memory(&[(&listen, "")]).await;
        let place = line.end("a").display().to_string();
        assert_eq!(master(mode, &place).await, READ, "{mode}");
    }
    let mut line = Line::new().await;
    let listen = format!("modbus-rtu://{}?baud=19200", line.end("b").display());
    let _host = super::memory(&[(&listen, "")]).await;
    let path = line.end("a").display().to_string();
    let rtu = ["-m", "rtu", "-b", "19200", "-P", "none", "-a", "1", "-t", "3", "-r", "7", &path];
    for _ in 0..2 {
        let read = mbpoll(&rtu).await;
        assert!(read.contains("[7]: \t14"), "{read}");
    }
    line.unplug();
    line.plug_in().await;
    // It is looked for each second.
    let again = async { while !mbpoll(&rtu).await.contains("[7]: \t14") {} };
    timeout(DEADLINE, again).await.expect("the line is not opened again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_a_gateway_from_tcp_to_a_line() {
    let line = Line::new().await;
    let _device = Device::pymodbus_at("rtu", &line.end("a")).await;
    let toml = format!(
        "[[routes]]\nlisten = \"modbus://127.0.0.1:0\"\nto = \"connections.bus\"\n\
         [connections.bus]\nuri = \"modbus-rtu://{}\"\noptions = {{ timeout = 30 }}\n",
        line.end("b").display()
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("modbus://{}", host.address(0));
    let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
    asks_of(&session).await;
    let read = call(&session, "read_input_registers", json!({ "address": 4 })).await;
    assert_eq!(read, json!({ "values": [8] }));
}
