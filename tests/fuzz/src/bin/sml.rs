//! SML; what was read is written and read again.
#![no_main]

use jackfield_hsms::item::Limits;
use jackfield_hsms::sml::{read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let limits = Limits { depth: 16, items: 4096 };
    match read(text, limits) {
        Ok(message) => assert_eq!(read(&write(&message), limits), Ok(message)),
        Err(error) => assert!(error.starts_with("line "), "{error}"),
    }
});
