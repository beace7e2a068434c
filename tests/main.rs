//! Everything that is tested against the outside world, in one binary.
//!
//! `support` starts the peers and knows nothing of Jackfield; `peers_smoke` shows that each peer
//! works by itself, so that a broken peer is told apart from a broken driver; `tidy` holds the
//! rules of the repository.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is how a test fails"
)]

mod admin;
mod calls;
mod cli;
mod conformance;
mod devices;
mod dialogue;
mod dns;
mod ends;
mod events;
mod evolution;
mod examples;
mod golden;
mod happenings;
mod hotplug;
mod hsms;
mod http;
mod io;
mod listen;
mod loading;
#[cfg(debug_assertions)]
mod locks;
mod modbus;
mod mqtt;
mod named;
mod netconf;
mod operations;
mod outage;
mod outside;
mod peers_smoke;
mod pools;
mod proxies;
mod quic;
mod readme;
mod reload;
mod resolver;
mod run_time;
mod seeds;
mod serial;
mod services;
mod snapshot;
mod snmp;
mod sntp;
mod ssh;
mod stacks;
mod support;
mod tcp;
mod telnet;
mod tidy;
mod tls;
mod traces;
mod upstream;
mod webtransport;
mod ws;
