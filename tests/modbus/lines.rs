//! Serial lines: pairs of pseudo terminals, and what stands behind ser2net.

use serde_json::json;

use super::{asks_of, call, mbpoll};
use crate::support::{
    host::TestHost,
    peers::{
        modbus::Device,
        socat::{Line, Ser2net},
    },
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
    let session = host.open(&uri, json!({ "timeout": 30 })).await.unwrap();
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
async fn mbpoll_reads_a_memory_at_the_other_end_of_a_line() {
    // A listener has no serial line below it: socat joins the two.
    let host = super::memory(&[("modbus-rtu+tcp://127.0.0.1:0", "")]).await;
    let folder = crate::support::process::tempdir();
    let device = folder.path().join("line");
    let from = format!("PTY,link={},raw,echo=0", device.display());
    let to = format!("TCP:{}", host.address(0));
    let _socat =
        crate::support::peers::socat::Socat::start(&from, &to, "starting data transfer loop").await;
    let path = device.display().to_string();
    let rtu = ["-m", "rtu", "-b", "115200", "-P", "none", "-a", "1"];
    let read = mbpoll(&[&rtu[..], &["-t", "3", "-r", "7", "-c", "1", &path]].concat()).await;
    assert!(read.contains("14"), "{read}");
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
