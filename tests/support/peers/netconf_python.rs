//! `netconf_server.py`: NETCONF by the Python package `netconf`, over SSH by paramiko.

use std::{fs, path::PathBuf};

use crate::support::{
    need::need,
    peers::{
        python::python,
        sshd::{PASSWORD, USER},
    },
    process::{Process, command, run, tempdir},
};

/// A running one, for `USER` with `PASSWORD`.
pub(crate) struct NetconfPython {
    process: Process,
    port: u16,
}

impl NetconfPython {
    pub(crate) async fn start() -> Self {
        let dir = tempdir();
        let key = dir.path().join("hostkey");
        let mut keygen = command(need("ssh-keygen", "openssh-client"));
        keygen.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"]).arg(&key);
        run(keygen, "").await.ok();
        let mut server = python("netconf_server.py");
        server.arg(&key);
        let mut process = Process::spawn_in("netconf_server", dir, server);
        let port = process.logged_port("listening on port ").await;
        let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
        let line = format!("[127.0.0.1]:{port} {public}");
        fs::write(process.dir().join("known_hosts"), line).expect("a known_hosts file");
        Self { process, port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("netconf://{USER}:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.process.dir().join("known_hosts")
    }
}
