//! Commands a second over one ssh connection: the ssh driver against the OpenSSH client with
//! `ControlMaster`, in turns, on one OpenSSH server.
//!
//! `cargo build --profile dist --workspace && cargo bench --profile dist -p jackfield-tests --bench ssh`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    missing_docs,
    reason = "a bench prints its figures, ends on errors, and uses some of the tests' peers"
)]

mod measure;
#[path = "../support/mod.rs"]
mod support;

use measure::{line, median, ratio};
use serde_json::json;
use std::time::Instant;
use support::host::TestHost;
use support::peers::sshd::{Sshd, USER};
use support::process::{command, tempdir};

const ROUNDS: usize = 5;
const COMMANDS: u32 = 40;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let sshd = Sshd::start_with("MaxSessions 64\n").await;
    println!("jackfield {} and {}\n", env!("CARGO_PKG_VERSION"), measure::version("ssh", "-V"));
    let host = TestHost::start("").await;
    let uri = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let options = json!({ "key_file": sshd.key(), "known_hosts": sshd.known_hosts() });
    let session = host.open(&uri, options).await.unwrap();
    let master = Master::start(&sshd);
    let (mut ours, mut theirs, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..COMMANDS {
            let result = session.call("exec", &json!({ "command": "true" })).await.unwrap();
            assert_eq!(result["exit_status"], 0);
        }
        ours.push(rate(started));
        let started = Instant::now();
        for _ in 0..COMMANDS {
            master.exec();
        }
        theirs.push(rate(started));
        let started = Instant::now();
        let params = json!({ "command": "true" });
        let calls = (0..COMMANDS).map(|_| session.call("exec", &params));
        for result in futures_util::future::join_all(calls).await {
            assert_eq!(result.unwrap()["exit_status"], 0);
        }
        many.push(rate(started));
    }
    let [ours, theirs, many] = [ours, theirs, many].map(median);
    line("exec one after the other, jackfield", ours, "commands/s");
    line("exec one after the other, ssh with ControlMaster", theirs, "commands/s");
    line(&format!("exec {COMMANDS} at once, jackfield"), many, "commands/s");
    ratio("one after the other, jackfield / ssh", ours / theirs, ">= 3");
    ratio("at once, jackfield / ssh one after the other", many / theirs, "none set");
}

fn rate(started: Instant) -> f64 {
    f64::from(COMMANDS) / started.elapsed().as_secs_f64()
}

/// The OpenSSH client with a connection that it shares.
struct Master {
    process: std::process::Child,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Master {
    fn start(sshd: &Sshd) -> Self {
        let folder = tempdir();
        let socket = folder.path().join("control").display().to_string();
        let arguments: Vec<String> = [
            "-o".to_owned(),
            format!("ControlPath={socket}"),
            "-o".to_owned(),
            format!("UserKnownHostsFile={}", sshd.known_hosts().display()),
            "-o".to_owned(),
            "BatchMode=yes".to_owned(),
            "-i".to_owned(),
            sshd.key().display().to_string(),
            "-p".to_owned(),
            sshd.port().to_string(),
            format!("{USER}@127.0.0.1"),
        ]
        .into();
        let mut process = command("ssh");
        process.args(["-M", "-N"]).args(&arguments);
        let process = process.spawn().unwrap();
        let master = Self { process, folder, arguments };
        // `-O check` answers as soon as the master takes commands.
        let ready = || command("ssh").args(["-O", "check"]).args(&master.arguments).output();
        while !ready().is_ok_and(|answer| answer.status.success()) {
            std::thread::yield_now();
        }
        master
    }

    fn exec(&self) {
        let status = command("ssh").args(&self.arguments).arg("true").status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
