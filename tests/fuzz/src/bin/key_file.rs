//! Files of private keys, with and without a passphrase.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/ssh/src/key_file.rs"]
mod key_file;

use key_file::{Problem, read_key};

fuzz_target!(|text: &str| {
    // Keys that are made slow to open on purpose are as slow here.
    if text.contains("bcrypt") {
        return;
    }
    let _ = read_key(text, Some("passphrase"));
    assert!(!matches!(read_key(text, None), Err(Problem::WrongPassphrase)));
});
