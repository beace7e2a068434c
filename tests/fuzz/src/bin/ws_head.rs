//! Heads of the opening handshake of WebSocket, read in two pieces, as requests and as answers.
#![no_main]

use std::io::Cursor;

use bytes::BytesMut;
use fuzz_targets::run;
use jackfield_plugin_api::Stream;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, join, sink};
use tokio_tungstenite::tungstenite::http::header::CONNECTION;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/ws/src/head.rs"]
mod head;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let pieces = Cursor::new(first.to_vec()).chain(Cursor::new(second.to_vec()));
    let mut came = BytesMut::new();
    let mut stream = Stream::new(join(pieces, sink()));
    let Ok(whole) = run(head::read(&mut stream, &mut came)) else { return };
    assert!(bytes.starts_with(&whole) && bytes[whole.len()..].starts_with(&came));
    if let Ok(response) = head::response(&whole) {
        let _ = head::has_token(response.headers(), &CONNECTION, "upgrade");
    }
    let Ok(request) = head::request(&whole) else { return };
    assert!(head::list(request.headers(), &CONNECTION).all(|part| !part.contains(',')));
    let again = head::write("GET / HTTP/1.1", request.headers());
    let again = head::request(&again).expect("what was written can be read");
    assert_eq!(again.headers(), request.headers());
});
