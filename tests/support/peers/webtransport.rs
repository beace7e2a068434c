//! WebTransport by `aioquic` and by `pywebtransport`, which speak different drafts of it.

use std::path::Path;

use serde_json::Value;

use super::python::python;
use crate::support::{
    certs::Pair,
    process::{Process, run},
};

/// A program that speaks WebTransport.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// The second draft.
    Aioquic,
    /// A later one, with limits of a session's own.
    Pywebtransport,
}

/// Every program there is, for tests that take each in turn.
pub(crate) const PROGRAMS: [Program; 2] = [Program::Aioquic, Program::Pywebtransport];

impl Program {
    fn script(self) -> &'static str {
        match self {
            Self::Aioquic => "wt_aioquic.py",
            Self::Pywebtransport => "wt_pywebtransport.py",
        }
    }
}

/// A running server on 127.0.0.1 that answers streams and datagrams in kind.
pub(crate) struct WtServer {
    process: Process,
    port: u16,
}

impl WtServer {
    pub(crate) async fn start(program: Program, pair: &Pair) -> Self {
        let mut server = python(program.script());
        server.arg("--cert").arg(&pair.certificate).arg("--key").arg(&pair.key);
        let mut process = Process::spawn(&format!("{program:?} WebTransport server"), server);
        let port = process.logged_port("listening on ").await;
        Self { process, port }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("webtransport://localhost:{}{path}", self.port)
    }

    /// Waits for a line with `text` in its log, and answers what follows.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}

/// Runs a client through its dialogue; what it said, one value for each line.
pub(crate) async fn wt_client(program: Program, port: u16, ca: &Path, more: &[&str]) -> Vec<Value> {
    let mut client = python(program.script());
    client.arg("--ca").arg(ca).args(["--port", &port.to_string()]).args(more);
    let ran = run(client, "").await;
    let text = ran.text();
    assert!(text.contains('{'), "the client said nothing:\n{}", ran.stderr);
    let objects = text.lines().filter(|line| line.starts_with('{'));
    objects.map(|line| serde_json::from_str(line).expect("JSON of the client")).collect()
}

/// Plays every case of `wt_raw.py` to a listener; what became of each.
pub(crate) async fn raw_client(port: u16, ca: &Path) -> Vec<Value> {
    let mut client = python("wt_raw.py");
    client.arg("--ca").arg(ca).args(["--port", &port.to_string()]);
    let ran = run(client, "").await.ok();
    let text = ran.text();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON of the client")).collect()
}

/// A server that plays one case of `wt_raw.py` to each connection.
pub(crate) struct RawServer {
    _process: Process,
    port: u16,
}

impl RawServer {
    /// The server, and how many cases it has; in the last of them nothing is wrong.
    pub(crate) async fn start(pair: &Pair) -> (Self, usize) {
        let mut server = python("wt_raw.py");
        server.arg("--cert").arg(&pair.certificate).arg("--key").arg(&pair.key);
        let mut process = Process::spawn("a server of raw HTTP/3", server);
        let cases = process.logged_port("cases ").await;
        let port = process.logged_port("listening on ").await;
        (Self { _process: process, port }, usize::from(cases))
    }

    pub(crate) fn uri(&self) -> String {
        format!("webtransport://localhost:{}", self.port)
    }
}
