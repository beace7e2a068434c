//! A walk of 10,000 rows: `jackfield call --stream` beside net-snmp's `snmpbulkwalk`, in turns, with one and the same agent,
//! a process of its own that answers from memory. Both ask for as many rows at once, and are measured from the start of
//! the process to its end, rows printed. Beside them the same walk as one call of the driver, without a host.
//!
//! `cargo run --release -p bench-snmp [-- ROUNDS]`, with Debian's package `snmp` and a release build, in the same target
//! folder or where `JACKFIELD` says. CPU is that of the process, user and system, without the agent's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints its figures and ends on errors"
)]

use jackfield_plugin_api::{Address, Driver, Request, Role, Session, testing};
use jackfield_snmp::SnmpDriver;
use jackfield_snmp::message::{Community, Content, Message};
use jackfield_snmp::oid::Oid;
use jackfield_snmp::pdu::{Kind, Pdu, VarBind};
use jackfield_snmp::value::Value;
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Rows of the agent, of twenty columns.
const ROWS: usize = 10_000;
/// Where they begin.
const TABLE: &str = "1.3.6.1.2.1.2.2";

fn main() {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first == "serve" {
        return serve();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(compare(first.parse().unwrap_or(7)));
}

/// As `ifTable` has them: numbers, texts, counters, times, names.
fn rows() -> Vec<VarBind> {
    let root = Oid::parse(TABLE).unwrap();
    let value = |column: u32, row: u32| match column % 6 {
        0 => Value::Integer(i32::try_from(row).unwrap()),
        1 => Value::Octets(format!("interface {row} of an agent").into_bytes()),
        2 => Value::Counter32(row.wrapping_mul(2_654_435_761)),
        3 => Value::TimeTicks(row * 100),
        4 => Value::Oid(root.with(&[column, row]).unwrap()),
        _ => Value::Counter64(u64::from(row) << 33),
    };
    let per_column = u32::try_from(ROWS / 20).unwrap();
    let places = (1..=20).flat_map(|column| (1..=per_column).map(move |row| (column, row)));
    let row = |(column, row)| VarBind {
        oid: root.with(&[1, column, row]).unwrap(),
        value: value(column, row),
    };
    places.map(row).collect()
}

/// The agent, until it is killed.
fn serve() {
    let rows = rows();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    println!("{}", socket.local_addr().unwrap().port());
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        let Ok(Message::Community(Community { version, community, content: Content::Pdu(pdu) })) =
            Message::read(&buffer[..length])
        else {
            continue;
        };
        let oid = &pdu.values[0].oid;
        let from = rows.partition_point(|row| row.oid <= *oid);
        let end = VarBind { oid: oid.clone(), value: Value::EndOfMibView };
        let most = if pdu.kind == Kind::GetBulk { usize::try_from(pdu.index).unwrap() } else { 1 };
        let values: Vec<VarBind> = rows[from..].iter().cloned().chain([end]).take(most).collect();
        let pdu = Pdu { id: pdu.id, ..Pdu::new(Kind::Response, values) };
        let answer = Community { version, community, content: Content::Pdu(pdu) };
        socket.send_to(&answer.write(), peer).unwrap();
    }
}

struct Agent(Child, u16);

impl Agent {
    fn start() -> Self {
        let mut agent = Command::new(std::env::current_exe().unwrap());
        let mut agent = agent.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Agent(agent, line.trim().parse().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What a walk has taken.
#[derive(Clone, Copy)]
struct Took {
    time: Duration,
    cpu: Duration,
}

/// CPU of the children that have ended, user and system.
fn cpu_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Runs a process that prints all rows.
fn process(command: &mut Command) -> Took {
    let (begun, before) = (Instant::now(), cpu_of_children());
    let walked = command.output().unwrap();
    let took = Took { time: begun.elapsed(), cpu: cpu_of_children() - before };
    let lines = walked.stdout.split(|byte| *byte == b'\n').count();
    assert!(lines > ROWS, "{lines} lines: {}", String::from_utf8_lossy(&walked.stderr));
    took
}

fn theirs(port: u16, at_once: u32) -> Took {
    process(
        Command::new("snmpbulkwalk")
            .env("MIBS", "")
            .args(["-v2c", "-c", "public", "-Oqn", &format!("-Cr{at_once}")])
            .args([&format!("127.0.0.1:{port}"), TABLE]),
    )
}

fn streamed(program: &str, port: u16, at_once: u32) -> Took {
    process(
        Command::new(program)
            .args(["call", "--stream", &format!("snmp://public@127.0.0.1:{port}"), "walk"])
            .args([&format!("oid={TABLE}"), &format!("max_repetitions={at_once}")]),
    )
}

/// The program that was built beside this one.
fn program() -> String {
    std::env::var("JACKFIELD").unwrap_or_else(|_| {
        let beside = std::env::current_exe().unwrap().with_file_name("jackfield");
        beside.to_str().unwrap().to_owned()
    })
}

async fn ours(session: &Session, at_once: u32) -> Duration {
    let begun = Instant::now();
    let walked = session.call("walk", &json!({ "oid": TABLE, "max_repetitions": at_once })).await;
    let took = begun.elapsed();
    assert_eq!(walked.unwrap()["rows"].as_array().unwrap().len(), ROWS);
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The middle of the times, and the mean of the CPU, whose clock is coarse.
fn middle(all: &[Took]) -> Took {
    let cpu: Duration = all.iter().map(|took| took.cpu).sum();
    let cpu = cpu / u32::try_from(all.len()).unwrap();
    Took { time: median(all.iter().map(|took| took.time).collect()), cpu }
}

async fn compare(rounds: usize) {
    let version = Command::new("snmpbulkwalk").arg("-V").output().unwrap();
    print!("{}", String::from_utf8_lossy(&version.stderr));
    let (agent, program) = (Agent::start(), program());
    let driver = SnmpDriver::new(testing::host()).unwrap();
    let endpoint =
        driver.configure(serde_json::from_value(json!({})).unwrap(), Role::Client).unwrap();
    let address = Address::new("127.0.0.1", agent.1).with_user("public");
    let request = Request::new(address, Duration::from_secs(60));
    let session = driver.open(&endpoint, request).await.unwrap();
    // Its first start reads what later ones find known.
    streamed(&program, agent.1, 100);
    for at_once in [10, 25, 100] {
        let (mut calls, mut our_times, mut their_times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            our_times.push(streamed(&program, agent.1, at_once));
            their_times.push(theirs(agent.1, at_once));
            calls.push(ours(&session, at_once).await);
        }
        let (ours, theirs, call) = (middle(&our_times), middle(&their_times), median(calls));
        println!(
            "{ROWS} rows, {at_once} at once: jackfield {:.1?} ({:.1?} CPU), snmpbulkwalk {:.1?} ({:.1?} CPU), ratio {:.2} \
             (CPU {:.2}); one call of the driver {call:.1?}",
            ours.time,
            ours.cpu,
            theirs.time,
            theirs.cpu,
            theirs.time.as_secs_f64() / ours.time.as_secs_f64(),
            theirs.cpu.as_secs_f64() / ours.cpu.as_secs_f64(),
        );
    }
}
