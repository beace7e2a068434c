//! HSMS, SECS-I and GEM by Python's secsgem, as equipment and as a host, on either side of the connection.
//!
//! A passive one takes one connection: nobody may find out by connecting whether it is there.

use std::path::Path;

use crate::support::{
    peers::python::python,
    ports,
    process::{Process, command},
};

/// A running one; it ends with this value.
pub(crate) struct Secsgem {
    process: Process,
    /// Where it listens, if it does.
    port: u16,
}

impl Secsgem {
    /// `hsms_equipment.py` or `hsms_host.py`, listening.
    pub(crate) async fn passive(script: &str) -> Self {
        Self::listening(script, "passive").await
    }

    /// The same with SECS-I.
    pub(crate) async fn secs1_server(script: &str) -> Self {
        Self::listening(script, "server").await
    }

    async fn listening(script: &str, mode: &str) -> Self {
        ports::with_free_port(async |port| {
            let mut python = python(script);
            python.args([&port.to_string(), mode]);
            let mut process = Process::spawn("secsgem", python);
            process.logged("ready").await?;
            Ok(Self { process, port })
        })
        .await
    }

    /// One of them, connecting to `port`.
    pub(crate) fn active(script: &str, port: u16) -> Self {
        Self::connecting(script, &port.to_string(), "active")
    }

    /// The same with SECS-I.
    pub(crate) fn secs1_client(script: &str, port: u16) -> Self {
        Self::connecting(script, &port.to_string(), "client")
    }

    /// `hsms_host.py` that asks for what equipment does not know, over `hsms` or `secs1`.
    pub(crate) fn asking_wrong(scheme: &str, port: u16) -> Self {
        let mode = if scheme == "hsms" { "active-wrong" } else { "client-wrong" };
        Self::connecting("hsms_host.py", &port.to_string(), mode)
    }

    /// The same at the end of a serial line.
    pub(crate) fn secs1_at(script: &str, line: &Path) -> Self {
        Self::connecting(script, &line.display().to_string(), "line")
    }

    fn connecting(script: &str, place: &str, mode: &str) -> Self {
        let mut python = python(script);
        python.args([place, mode]);
        // Its input never ends, so that it stays.
        let mut staying = command("/bin/sh");
        staying.args(["-c", "sleep 600 | \"$0\" \"$@\""]);
        staying.arg(python.get_program()).args(python.get_args());
        Self { process: Process::spawn("secsgem", staying), port: 0 }
    }

    pub(crate) fn uri(&self) -> String {
        format!("hsms://127.0.0.1:{}", self.port)
    }

    pub(crate) fn secs1_uri(&self) -> String {
        format!("secs1://127.0.0.1:{}", self.port)
    }

    /// Waits for `text` in what it says, and gives the rest of that line.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}
