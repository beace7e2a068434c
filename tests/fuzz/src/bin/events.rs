//! Server-sent events from a server, to a client that reads them: after a head that is right, in HTTP/1.1.
#![no_main]

use futures_util::StreamExt;
use fuzz_targets::{carrier_answering, host, run};
use jackfield_http::{HttpDriver, HttpOptions};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, testing};
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Short enough that inputs reach it.
const LONGEST: u32 = 64;

fuzz_target!(|bytes: &[u8]| {
    // Whatever it is that is wrong, it is an error.
    let _ = run(read(bytes));
});

async fn read(bytes: &[u8]) -> Result<()> {
    let driver = HttpDriver::new(host())?;
    let options = HttpOptions { sse: true, max_event: LONGEST, ..HttpOptions::default() };
    let endpoint = driver.configure(options, Role::Client)?;
    let carrier = carrier_answering([HEAD, bytes].concat());
    let request = Request::new(Address::new("a.test", 80), testing::DEADLINE);
    let session = driver.open(&endpoint, request.with_carrier(carrier)).await?;
    let mut messages = session.take_messages().expect("events");
    while let Some(message) = messages.next().await {
        let message = message?;
        let most = 3 * LONGEST as usize;
        assert!(message.payload.len() <= most, "an event of {} bytes", message.payload.len());
        serde_json::from_slice::<serde_json::Value>(&message.metadata).expect("JSON");
    }
    Ok(())
}
