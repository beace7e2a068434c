//! What a server of HTTP/2 sends, in pieces and at once: only codes of resets may change, and only from none.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../../plugins/http/src/resets.rs"]
#[allow(dead_code, reason = "the driver uses the rest")]
mod resets;

use resets::Resets;

/// Requests at once.
const MOST: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let mut whole = bytes.to_vec();
    Resets::new(MOST).pass(&mut whole);
    let mut pieces = bytes.to_vec();
    let mut resets = Resets::new(MOST);
    for piece in pieces.chunks_mut(usize::from(*size).max(1)) {
        resets.pass(piece);
    }
    assert_eq!(whole, pieces);
    for (at, (before, after)) in bytes.iter().zip(&whole).enumerate() {
        let is_code = || at >= 12 && bytes[at - 3..=at] == [0; 4] && *after == 8;
        assert!(before == after || is_code(), "{at}");
    }
});
