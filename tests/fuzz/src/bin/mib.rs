//! MIB modules; a name that is shown for a number is one that gives it.
#![no_main]

use jackfield_snmp::mib::Names;
use jackfield_snmp::oid::Oid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let names = Names::of_text(&text);
    for word in text.split_whitespace().take(64) {
        let Ok(oid) = names.oid(word) else { continue };
        assert!(names.name(&oid).is_some(), "{word} is {oid}, and that is called nothing");
    }
    let known = Oid::parse("1.3.6.1.4.1.9").expect("a name");
    let _ = names.name(&known);
});
