//! Durations and sizes. What was read is written so that it reads the same.
#![no_main]

use jackfield::config::{ByteSize, Timespan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<Timespan>() {
        Ok(time) => assert_eq!(time.to_string().parse::<Timespan>().ok(), Some(time), "{text:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<ByteSize>() {
        Ok(size) => assert_eq!(size.to_string().parse::<ByteSize>().ok(), Some(size), "{text:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
