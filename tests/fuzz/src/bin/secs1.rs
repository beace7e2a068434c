//! SECS-I from a peer, as host and as equipment: blocks as bytes, what they make of messages, and a line that hears them.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use fuzz_targets::{carrier_by_turns, host, run};
use futures_util::StreamExt;
use jackfield_hsms::Secs1Driver;
use jackfield_hsms::secs1::block::{LAST_NUMBER, TEXT, length, read};
use jackfield_hsms::secs1::{Assembly, BlockHeader, Got};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, testing};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use tokio::time::timeout;

/// What a session tells of itself, in one run.
const MOST: usize = 64;
/// Bounds of an assembly.
const MESSAGE: usize = 2000;
const OPEN: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    if way & 1 == 0 {
        return assemble(bytes);
    }
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = receive(way, bytes).await;
    });
});

/// Blocks one after the other, each with its length in front; their checksums are put right.
fn assemble(mut bytes: &[u8]) {
    let t4 = Duration::from_secs(45);
    let mut assembly = Assembly::new(t4, MESSAGE, OPEN);
    let mut now = Duration::ZERO;
    while let Some((&first, rest)) = bytes.split_first() {
        let Some(length) = length(first) else { return };
        let Some((block, rest)) = rest.split_at_checked(length) else { return };
        bytes = rest;
        let Some((header, text)) = block.split_first_chunk::<10>() else { return };
        let header = BlockHeader::of(*header);
        assert!(header.number <= LAST_NUMBER && text.len() <= TEXT);
        let written = header.write(text);
        assert_eq!(read(written.slice(1..)), Ok((header, Bytes::copy_from_slice(text))));
        now += Duration::from_secs(u64::from(header.number % 64));
        let taken = assembly.take(header, Bytes::copy_from_slice(text), now);
        if let Got::Whole(_, body) = taken.got {
            assert!(body.len() <= MESSAGE);
        }
        assert!(assembly.bytes() <= OPEN * MESSAGE);
        while assembly.expired(now).is_some() {}
    }
    while assembly.expired(now + t4).is_some() {}
    assert_eq!(assembly.bytes(), 0);
}

/// What a peer says by turns, each with its length in front.
fn pieces(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(length)));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces
}

async fn receive(way: u8, bytes: &[u8]) -> Result<()> {
    let role = if way & 2 == 0 { Role::Client } else { Role::Server };
    let driver = Secs1Driver::new(host())?;
    let given = json!({
        "equipment": way & 4 == 0, "t1": 0.05, "t2": 0.2, "t3": 0.5, "t4": 0.5, "rty": 1,
        "max_message": 8192, "max_transactions": 4, "max_open_messages": 2, "read_ahead": 1024,
        "answers": { "S1F1": "S1F2 <L> ." },
    });
    let endpoint = driver.configure(serde_json::from_value(given).expect("options"), role)?;
    let request = Request::new(Address::new("a.test", 5000), testing::DEADLINE)
        .with_carrier(carrier_by_turns(pieces(bytes)));
    let session = match role {
        Role::Client => driver.open(&endpoint, request).await?,
        Role::Server => driver.accept(&endpoint, request).await?,
    };
    if way & 8 == 0 {
        let params = json!({ "sml": "S1F1 W <A \"?\"> ." });
        let asked = session.call("send", &params);
        let _ = timeout(Duration::from_secs(5), asked).await;
    } else {
        let mut messages = session.take_messages().expect("messages");
        let mut came = 0;
        while let Ok(Some(Ok(message))) = timeout(Duration::from_secs(5), messages.next()).await {
            came += message.payload.len();
        }
        assert!(came <= bytes.len(), "more than was said");
    }
    for _ in 0..MOST {
        let next = timeout(Duration::from_secs(1), session.next_event()).await;
        let Ok(Ok(Some(_))) = next else { break };
    }
    Ok(())
}
