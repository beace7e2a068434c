//! SSH servers by Python's asyncssh, as Debian packages it, which ask what they are told to ask.

use crate::support::{
    need::need_file,
    process::{Process, command, script},
};

const PYTHON: &str = "/usr/bin/python3";
const LIBRARY: &str = "/usr/lib/python3/dist-packages/asyncssh";
const PACKAGE: &str = "python3-asyncssh";

/// A running server; it ends with this value.
pub(crate) struct AskingSsh {
    process: Process,
    port: u16,
}

impl AskingSsh {
    /// A server with one of the roles of `ssh_server.py`.
    pub(crate) async fn start(role: &str) -> Self {
        need_file(LIBRARY, PACKAGE);
        let mut python = command(need_file(PYTHON, PACKAGE));
        python.args(["-I", "-u"]).arg(script("ssh_server.py")).arg(role);
        let mut process = Process::spawn("asyncssh", python);
        let line = process.logged("listening on ").await.unwrap_or_else(|log| panic!("{log}"));
        let port = line.rsplit(' ').next().and_then(|port| port.trim().parse().ok());
        Self { process, port: port.expect("a port") }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What follows `text` in the first line of its log that has it.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}
