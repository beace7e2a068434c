//! HSMS and GEM by Python's secsgem, as equipment and as a host, on either side of the connection.
//!
//! A passive one takes one connection: nobody may find out by connecting whether it is there.

use crate::support::{
    peers::python::python,
    ports,
    process::{Process, command},
};

/// A running one; it ends with this value.
pub(crate) struct Secsgem {
    process: Process,
    port: u16,
}

impl Secsgem {
    /// `hsms_equipment.py` or `hsms_host.py`, listening.
    pub(crate) async fn passive(script: &str) -> Self {
        ports::with_free_port(async |port| {
            let mut python = python(script);
            python.args([&port.to_string(), "passive"]);
            let mut process = Process::spawn("secsgem", python);
            process.logged("ready").await?;
            Ok(Self { process, port })
        })
        .await
    }

    /// The same, connecting to `port`.
    pub(crate) fn active(script: &str, port: u16) -> Self {
        let mut python = python(script);
        python.args([&port.to_string(), "active"]);
        // Its input never ends, so that it stays.
        let mut staying = command("/bin/sh");
        staying.args(["-c", "sleep 600 | \"$0\" \"$@\""]);
        staying.arg(python.get_program()).args(python.get_args());
        Self { process: Process::spawn("secsgem", staying), port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("hsms://127.0.0.1:{}", self.port)
    }

    /// Waits for `text` in what it says, and gives the rest of that line.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}
