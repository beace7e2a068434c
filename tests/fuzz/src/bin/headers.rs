//! Heads of requests and responses as they cross between host and plugin.
#![no_main]

use bytes::Bytes;
use jackfield_plugin_api::HeaderBlock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = HeaderBlock::parse(Bytes::copy_from_slice(bytes)) else { return };
    let again = HeaderBlock::new(head.iter()).expect("fields that were there");
    assert!(head.iter().eq(again.iter()));
    assert_eq!(head.into_bytes(), again.into_bytes());
});
