//! Ports nobody else has. Peers that can bind port 0 do that instead and log what they got.

use std::net::{Ipv4Addr, TcpListener};

/// Attempts before a clash of ports is taken for something else.
const ATTEMPTS: usize = 8;

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Starts a peer that must be told its port; another port is tried when somebody took the first.
///
/// `start` returns the peer's log when it could not start.
pub(crate) async fn with_free_port<T>(mut start: impl AsyncFnMut(u16) -> Result<T, String>) -> T {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match start(free()).await {
            Ok(started) => return started,
            Err(log) if clashed(&log) => last = log,
            Err(log) => panic!("a peer did not start:\n{log}"),
        }
    }
    panic!("no free port in {ATTEMPTS} attempts; the last log:\n{last}")
}

fn clashed(log: &str) -> bool {
    log.to_lowercase().contains("address already in use")
}
