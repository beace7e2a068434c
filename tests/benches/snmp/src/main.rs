//! A walk of 10,000 rows: the driver snmp beside net-snmp's `snmpbulkwalk`, in turns, with one and the same agent, a
//! process of its own that answers from memory. Both ask for as many rows at once.
//!
//! `cargo run --release -p bench-snmp [-- ROUNDS]`, with Debian's package `snmp`. What starting `snmpbulkwalk` takes is
//! measured by a walk of nothing, and not counted.
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
/// Where they begin, and where nothing is.
const TABLE: &str = "1.3.6.1.2.1.2.2";
const NOTHING: &str = "1.3.6.1.2.1.3";

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

/// The time of a walk by `snmpbulkwalk`, and the lines that it gives.
fn theirs(port: u16, root: &str, at_once: u32) -> (Duration, usize) {
    let begun = Instant::now();
    let walk = Command::new("snmpbulkwalk")
        .env("MIBS", "")
        .args(["-v2c", "-c", "public", "-Oqn", &format!("-Cr{at_once}")])
        .args([&format!("127.0.0.1:{port}"), root])
        .output()
        .unwrap();
    (begun.elapsed(), walk.stdout.split(|byte| *byte == b'\n').count())
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

async fn compare(rounds: usize) {
    let version = Command::new("snmpbulkwalk").arg("-V").output().unwrap();
    print!("{}", String::from_utf8_lossy(&version.stderr));
    let agent = Agent::start();
    let driver = SnmpDriver::new(testing::host()).unwrap();
    let endpoint =
        driver.configure(serde_json::from_value(json!({})).unwrap(), Role::Client).unwrap();
    let address = Address::new("127.0.0.1", agent.1).with_user("public");
    let request = Request::new(address, Duration::from_secs(60));
    let session = driver.open(&endpoint, request).await.unwrap();
    for at_once in [10, 25, 100] {
        let (mut our_times, mut their_times, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            our_times.push(ours(&session, at_once).await);
            let (took, lines) = theirs(agent.1, TABLE, at_once);
            assert!(lines >= ROWS, "{lines} lines");
            their_times.push(took);
            starts.push(theirs(agent.1, NOTHING, at_once).0);
        }
        let (ours, theirs, start) = (median(our_times), median(their_times), median(starts));
        let walking = theirs.saturating_sub(start);
        println!(
            "{ROWS} rows, {at_once} at once: ours {ours:.1?}, snmpbulkwalk {walking:.1?} ({theirs:.1?} with its start); \
             ratio {:.2} ({:.2} with its start)",
            walking.as_secs_f64() / ours.as_secs_f64(),
            theirs.as_secs_f64() / ours.as_secs_f64(),
        );
    }
}
