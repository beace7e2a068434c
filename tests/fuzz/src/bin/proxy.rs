//! Headers of the PROXY protocol from a proxy, and what was read written again.
#![no_main]

use fuzz_targets::run;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/proxy/src/header.rs"]
mod header;

mod options {
    #[derive(Clone, Copy)]
    pub(crate) enum Version {
        V1,
        V2,
    }
}

use options::Version;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let Ok(client) = run(header::read(&mut rest)) else { return };
    assert!(bytes.len() - rest.len() <= 4112);
    for version in [Version::V1, Version::V2] {
        // Texts may have no room, or no form, in a header of ours.
        let Ok(header) = header::encode(client.as_ref(), version, true) else { continue };
        let mut written = &header[..];
        let again = run(header::read(&mut written)).expect("what was written can be read");
        assert!(written.is_empty());
        let peer = |info: &Option<jackfield_plugin_api::Info>| {
            info.as_ref().and_then(|info| info.peer.clone())
        };
        assert_eq!(peer(&again), peer(&client));
    }
});
