//! `jackfield run` beside gateways that do one thing: `ser2net` from a serial line to tcp, `websockify` from
//! WebSocket to tcp, all in one run.
//!
//! `cargo build --release && cargo run --release -p bench-gateways [-- ROUNDS [serial|ws]]`. The gateways run
//! as processes of their own, in turn within each round, so that what else the machine does meets all of them;
//! the figures are medians of the rounds, the ratios medians of the ratios of each round. CPU time is that of
//! the gateway's process only.
//!
//! The line is a pseudo terminal whose other end this program echoes. `ser2net` waits a little for more
//! characters before it sends what it has; it is measured as it comes, and told not to.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench ends on errors"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod gateway;
mod line;
mod websocket;

use gateway::{Gateway, Kind};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::TcpStream;
use std::time::Duration;

/// Round trips of one run.
const TRIPS: usize = 5_000;
/// Bytes of one throughput run.
const BULK: u64 = 256 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.first().and_then(|word| word.parse().ok()).unwrap_or(7);
    let wanted = |what: &str| arguments.get(1).is_none_or(|word| word == what);
    gateway::print_versions();
    if wanted("serial") {
        serial(rounds);
    }
    if wanted("ws") {
        ws(rounds);
    }
}

/// Figures of each gateway, one for each round, and what each cost.
struct Figures(Vec<(Kind, Vec<f64>, Vec<f64>)>);

impl Figures {
    fn of(gateways: &[Gateway], rounds: usize, measure: impl Fn(&Gateway) -> (f64, f64)) -> Self {
        let mut all: Vec<_> =
            gateways.iter().map(|gateway| (gateway.kind, Vec::new(), Vec::new())).collect();
        for round in 0..=rounds {
            for (gateway, (_, figures, costs)) in gateways.iter().zip(&mut all) {
                let (figure, cost) = measure(gateway);
                // The first round warms up.
                if round > 0 {
                    figures.push(figure);
                    costs.push(cost);
                }
            }
        }
        Figures(all)
    }

    fn print(&self, what: &str, cost: &str) {
        let rounds = self.0.first().map_or(0, |(_, figures, _)| figures.len());
        println!("\n{what} ({rounds} rounds)");
        println!("  {:22} {:>10} {:>12} {:>16}", "", "median", "ours to it", cost);
        let ours = &self.0[0].1;
        for (kind, figures, costs) in &self.0 {
            let ratios = ours.iter().zip(figures).map(|(ours, its)| ours / its).collect();
            println!(
                "  {:22} {:10.1} {:12.2} {:16.3}",
                kind.name(),
                median(figures.clone()),
                median(ratios),
                median(costs.clone())
            );
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A figure, and the CPU time that the gateway took meanwhile.
fn costing<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> (T, Duration) {
    let before = gateway.cpu();
    let result = work();
    (result, gateway.cpu().saturating_sub(before))
}

fn serial(rounds: usize) {
    // What is started from here on, gateways and threads, stays on this CPU: where one wakes another on another
    // CPU, the figures say more of the machine than of the gateways.
    let all = line::pin_to_one_cpu();
    let lines = [line::Line::echoing(), line::Line::echoing(), line::Line::echoing()];
    let kinds = [Kind::Jackfield, Kind::Ser2netAtOnce, Kind::Ser2net];
    let pairs = kinds.into_iter().zip(&lines);
    let gateways: Vec<Gateway> =
        pairs.map(|(kind, line)| Gateway::of_line(kind, &line.path)).collect();
    // A line has one user: each keeps its connection over all rounds.
    let open = |gateway: &Gateway| RefCell::new(line::connect(gateway.port));
    let streams: HashMap<u16, RefCell<TcpStream>> =
        gateways.iter().map(|gateway| (gateway.port, open(gateway))).collect();
    let figures = Figures::of(&gateways, rounds, |gateway| {
        let mut stream = streams[&gateway.port].borrow_mut();
        let trips = if gateway.kind == Kind::Ser2net { TRIPS / 10 } else { TRIPS };
        let (p50, cpu) = costing(gateway, || line::ping_pong(&mut stream, trips));
        (p50.as_secs_f64() * 1e6, cpu.as_secs_f64() * 1e6 / trips as f64)
    });
    figures.print("serial to tcp, round trip of 64 bytes on one CPU, p50 us", "CPU us/trip");
    line::unpin(&all);
}

fn ws(rounds: usize) {
    let kinds = [Kind::Jackfield, Kind::Websockify];
    let sink = websocket::sink(BULK);
    let gateways = kinds.map(|kind| Gateway::of_websocket(kind, sink));
    let rate = |time: Duration| BULK as f64 / 1e6 / time.as_secs_f64();
    let per_gb = |cpu: Duration| cpu.as_secs_f64() / (BULK as f64 / 1e9);
    let figures = Figures::of(&gateways, rounds, |gateway| {
        let (time, cpu) = costing(gateway, || websocket::send(gateway.port, BULK));
        (rate(time), per_gb(cpu))
    });
    figures.print("WebSocket to tcp, messages of 64 KiB, MB/s", "CPU s/GB");
    drop(gateways);
    let source = websocket::source(BULK);
    let gateways = kinds.map(|kind| Gateway::of_websocket(kind, source));
    let figures = Figures::of(&gateways, rounds, |gateway| {
        let (time, cpu) = costing(gateway, || websocket::receive(gateway.port, BULK));
        (rate(time), per_gb(cpu))
    });
    figures.print("tcp to WebSocket, MB/s", "CPU s/GB");
}
