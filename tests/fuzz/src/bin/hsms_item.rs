//! Contents of SECS-II; what was read is written as bytes, JSON and SML, and read again.
#![no_main]

use bytes::Bytes;
use jackfield_hsms::item::{Item, Limits};
use jackfield_hsms::sml::Text;
use jackfield_hsms::{json, sml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { depth: 16, items: 4096 };
    let read = Item::read(&Bytes::copy_from_slice(bytes), limits);
    // Without limits it takes more, and nothing less.
    let readable = Item::is_readable(bytes);
    assert!(readable || read.is_err());
    let Ok(Some(item)) = read else { return };
    let written = item.write().expect("what was read can be written");
    assert!(written.len() <= bytes.len(), "no length needs more bytes than it had");
    assert_eq!(Item::read(&written, limits).as_ref(), Ok(&Some(item.clone())));
    let value = serde_json::from_str(&json::write(&item).to_string()).expect("JSON");
    assert_eq!(json::read(&value, limits).as_ref(), Ok(&item));
    let message = Text::new(1, 1, true, Some(item));
    assert_eq!(sml::read(&sml::write(&message), limits), Ok(message));
});
