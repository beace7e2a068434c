//! NETCONF from a server: framing of both kinds in any pieces, XML, and what a session makes of it.
#![no_main]

use fuzz_targets::{carrier_saying, host, run};
use jackfield_netconf::framing::{Decoder, Framing, encode};
use jackfield_netconf::{NetconfDriver, xml};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, testing};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

const MOST: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some((&way, bytes)) = bytes.split_first() else { return };
    let framing = if way & 1 == 0 { Framing::Chunked } else { Framing::EndOfMessage };
    // Whatever the pieces, the messages are the same, up to the first mistake.
    let whole = messages(framing, bytes, bytes.len().max(1));
    let pieces = messages(framing, bytes, usize::from(way >> 4) + 1);
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1, pieces.1);
    for message in &whole.0 {
        assert!(message.len() <= MOST, "longer than may be");
        let Ok(text) = std::str::from_utf8(message) else { continue };
        let (outline, tree) = (xml::outline(text, 32), xml::tree(text, 32));
        if let (Ok(outline), Ok(_)) = (&outline, &tree) {
            let children = outline.children.iter().map(|(_, place)| place);
            for place in children.chain([&outline.inner]) {
                assert!(text.get(place.clone()).is_some(), "a place that is none");
            }
        }
        if let Ok(sent) = encode(framing, text) {
            let (back, failed) = messages(framing, &sent, 7);
            assert!(!failed && (text.is_empty() || back == [text.as_bytes()]), "what goes out comes in");
        }
    }
    if way & 2 == 0 {
        run(async {
            // Whatever it is that is wrong, it is an error.
            let _ = receive(way & 4 == 0, bytes).await;
        });
    }
});

/// The messages in `bytes`, given in pieces of that size, and whether there is a mistake behind them.
fn messages(framing: Framing, bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::new(MOST);
    decoder.set_framing(framing);
    let mut all = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => all.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (all, true),
            }
        }
    }
    (all, false)
}

async fn receive(greets: bool, bytes: &[u8]) -> Result<()> {
    let driver = NetconfDriver::new(host())?;
    let given = json!({ "max_message": MOST, "max_depth": 32, "max_requests": 2, "events": 4, "format": "json" });
    let endpoint = driver.configure(serde_json::from_value(given).expect("options"), Role::Client)?;
    let hello = "<hello xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\"><capabilities>\
                 <capability>urn:ietf:params:netconf:base:1.1</capability></capabilities>\
                 <session-id>1</session-id></hello>]]>]]>";
    let said = if greets { [hello.as_bytes(), bytes].concat() } else { bytes.to_vec() };
    let request = Request::new(Address::new("a.test", 830), testing::DEADLINE)
        .with_carrier(carrier_saying(&said));
    let session = driver.open(&endpoint, request).await?;
    let _ = timeout(Duration::from_secs(1), session.call("get", &json!({}))).await;
    for _ in 0..8 {
        let next = timeout(Duration::from_secs(1), session.next_event()).await;
        let Ok(Ok(Some(_))) = next else { break };
    }
    Ok(())
}
