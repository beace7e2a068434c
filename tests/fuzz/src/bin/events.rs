//! Server-sent events from a server, to a client that reads them: after a head that is right, in HTTP/1.1.
#![no_main]

use futures_util::StreamExt;
use fuzz_targets::{host, run};
use jackfield_http::{HttpDriver, HttpOptions};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, Session, testing};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Short enough that inputs reach it.
const LONGEST: u32 = 64;

fuzz_target!(|bytes: &[u8]| {
    // Whatever it is that is wrong, it is an error.
    let _ = run(read(bytes));
});

/// A carrier whose other end says `bytes` once it is asked: an answer before that would be none.
fn answering(bytes: Vec<u8>) -> Session {
    let (near, far) = testing::carriers(64 * 1024);
    let mut far = far.take_stream().expect("a stream");
    tokio::spawn(async move {
        let asked = far.read(&mut [0; 1024]).await;
        // The other side may have heard enough.
        let _ = far.write_all(&bytes).await;
        let _ = far.shutdown().await;
        asked
    });
    near
}

async fn read(bytes: &[u8]) -> Result<()> {
    let driver = HttpDriver::new(host())?;
    let options = HttpOptions { sse: true, max_event: LONGEST, ..HttpOptions::default() };
    let endpoint = driver.configure(options, Role::Client)?;
    let carrier = answering([HEAD, bytes].concat());
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
