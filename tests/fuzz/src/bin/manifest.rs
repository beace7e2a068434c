//! Plugin files, up to where their code would be loaded.
#![no_main]

use jackfield_plugin_api::load::read_manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match read_manifest(bytes) {
        Ok(manifest) => drop(serde_json::to_string(&manifest)),
        Err(error) => assert!(!format!("{error:?}").is_empty()),
    }
});
