//! What the WebSocket peers have in common: each is a server with the same paths and a client that
//! follows the same steps, so that a test runs unchanged against all of them.
//!
//! Paths: `/echo` (any path not named here), `/headers` (one text: the request's headers as JSON),
//! `/close` (closes with 4001 `because`), `/drop` (resets the TCP connection), `/big` (16 MiB in
//! 256 binary fragments), `/slow` (never reads), `/ping` (pings with `p`, then sends the text
//! `pong`).
//!
//! Steps, one JSON object each: `{"send": "text"}`, `{"send_bytes": 1000}`,
//! `{"send_fragments": ["a", "b"]}`, `{"recv": true}`, `{"ping": "payload"}`,
//! `{"close": [4000, "reason"]}`, `{"wait_closed": true}`. The client answers with one JSON object
//! per step that has something to tell: first `{"open": subprotocol or null}`, then
//! `{"text": …}`, `{"bytes": count, "sha256": …}`, `{"pong": true}`, `{"closed": [code, reason]}`,
//! or, as the last one, `{"error": …}`.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{
    certs::Pair,
    process::{Process, run},
};

/// A program that speaks WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Python's `websockets`.
    Python,
    /// Node's `ws`.
    Node,
}

/// Every program there is, for tests that take each in turn.
pub(crate) const PROGRAMS: [Program; 2] = [Program::Python, Program::Node];

impl Program {
    fn server(self) -> Command {
        match self {
            Self::Python => super::ws_python::server(),
            Self::Node => super::ws_node::server(),
        }
    }

    fn client(self) -> Command {
        match self {
            Self::Python => super::ws_python::client(),
            Self::Node => super::ws_node::client(),
        }
    }
}

/// A running WebSocket server on 127.0.0.1.
pub(crate) struct WsServer {
    process: Process,
    port: u16,
    secure: bool,
}

impl WsServer {
    /// A server without encryption that knows the subprotocols `alpha` and `beta`.
    pub(crate) async fn start(program: Program) -> Self {
        Self::start_on(program, None).await
    }

    /// The same over TLS.
    pub(crate) async fn start_secure(program: Program, pair: &Pair) -> Self {
        Self::start_on(program, Some(pair)).await
    }

    async fn start_on(program: Program, pair: Option<&Pair>) -> Self {
        let mut server = program.server();
        server.args(["--subprotocols", "alpha,beta"]);
        if let Some(pair) = pair {
            server.arg("--cert").arg(&pair.certificate).arg("--key").arg(&pair.key);
        }
        let mut process = Process::spawn(&format!("{program:?} WebSocket server"), server);
        let port = process.logged_port("listening on ").await;
        Self { process, port, secure: pair.is_some() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `ws://127.0.0.1:port/path`, or `wss://localhost:port/path`.
    pub(crate) fn url(&self, path: &str) -> String {
        let start = if self.secure { "wss://localhost" } else { "ws://127.0.0.1" };
        format!("{start}:{}{path}", self.port)
    }

    /// Waits for a line with `text` in the server's log: `closed CODE REASON` ends each connection.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }

    /// Kills the server, which resets its connections.
    pub(crate) fn kill(&mut self) {
        self.process.kill_tree();
    }
}

/// Opens `url` with `program`, follows `steps` and returns what the client said.
///
/// `flags`: `--ca FILE`, `--subprotocols a,b`, `--header NAME:VALUE`.
pub(crate) async fn ws_client(
    program: Program,
    url: &str,
    ca: Option<&Path>,
    flags: &[&str],
    steps: &Value,
) -> Vec<Value> {
    let mut client = program.client();
    client.arg(url).args(flags);
    if let Some(ca) = ca {
        client.arg("--ca").arg(ca);
    }
    let ran = run(client, steps.to_string()).await;
    let text = ran.text();
    assert_eq!(ran.code, Some(0), "{program:?} client: {text}\n{}", ran.stderr);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
