//! What each kind of fault of a plugin costs, from runs of the real host: `FAULTS.md`.

use std::{fmt::Write as _, io::ErrorKind, net::SocketAddr, time::Duration};

use futures_util::FutureExt;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::folder::faulty_folder;
use crate::support::{jackfield::Jackfield, process::DEADLINE};

/// Where the table is kept.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/loading/FAULTS.md");

/// What becomes of the session in which a fault is.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It is over.
    Ends,
    /// It goes on, until somebody ends it.
    GoesOn,
    /// It waits, until somebody ends it.
    Waits,
    /// The process is over: what only another process could hold.
    Dies,
    /// It waits, and the host says who is stuck: in a host of its own, which must be ended by force.
    Blocks,
}

use Then::{Blocks, Dies, Ends, GoesOn, Waits};

struct Fault {
    what: &'static str,
    at: &'static str,
    how: &'static str,
    then: Then,
    /// Whether the host's log has a line about it, which is then waited for.
    told: bool,
}

const fn fault(
    what: &'static str,
    at: &'static str,
    how: &'static str,
    then: Then,
    told: bool,
) -> Fault {
    Fault { what, at, how, then, told }
}

const FAULTS: &[Fault] = &[
    fault("a panic in a handler", "serve", "panic", Ends, true),
    fault(
        "a panic with a payload that panics when it is dropped",
        "serve",
        "panic_twice",
        Ends,
        true,
    ),
    fault(
        "a panic with a megabyte of text, with line ends and colours",
        "serve",
        "panic_long",
        Ends,
        true,
    ),
    fault("a panic in a thread of the plugin's", "serve", "panic_in_thread", Ends, true),
    fault("a panic when a connection is opened", "open", "panic", Ends, true),
    fault("a panic in a read", "read", "panic", Ends, true),
    fault("a panic in a write", "write", "panic", Ends, true),
    fault("a panic when a stream is dropped", "drop_stream", "panic", GoesOn, true),
    fault("a panic when a session is dropped", "drop_session", "panic", GoesOn, true),
    fault("a panic in a drop while another panic unwinds", "serve", "panic_unwinding", Dies, false),
    fault("a guard of a runtime that is left behind", "serve", "keep_guard", Ends, true),
    fault(
        "a handler that needs a runtime of its own, and has one",
        "serve",
        "own_runtime",
        Ends,
        false,
    ),
    fault("a call that never completes", "serve", "wait", Waits, false),
    fault("a read that never completes", "read", "silent", Waits, false),
    fault("a write that never completes", "write", "silent", Waits, false),
    fault("a read that wakes its reader without end", "read", "restless", Waits, false),
    fault("a call that wakes itself without end", "serve", "storm", Waits, false),
    fault(
        "16,000 wakes from threads, also after the end",
        "serve",
        "wakes_from_threads",
        Ends,
        false,
    ),
    fault("50 threads left behind", "serve", "threads", Ends, false),
    fault("a read that swaps the reader's buffer", "read", "swap", Ends, true),
    fault("a read that gives bytes without end", "read", "endless", GoesOn, false),
    fault("a write of one byte more than was given", "write", "one_more", Ends, true),
    fault("a write of as much as there can be", "write", "most", Ends, true),
    fault("a write of nothing", "write", "none", Ends, true),
    fault("SIGPIPE", "serve", "sig_pipe", Ends, false),
    fault("a call that blocks for ten seconds", "serve", "block_a_while", Blocks, true),
    fault("a call that never returns", "serve", "loop", Blocks, true),
    fault("a read that never returns", "read", "loop", Blocks, true),
    fault("abort", "serve", "abort", Dies, false),
    fault("a fault of memory", "serve", "seg_fault", Dies, false),
    fault("exit", "serve", "exit", Dies, false),
    fault("64 TiB of memory asked for", "serve", "allocate", Dies, false),
    fault("a call that calls itself without end", "serve", "recurse", Dies, false),
];

/// A host with the route of a bystander, and one route for each fault.
struct Host {
    process: Jackfield,
    bystander: TcpStream,
    addresses: Vec<SocketAddr>,
    _folder: tempfile::TempDir,
}

impl Host {
    async fn start(faults: &[&Fault]) -> Host {
        let folder = faulty_folder();
        let mut toml = format!(
            "[host]\nplugins = [{:?}]\nworker_threads = 2\nshutdown_timeout = \"1s\"\n\
             quarantine = {{ panics = 0 }}\n[handlers.echo]\n",
            folder.path()
        );
        let mut route = |to: &str| {
            write!(toml, "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{to}\"\n").unwrap();
        };
        route("handlers.echo");
        for (number, fault) in faults.iter().enumerate() {
            route(&format!("{}.f{number}", fault.table()));
        }
        for (number, fault) in faults.iter().enumerate() {
            let Fault { at, how, .. } = fault;
            let which = match fault.table() {
                "handlers" => "handler = \"faulty\"",
                _ => "uri = \"faulty://x\"",
            };
            let table = fault.table();
            let options = format!("options = {{ at = \"{at}\", how = \"{how}\" }}");
            writeln!(toml, "[{table}.f{number}]\n{which}\n{options}").unwrap();
        }
        let process = Jackfield::run(&toml).await;
        let addresses: Vec<_> = (0..=faults.len()).map(|index| process.address(index)).collect();
        let bystander = TcpStream::connect(addresses[0]).await.expect("the bystander's route");
        let mut host = Host { process, bystander, addresses, _folder: folder };
        assert!(host.others_live().await, "before anything has failed");
        host
    }

    /// Whether a connection that was open before is answered, and a new one too.
    async fn others_live(&mut self) -> bool {
        let mut new = TcpStream::connect(self.addresses[0]).await.expect("a listener");
        echoes(&mut self.bystander).await && echoes(&mut new).await
    }

    /// What the log says of a fault since `before`: its level and words, without what differs each time.
    async fn told(&mut self, fault: &Fault, number: usize, before: usize) -> String {
        // The session of the fault before may have its line only now.
        let route = format!("route=\"{}.f{number}\"", fault.table());
        let is_ours = |line: &&str| !line.contains("session failed") || line.contains(&route);
        let about = |log: &str| {
            log.get(before..).unwrap_or_default().lines().filter(is_ours).find_map(about)
        };
        if fault.told {
            let end = tokio::time::Instant::now() + DEADLINE;
            while about(&self.process.log()).is_none() && tokio::time::Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        about(&self.process.log()).unwrap_or_else(|| "-".to_owned())
    }
}

impl Fault {
    fn table(&self) -> &'static str {
        if self.at == "serve" { "handlers" } else { "connections" }
    }
}

async fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 5];
    let asked = async {
        stream.write_all(b"alive").await?;
        stream.read_exact(&mut back).await
    };
    matches!(timeout(DEADLINE, asked).await, Ok(Ok(_))) && &back == b"alive"
}

/// The level and the words of a line that tells of a fault.
fn about(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| matches!(*word, "ERROR" | "WARN" | "INFO"))?;
    let text: Vec<&str> =
        words[at + 1..].iter().take_while(|word| !word.contains('=')).copied().collect();
    let failed = words[at] != "INFO" || text == ["session", "failed"];
    // Of the plugin as such, once.
    let failed = failed && !line.contains("facets that INFO does not name");
    failed.then(|| format!("{} {}", words[at], text.join(" ")))
}

/// One line of the table.
fn row(fault: &Fault, cells: [&str; 4]) -> String {
    format!("| {} | {} |\n", fault.what, cells.join(" | "))
}

/// Faults that the host outlives: one after the other in one host.
async fn survived(faults: &[&Fault]) -> Vec<String> {
    let mut host = Host::start(faults).await;
    let mut rows = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let before = host.process.log().len();
        let mut victim = match TcpStream::connect(host.addresses[number + 1]).await {
            Ok(victim) => Some(victim),
            // It may be over before it is there.
            Err(error) if fault.then == Ends && error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{}: {error}", fault.what),
        };
        if let Some(victim) = &mut victim {
            // One that is over at once may refuse it.
            let _ = victim.write_all(b"go").await;
        }
        let mut got = vec![0; 2];
        let session = match fault.then {
            Ends => {
                got.clear();
                if let Some(victim) = &mut victim {
                    let end = timeout(DEADLINE, victim.read_to_end(&mut got)).await;
                    // A reset ends it as well.
                    let _ = end.unwrap_or_else(|_| panic!("{}: it does not end", fault.what));
                }
                assert!(got.is_empty(), "{}: it was given {got:?}", fault.what);
                "ends"
            }
            GoesOn => {
                victim.as_mut().expect("a session").read_exact(&mut got).await.expect("an answer");
                "goes on"
            }
            _ => "waits",
        };
        let others = if host.others_live().await { "live" } else { "STAND STILL" };
        if fault.then == Waits {
            let more = victim.as_mut().expect("a session").read(&mut got).now_or_never();
            assert!(more.is_none(), "{}: {more:?}", fault.what);
        }
        drop(victim);
        let told = host.told(fault, number, before).await;
        rows.push(row(fault, [session, "lives", others, &told]));
    }
    host.process.signal(Signal::TERM);
    let ended = host.process.ended().await;
    assert!(ended.success(), "it ends as it is told to: {ended}\n{}", host.process.log());
    rows
}

/// A fault that ends the process.
async fn died(fault: &Fault) -> String {
    let mut host = Host::start(&[fault]).await;
    let _victim = TcpStream::connect(host.addresses[1]).await.expect("a listener");
    let ended = host.process.ended().await.to_string();
    let end = ended.split_once(" (core dumped)").map_or(ended.as_str(), |(end, _)| end);
    // A line that was written at its last moment may be lost: only the next start tells for certain.
    row(fault, ["ends", &format!("dies: {end}"), "end", "at the next start"])
}

/// A call that blocks: the others go on, the host says whose it is, and ends when it is told to.
async fn blocked(fault: &Fault) -> String {
    let mut host = Host::start(&[fault]).await;
    let before = host.process.log().len();
    let mut victim = TcpStream::connect(host.addresses[1]).await.expect("a listener");
    victim.write_all(b"go").await.expect("to be sent");
    let told = host.told(fault, 0, before).await;
    let others = if host.others_live().await { "live" } else { "STAND STILL" };
    host.process.signal(Signal::TERM);
    host.process.ended().await;
    row(fault, ["waits", "lives", others, &told])
}

const HEAD: &str = "# What a fault of a plugin costs\n\n\
From runs of the real host with `bad-plugins/faulty`, by the test `loading::fault_table`, which compares; \
with `UPDATE_FAULTS=1` it writes this file. *Others* are a connection of another route that was open before, and \
a new one. A session that waits or goes on is ended by whoever has it, or by `host.timeouts.idle`. After all of \
them SIGTERM ends the host within `host.shutdown_timeout`.\n\n\
The documentation of `jackfield-plugin-api` says what a guard cannot hold: those are the faults of which the \
host dies. The next start names the plugins that were in use (`cli::unclean`).\n\n\
| fault | its session | the host | others | told in the log |\n|---|---|---|---|---|\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_plugin_costs_what_the_table_says() {
    let survives = |fault: &&Fault| matches!(fault.then, Ends | GoesOn | Waits);
    let mut together =
        survived(&FAULTS.iter().filter(survives).collect::<Vec<_>>()).await.into_iter();
    let mut table = HEAD.to_owned();
    for fault in FAULTS {
        let row = match fault.then {
            Dies => died(fault).await,
            Blocks => blocked(fault).await,
            _ => together.next().expect("a row for each"),
        };
        assert!(!row.contains("STAND STILL"), "{row}");
        table.push_str(&row);
    }
    if std::env::var_os("UPDATE_FAULTS").is_some() {
        std::fs::write(FILE, &table).expect("to write the table");
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(table == kept, "{FILE} is not what happens (UPDATE_FAULTS=1 writes it):\n{table}");
}
