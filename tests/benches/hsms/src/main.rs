//! Linktests and S1F1 over one connection: the driver hsms beside Python's secsgem, each as the active side, in
//! turns, with one and the same passive side, a process of its own with the driver.
//!
//! `cargo run --release -p bench-hsms [-- SECONDS]`, after `tests/run` has made the Python environment; another
//! one is named by `BENCH_PYTHON`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints its figures and ends on errors"
)]

use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_hsms::HsmsDriver;
use jackfield_plugin_api::{Address, Driver, Info, Request, Role, Session, Stream, testing};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// Rounds, of which the middle one counts.
const ROUNDS: usize = 3;
/// Calls at once, where they do not wait for each other.
const AT_ONCE: usize = 32;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = std::env::args().nth(1).unwrap_or_default();
    match first.as_str() {
        "serve" => runtime.block_on(serve()),
        seconds => runtime.block_on(compare(seconds.parse().unwrap_or(2.0))),
    }
}

fn over(stream: TcpStream, seconds: u64) -> Request {
    stream.set_nodelay(true).unwrap();
    let carrier = Session::of_stream(Info::new(), Stream::new(stream));
    let address = Address::new("bench", 5000);
    Request::new(address, Duration::from_secs(seconds)).with_carrier(carrier)
}

/// The passive side, until it is killed.
async fn serve() {
    let driver = HsmsDriver::new(testing::host()).unwrap();
    let answers = json!({
        "S1F1": "S1F2 <L <A \"tool\"> <A \"1.0.0\">> .", "S1F13": "S1F14 <L <B 0> <L>> .",
    });
    let options = serde_json::from_value(json!({ "answers": answers })).unwrap();
    let endpoint = driver.configure(options, Role::Server).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let session = driver.accept(&endpoint, over(stream, 10)).await.unwrap();
        // Until its end; events are the only thing that tells of it here.
        while session.next_event().await.is_ok_and(|event| event.is_some()) {}
    }
}

struct Server(Child, u16);

impl Server {
    fn start() -> Self {
        let mut server = Command::new(std::env::current_exe().unwrap());
        let mut server = server.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server(server, line.trim().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Calls a second, and the microseconds of the middle one.
type Seen = (f64, f64);

async fn ours(port: u16, operation: &str, params: &Value, seconds: f64) -> [Seen; 2] {
    let driver = HsmsDriver::new(testing::host()).unwrap();
    let options = serde_json::from_value(json!({})).unwrap();
    let endpoint = driver.configure(options, Role::Client).unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let session = driver.open(&endpoint, over(stream, 10)).await.unwrap();
    let call = || async {
        let begun = Instant::now();
        session.call(operation, params).await.unwrap();
        begun.elapsed().as_secs_f64() * 1e6
    };
    let mut seen = [(0.0, 0.0); 2];
    for (at_once, seen) in [1, AT_ONCE].into_iter().zip(&mut seen) {
        let (begun, mut times) = (Instant::now(), Vec::new());
        let mut running: FuturesUnordered<_> = (0..at_once).map(|_| call()).collect();
        while let Some(time) = running.next().await {
            times.push(time);
            if begun.elapsed().as_secs_f64() >= seconds {
                break;
            }
            running.push(call());
        }
        #[expect(clippy::cast_precision_loss, reason = "far below the bits of a float")]
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        *seen = (rate, median(times));
    }
    session.close(0, "").await.unwrap();
    seen
}

fn theirs(port: u16, what: &str, seconds: f64) -> Seen {
    let folder = std::env::current_exe().unwrap();
    let python = folder.ancestors().nth(2).unwrap().join("peers/python/bin/python");
    let python = std::env::var_os("BENCH_PYTHON").map_or(python, PathBuf::from);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../support/scripts/hsms_bench.py");
    let [port, seconds] = [port.to_string(), seconds.to_string()];
    let ran = Command::new(python).args(["-I", script, &port, what, &seconds]).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap());
    let none = || String::from_utf8_lossy(&ran.stderr);
    let mut next = || numbers.next().unwrap_or_else(|| panic!("secsgem: {}", none()));
    (next(), next())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(seconds: f64) {
    let server = Server::start();
    for (what, operation, params) in
        [("linktest", "linktest", json!({})), ("S1F1", "send", json!({ "sml": "S1F1 W ." }))]
    {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let [one, many] = ours(server.1, operation, &params, seconds).await;
            rounds.push([one, many, theirs(server.1, what, seconds)]);
        }
        let middle = |at: usize, of: fn(Seen) -> f64| {
            median(rounds.iter().map(|round| of(round[at])).collect())
        };
        let names = [
            "jackfield, one after the other",
            "jackfield, 32 at once",
            "secsgem, one after the other",
        ];
        for (at, name) in names.into_iter().enumerate() {
            let (rate, p50) = (middle(at, |seen| seen.0), middle(at, |seen| seen.1));
            let ratio = rate / middle(2, |seen| seen.0);
            println!(
                "{what:<9} {name:<31} {rate:>10.0}/s  p50 {p50:>8.1} µs  {ratio:>6.2} of secsgem"
            );
        }
    }
}
