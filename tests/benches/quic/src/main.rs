//! QUIC and WebTransport beside aioquic and pywebtransport: handshakes, datagrams, streams, memory.
//!
//! `cargo build --release && cargo run --release -p bench-quic`, after `tests/run` has made the Python
//! environment.
//!
//! One client, our driver, asks every server in turn, from a process of its own on the same machine;
//! rounds alternate, medians are compared. Servers: `jackfield run` with the echo handler, a program
//! that serves with the driver alone (what the Python programs are to their libraries; the only one of
//! ours that echoes datagrams, because the handler takes the stream), aioquic, and pywebtransport, whose script
//! answers a stream at its end and so gets one of a MiB after the other.
//! Handshakes are full ones: a client's tickets are not kept, so that each pays for a new endpoint too,
//! whatever the server.
//!
//! Results: see the table in `tests/README.md`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench talks to people and may fail"
)]

mod client;
mod serve;
mod servers;

use client::Client;
use servers::{Kind, Scheme, Server};
use std::path::Path;

/// Rounds of each measurement.
const ROUNDS: usize = 3;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, scheme, certificate, key] = &arguments[..]
        && first == "serve"
    {
        return serve::run(Scheme::named(scheme), Path::new(certificate), Path::new(key)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    servers::certificate(folder.path());
    for scheme in [Scheme::Quic, Scheme::WebTransport] {
        compare(scheme, folder.path()).await;
    }
}

/// What was measured of one server.
#[derive(Default)]
struct Found {
    handshakes: Vec<f64>,
    datagrams: Vec<f64>,
    megabytes: Vec<f64>,
    idle: Vec<f64>,
}

/// One of what was measured.
type Pick = fn(&Found) -> &Vec<f64>;

async fn compare(scheme: Scheme, folder: &Path) {
    let kinds = [Kind::Host, Kind::Driver, Kind::Python];
    let mut all: Vec<(Kind, Found)> = kinds.map(|kind| (kind, Found::default())).into();
    for _ in 0..ROUNDS {
        for (kind, found) in &mut all {
            let server = Server::start(*kind, scheme, folder).await;
            let client = Client::new(scheme, folder, server.port());
            found.idle.push(client.idle(&server).await);
            found.handshakes.push(client.handshakes().await);
            found.megabytes.push(match (*kind, scheme) {
                (Kind::Python, Scheme::WebTransport) => client.megabytes_in_pieces().await,
                _ => client.megabytes().await,
            });
            if *kind != Kind::Host {
                found.datagrams.push(client.datagrams().await);
            }
        }
    }
    println!("{scheme:?}: medians of {ROUNDS} rounds, and the ratio to {}", scheme.python());
    let rows: [(&str, Pick); 4] = [
        ("full handshakes/s", |found| &found.handshakes),
        ("datagrams echoed/s", |found| &found.datagrams),
        ("stream, MB/s echoed", |found| &found.megabytes),
        ("KiB for an idle connection", |found| &found.idle),
    ];
    for (name, pick) in rows {
        let base = median(pick(&all[2].1));
        print!("  {name:<28}");
        for (kind, found) in &all {
            let value = median(pick(found));
            print!("  {kind:?} {value:>10.1} ({:.2})", value / base);
        }
        println!();
    }
}

/// The middle of the values; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
