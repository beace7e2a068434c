//! HSMS from a peer, to both roles: frames, control messages, data, with what a session does about them.
#![no_main]

use std::time::Duration;

use futures_util::StreamExt;
use fuzz_targets::{carrier_saying, host, run};
use jackfield_hsms::HsmsDriver;
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, testing};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tokio::time::timeout;

/// What a session tells of itself, in one run.
const MOST: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = receive(way, bytes).await;
    });
});

async fn receive(way: u8, bytes: &[u8]) -> Result<()> {
    let role = if way & 1 == 0 { Role::Client } else { Role::Server };
    let driver = HsmsDriver::new(host())?;
    let given = json!({
        "mode": if way & 2 == 0 { "single" } else { "generic" }, "t5": 0, "max_message": 8192,
        "max_transactions": 4, "max_selected": 2, "read_ahead": 1024,
        "answers": { "S1F1": "S1F2 <L> ." },
    });
    let endpoint = driver.configure(serde_json::from_value(given).expect("options"), role)?;
    // A selection comes first, so that the rest is looked at: of the peer's, or both at once.
    let session = if way & 2 == 0 { 0xff } else { 0 };
    let select = [0, 0, 0, 10, session, session, 0, 0, 0, 1, 0, 0, 0, 7];
    let said = if way & 4 == 0 { [&select[..], bytes].concat() } else { bytes.to_vec() };
    let request = Request::new(Address::new("a.test", 5000), testing::DEADLINE)
        .with_carrier(carrier_saying(&said));
    let session = match role {
        Role::Client => driver.open(&endpoint, request).await?,
        Role::Server => driver.accept(&endpoint, request).await?,
    };
    let mut data = 0;
    if way & 8 == 0 {
        let mut messages = session.take_messages().expect("messages");
        while let Some(Ok(message)) = messages.next().await {
            data += message.payload.len() + message.metadata.len();
        }
    }
    assert!(data <= said.len(), "more than was said");
    for _ in 0..MOST {
        let next = timeout(Duration::from_secs(1), session.next_event()).await;
        let Ok(Ok(Some(_))) = next else { break };
    }
    Ok(())
}
