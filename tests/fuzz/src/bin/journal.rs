//! The journal of what was defined at run time. Its checksums are put right first, or no input would
//! get beyond them.
#![no_main]

use jackfield::manager::fuzz_journal;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|bytes: &[u8]| {
    fuzz_journal(bytes);
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
    fuzz_journal(&right);
});
