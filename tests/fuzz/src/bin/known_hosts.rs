//! Known-hosts files, asked for several hosts.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the driver uses the rest")]
#[path = "../../../../plugins/ssh/src/known_hosts.rs"]
mod known_hosts;

#[path = "../../../../plugins/ssh/src/pattern.rs"]
mod pattern;

use known_hosts::KnownHosts;
use russh::keys::{Algorithm, parse_public_key_base64};

const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fuzz_target!(|text: &str| {
    let key = parse_public_key_base64(KEY).expect("a key");
    for (host, port) in [("host.test", 22), ("[::1]", 2222), ("10.0.0.1", 1)] {
        let known = KnownHosts::parse(text, host, port);
        let _ = (known.judge(&key), known.has_algorithm(&Algorithm::Ed25519), known.has_authority());
        assert!(known.unreadable.is_none_or(|line| line >= 1 && line <= text.lines().count()));
    }
});
