//! QUIC and WebTransport beside aioquic and pywebtransport: handshakes, datagrams, streams, memory.
//!
//! `cargo build --release && cargo run --release -p bench-quic`, after `tests/run` has made the Python
//! environment; `quic` or `webtransport` after `--` measures only that.
//!
//! One client, our driver, asks every server in turn, from a process of its own on the same machine;
//! rounds alternate, medians are compared. Servers: `jackfield run` with the echo handler, a program
//! that serves with the driver alone (what the Python programs are to their libraries; the only one of
//! ours that echoes datagrams, because the handler takes the stream), aioquic, and pywebtransport, whose script
//! answers a stream at its end and so gets one of a MiB after the other.
//! Handshakes are full ones: the client keeps no tickets. All come from one endpoint, eight at once,
//! and client and server share the two cores; a second row counts only the processor time of the server.
//!
//! Results of 2026-11-21, two cores with a load average of 5 to 8 of other work beside it, release
//! profile, one run of three rounds. Ratios are to Python; the goals: at least 10 for rates, at most 0.2
//! for memory.
//!
//! | quic | `jackfield run` | driver | aioquic 1.7.0 | ratio |
//! |---|---|---|---|---|
//! | full handshakes/s | 1136 | 1300 | 346 | **3.3, missed** |
//! | the same for each second of the server's CPU | 2096 | 2262 | 351 | **6.0, missed** |
//! | datagrams echoed/s | – | 115,539 | 4482 | 25.8 |
//! | MB/s echoed on one stream | 192 | 189 | 4.8 | 40.3 |
//! | KiB for an idle connection | 34.6 | 34.9 | 74.8 | **0.46, missed** |
//!
//! | webtransport | `jackfield run` | driver | pywebtransport 0.8.1 | ratio |
//! |---|---|---|---|---|
//! | full handshakes/s | 498 | 589 | 119 | **4.2, missed** |
//! | the same for each second of the server's CPU | 1018 | 1246 | 148 | **6.9, missed** |
//! | datagrams echoed/s | – | 76,518 | 1521 | 50.3 |
//! | MB/s echoed on one stream | 132 | 144 | 3.4 | 39.3 |
//! | KiB for an idle connection | 42.2 | 42.8 | 145.4 | **0.29, missed** |
//!
//! The ratio is that of `jackfield run`, or of the driver where the handler does not echo.
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
        if arguments.first().is_none_or(|only| only == scheme.name()) {
            compare(scheme, folder.path()).await;
        }
    }
}

/// What was measured of one server.
#[derive(Default)]
struct Found {
    handshakes: Vec<f64>,
    handshakes_cpu: Vec<f64>,
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
            let before = server.cpu();
            let (rate, count) = client.handshakes().await;
            found.handshakes.push(rate);
            found.handshakes_cpu.push(count / (server.cpu() - before));
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
    let rows: [(&str, Pick); 5] = [
        ("full handshakes/s", |found| &found.handshakes),
        ("the same for each s of CPU", |found| &found.handshakes_cpu),
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
