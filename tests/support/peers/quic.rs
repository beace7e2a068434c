//! QUIC by `aioquic` and by `ngtcp2`.

use std::{net::UdpSocket, path::Path, process::Command};

use serde_json::Value;

use super::python::python;
use crate::support::{
    certs::Pair,
    need::need,
    process::{DEADLINE, Process, command, run},
};

/// A running server of `aioquic` on 127.0.0.1.
pub(crate) struct QuicServer {
    process: Process,
    port: u16,
}

impl QuicServer {
    pub(crate) async fn start(pair: &Pair) -> Self {
        Self::start_with(pair, &[]).await
    }

    /// As `start`, with more arguments of its script.
    pub(crate) async fn start_with(pair: &Pair, more: &[&str]) -> Self {
        let mut server = python("quic_server.py");
        server.arg("--cert").arg(&pair.certificate).arg("--key").arg(&pair.key).args(more);
        let mut process = Process::spawn("the aioquic server", server);
        let port = process.logged_port("listening on ").await;
        Self { process, port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("quic://localhost:{}", self.port)
    }

    /// Waits for a line with `text` in its log, and answers what follows.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill_tree();
    }
}

fn client(port: u16, ca: &Path, more: &[&str]) -> Command {
    let mut client = python("quic_client.py");
    client.arg(port.to_string()).arg("--ca").arg(ca).args(more);
    client
}

/// Runs the client of `aioquic` through `steps`; what it answered, one value for each line.
pub(crate) async fn quic_client(
    port: u16,
    ca: &Path,
    more: &[&str],
    steps: &[Value],
) -> Vec<Value> {
    let input: String = steps.iter().map(|step| format!("{step}\n")).collect();
    let ran = run(client(port, ca, more), input).await;
    let text = ran.text();
    assert!(!text.is_empty(), "the client said nothing:\n{}", ran.stderr);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON of the client")).collect()
}

/// The client of `aioquic` as a process: it connects, sends half of a stream and waits.
pub(crate) fn quic_client_process(port: u16, ca: &Path, input: &Path) -> Process {
    use std::process::Stdio;

    let python = client(port, ca, &[]);
    let mut shell = command(need("sh", "dash"));
    shell.arg("-c").arg("f=$1; shift; { cat \"$f\"; sleep 600; } | \"$@\"").arg("sh").arg(input);
    shell.arg(python.get_program()).args(python.get_args()).stdin(Stdio::null());
    Process::spawn("the aioquic client", shell)
}

/// A running HTTP/3 server of `ngtcp2` with GnuTLS.
pub(crate) struct Ngtcp2Server {
    _process: Process,
    port: u16,
}

impl Ngtcp2Server {
    pub(crate) async fn start(pair: &Pair, folder: &Path) -> Self {
        let port = free_udp();
        let mut server = command(need("gtlsserver", "ngtcp2-server"));
        server.arg("-d").arg(folder).args(["127.0.0.1", &port.to_string()]);
        server.arg(&pair.key).arg(&pair.certificate);
        let mut process = Process::spawn("gtlsserver", server);
        let listens = process.ready(async |_| UdpSocket::bind(("127.0.0.1", port)).is_err()).await;
        listens.unwrap_or_else(|log| panic!("{log}"));
        Self { _process: process, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A UDP port of 127.0.0.1 that was free a moment ago.
fn free_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}

/// The HTTP/3 client of `ngtcp2` with GnuTLS, until it ends or its test does.
pub(crate) fn ngtcp2_client(port: u16, more: &[&str]) -> Process {
    let mut client = command(need("gtlsclient", "ngtcp2-client"));
    client.args(more).args(["127.0.0.1", &port.to_string()]);
    client.arg(format!("https://localhost:{port}/"));
    Process::spawn("gtlsclient", client)
}

/// How long a test waits for what must come.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("in time")
}
