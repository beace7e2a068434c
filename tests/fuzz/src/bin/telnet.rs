//! Telnet from a peer, to both roles: commands, negotiation, what is said about options, and RFC 2217.
#![no_main]

use std::time::Duration;

use fuzz_targets::{carrier_saying, host, run};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, testing};
use jackfield_telnet::TelnetDriver;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// What a session may ask of whoever it is joined to, in one run.
const MOST: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = receive(way, bytes).await;
    });
});

fn options(way: u8) -> Value {
    let has = |bit: u8| way & bit != 0;
    json!({
        "com_port": has(2), "binary": has(4), "line_ends": has(8), "ping": has(16),
        "echo": has(32), "terminal": !has(64), "max_subnegotiation": 64,
        "charsets": ["UTF-8", "US-ASCII"], "env": { "A": "b" }, "events": MOST,
    })
}

async fn receive(way: u8, bytes: &[u8]) -> Result<()> {
    let role = if way & 1 == 0 { Role::Client } else { Role::Server };
    let driver = TelnetDriver::new(host())?;
    let options = serde_json::from_value(options(way)).expect("options");
    let endpoint = driver.configure(options, role)?;
    let address = Address::new("a.test", 23).with_user("lab");
    let request = Request::new(address, testing::DEADLINE).with_carrier(carrier_saying(bytes));
    let session = match role {
        Role::Client => driver.open(&endpoint, request).await?,
        Role::Server => driver.accept(&endpoint, request).await?,
    };
    let mut data = Vec::new();
    let read = session.take_stream().expect("a stream").read_to_end(&mut data).await;
    assert!(data.len() <= bytes.len(), "more than was said");
    for _ in 0..MOST {
        let next = timeout(Duration::from_secs(1), session.next_event()).await;
        let Ok(Ok(Some(event))) = next else { break };
        if event.name == "call" {
            let answer = json!({ "id": event.data["id"], "result": event.data["params"] });
            let _ = session.call("answer", &answer).await;
        }
    }
    let _ = session.call("lines", &Value::Null).await;
    read?;
    Ok(())
}
