//! `jackfield run` with one tcp route, beside a direct connection, HAProxy, Traefik and socat, all in
//! one run.
//!
//! `cargo build --release && cargo run --release -p bench-relay [-- ROUNDS [WHAT]]`, where `WHAT`
//! is one of `throughput`, `latency`, `connections`, `idle`, `busy` (default: all) and `ROUNDS` is 5 by
//! default. The relays run as
//! processes of their own, in turn within each round, so that what else the machine does meets all
//! of them; the figures are medians of the rounds, the ratios medians of the ratios of each round.
//! CPU time is that of the relay's process only, by the scheduler's count.
//!
//! A peer that is not installed ends the run with the line that installs it.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench ends on errors"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;
mod process;
mod table;

use process::{Kind, Relayed};
use table::Table;

/// Bytes of one throughput run.
const BULK: u64 = 1 << 30;
/// Round trips of one latency run.
const TRIPS: usize = 20_000;
/// Connections of one run for new connections.
const SHORT: usize = 6_000;
/// Connections at once in all but the idle run.
const FEW: usize = 100;
/// Connections that idle, if so many descriptors are allowed.
const IDLE: usize = 10_000;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = arguments.first().and_then(|word| word.parse().ok()).unwrap_or(5);
    let wanted = |what: &str| arguments.get(1).is_none_or(|word| word == what);
    process::print_versions();
    load::raise_descriptor_limit(3 * IDLE);
    if wanted("throughput") {
        throughput(rounds);
    }
    if wanted("latency") {
        latency(rounds);
    }
    if wanted("connections") {
        connections(rounds);
    }
    if wanted("idle") {
        idle();
    }
    if wanted("busy") {
        busy(rounds);
    }
}

fn throughput(rounds: usize) {
    let sink = load::sink(BULK);
    let kinds =
        [Kind::Direct, Kind::Ours, Kind::HaProxy, Kind::HaProxySplice, Kind::Traefik, Kind::Socat];
    let relays = kinds.map(|kind| Relayed::start(kind, sink, FEW));
    let mut table = Table::new("throughput, 1 connection, MB/s", "CPU s/GB");
    for round in 0..=rounds {
        for relay in &relays {
            let before = relay.cpu();
            let time = load::send(relay.port, BULK);
            let cpu = relay.cpu().checked_sub(before).unwrap_or_default();
            let per_gb = cpu.as_secs_f64() / (BULK as f64 / 1e9);
            // The first round warms up.
            if round > 0 {
                table.add(relay.kind, BULK as f64 / 1e6 / time.as_secs_f64(), per_gb);
            }
        }
    }
    table.print();
}

fn latency(rounds: usize) {
    // What is started from here on, relays and threads, stays on this CPU.
    let all = load::pin_to_one_cpu();
    let echo = load::echo(4);
    let kinds = [Kind::Direct, Kind::Ours, Kind::HaProxy, Kind::Traefik, Kind::Socat];
    let relays = kinds.map(|kind| Relayed::start(kind, echo, FEW));
    let mut table = Table::new("ping-pong of 64 bytes on one CPU, p50 us", "CPU us/trip");
    for round in 0..=rounds {
        for relay in &relays {
            let before = relay.cpu();
            let p50 = load::ping_pong(relay.port, TRIPS);
            let cpu = relay.cpu().checked_sub(before).unwrap_or_default();
            if round > 0 {
                table.add(
                    relay.kind,
                    p50.as_secs_f64() * 1e6,
                    cpu.as_secs_f64() * 1e6 / TRIPS as f64,
                );
            }
        }
    }
    table.print();
    load::unpin(&all);
}

fn connections(rounds: usize) {
    let echo = load::echo(16);
    let kinds = [Kind::Direct, Kind::Ours, Kind::HaProxy, Kind::Traefik];
    let relays = kinds.map(|kind| Relayed::start(kind, echo, FEW));
    let mut table = Table::new("new connections with one round trip, per s", "CPU us/connection");
    for round in 0..=rounds {
        for relay in &relays {
            let before = relay.cpu();
            let time = load::short_connections(relay.port, SHORT);
            let cpu = relay.cpu().checked_sub(before).unwrap_or_default();
            if round > 0 {
                let each = cpu.as_secs_f64() * 1e6 / SHORT as f64;
                table.add(relay.kind, SHORT as f64 / time.as_secs_f64(), each);
            }
        }
    }
    table.print();
}

fn idle() {
    println!("\nmemory per idle connection, KiB (each has carried one round trip)");
    for kind in [Kind::Ours, Kind::HaProxy] {
        let holder = load::holder(IDLE);
        let relay = Relayed::start(kind, holder.port, holder.most + 5);
        let before = relay.resident();
        let held = holder.open(relay.port);
        let each = (relay.resident() - before) as f64 / held.len() as f64;
        println!("  {:16} {:6.2}  ({} connections)", kind.name(), each / 1024.0, held.len());
    }
}

/// One connection that is busy, with and without idle ones beside it, in turns.
fn busy(rounds: usize) {
    println!("\nthroughput of one connection with idle ones beside it ({rounds} rounds)");
    for kind in [Kind::Ours, Kind::HaProxy] {
        let holder = load::holder_and_sink(IDLE, BULK);
        let relays = [0, 1].map(|_| Relayed::start(kind, holder.port, holder.most + 5));
        let held = holder.open(relays[1].port);
        let rate =
            |relay: &Relayed| BULK as f64 / 1e6 / load::send_marked(relay.port, BULK).as_secs_f64();
        let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=rounds {
            let (with, without) = (rate(&relays[1]), rate(&relays[0]));
            // The first round warms up.
            if round > 0 {
                alone.push(without);
                beside.push(with);
                ratios.push(with / without);
            }
        }
        println!(
            "  {:16} alone {:8.1} MB/s, with {} idle {:8.1} MB/s, ratio {:.3}",
            kind.name(),
            table::median(alone),
            held.len(),
            table::median(beside),
            table::median(ratios)
        );
    }
}
