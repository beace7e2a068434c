//! The journal of what was defined at run time. Its checksums are put right first, or no input would
//! get beyond them.
#![no_main]

use jackfield::config;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

#[allow(dead_code, reason = "the host uses the rest")]
#[path = "../../../../host/core/src/manager/state/journal.rs"]
mod journal;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut right = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            let sum = Sha256::digest(line);
            right.extend(sum[..8].iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
            right.push(b' ');
        }
        right.extend_from_slice(line);
        right.push(b'\n');
    }
    check(&right);
});

fn check(bytes: &[u8]) {
    match journal::read(bytes) {
        Ok(read) => {
            assert!(read.whole <= bytes.len());
            for record in &read.records {
                let line = journal::line(record).expect("a record that was read");
                assert!(line.ends_with('\n'));
            }
        }
        Err(damage) => assert!(damage.offset <= bytes.len()),
    }
}
