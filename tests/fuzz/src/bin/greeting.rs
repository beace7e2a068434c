//! What a server says before it identifies itself, in two pieces and at once.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/ssh/src/greeting.rs"]
mod greeting;
#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/ssh/src/received.rs"]
mod received;

mod failure {
    pub(crate) fn printable(text: &str) -> String {
        text.chars().take(200).collect()
    }
}

use greeting::Lines;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    let whole = Lines::default().take(bytes);
    let mut lines = Lines::default();
    let halves = match lines.take(&bytes[..cut]) {
        Ok(None) => lines.take(&bytes[cut..]),
        Ok(Some(rest)) => Ok(Some([rest.as_slice(), &bytes[cut..]].concat())),
        failed => failed,
    };
    match (whole, halves) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?} at once, {other:?} in pieces"),
    }
});
