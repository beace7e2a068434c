//! Round trips through one route while a poll of another route's handler blocks one of two threads, with and
//! without it; for the first round trips after it began, too.
//!
//! `cargo build --release --workspace && cargo bench -p jackfield-tests --bench blocked`
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    reason = "a bench prints its figures and ends on errors"
)]

mod measure;

use measure::line;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pauses between round trips, so that the host goes to sleep in between, as with few users.
const PAUSE: Duration = Duration::from_millis(5);
const TRIPS: usize = 1000;
/// Sessions that block, one after the other: the first round trip after each is the worst.
const BLOCKS: usize = 20;

struct Host(Child, Vec<SocketAddr>);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(how: &str) -> Host {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(measure::built().join("libfaulty.so"), folder.path().join("faulty.so")).unwrap();
    let config = folder.path().join("jackfield.toml");
    let text = format!(
        "[host]\nplugins = [{:?}]\nworker_threads = 2\n[handlers.echo]\n\
         [handlers.faulty]\noptions = {{ at = \"serve\", how = {how:?} }}\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.faulty\"\n",
        folder.path()
    );
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(measure::built().join("jackfield"))
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut found, mut lines) = (Vec::new(), BufReader::new(child.stderr.take().unwrap()).lines());
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("local=\"") {
            found.push(rest.split('"').next().unwrap().parse().unwrap());
        }
        if line.contains("ready") {
            break;
        }
    }
    std::thread::spawn(move || lines.count());
    Host(child, found)
}

fn trip(stream: &mut TcpStream) -> f64 {
    let started = Instant::now();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    started.elapsed().as_secs_f64() * 1e3
}

fn tell(name: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    for (part, percent) in [("p50", 50), ("p99", 99), ("worst", 100)] {
        let at = (millis.len() * percent / 100).min(millis.len() - 1);
        line(&format!("{name}, {part}"), millis[at], "ms");
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn main() {
    for (name, how) in
        [("nothing blocks", ""), ("a poll blocks", "block"), ("a poll loops", "spin")]
    {
        let host = start(if how.is_empty() { "wait" } else { how });
        let mut stream = open(host.1[0]);
        trip(&mut stream);
        let _victim = open(host.1[1]);
        let trips = (0..TRIPS).map(|_| {
            std::thread::sleep(PAUSE);
            trip(&mut stream)
        });
        tell(name, trips.collect());
    }
    let first = (0..BLOCKS).map(|_| {
        let host = start("block");
        let mut stream = open(host.1[0]);
        trip(&mut stream);
        let _victim = open(host.1[1]);
        std::thread::sleep(PAUSE);
        trip(&mut stream)
    });
    tell("the first round trip after a poll blocked", first.collect());
}
