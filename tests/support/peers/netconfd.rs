//! NETCONF by yuma123's `netconfd`: behind OpenSSH's server, whose subsystem speaks to it by a Unix socket, or behind
//! TLS by socat and OpenSSL, which starts the same program for each client.

use std::path::Path;

use crate::support::{
    certs::Certs,
    need::need,
    peers::sshd::Sshd,
    ports,
    process::{Process, command, tempdir},
};

pub(crate) use crate::support::peers::sshd::USER;

/// A running one, with `candidate`, and the account of the ssh server as its superuser.
pub(crate) struct Netconfd {
    pub(crate) sshd: Sshd,
    _process: Process,
}

impl Netconfd {
    pub(crate) async fn start() -> Self {
        let subsystem = need("netconf-subsystem", "netconfd");
        let dir = tempdir();
        let socket = dir.path().join("netconfd.sock");
        let (program_of_it, at) = (subsystem.display(), socket.display());
        let line =
            format!("Subsystem netconf {program_of_it} --ncxserver-sockname={{port}}@{at}\n");
        let sshd = Sshd::start_with(&line).await;
        let process = serving(dir, sshd.port()).await;
        Self { sshd, _process: process }
    }

    pub(crate) fn uri(&self) -> String {
        format!("netconf://{USER}@127.0.0.1:{}", self.sshd.port())
    }
}

/// One behind TLS (RFC 7589): it asks for a certificate of the authority, whoever has one is its superuser.
pub(crate) struct NetconfdTls {
    port: u16,
    _processes: [Process; 2],
}

impl NetconfdTls {
    pub(crate) async fn start(certs: &Certs) -> Self {
        let socat = need("socat", "socat");
        let subsystem = need("netconf-subsystem", "netconfd");
        let dir = tempdir();
        let socket = dir.path().join("netconfd.sock");
        let (listener, port) = ports::with_free_port(async |port| {
            let mut listener = command(&socat);
            listener.args(["-d", "-d"]).arg(format!(
                "OPENSSL-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,verify=1,cafile={},cert={},key={}",
                certs.ca.display(),
                certs.server.certificate.display(),
                certs.server.key.display(),
            ));
            let (program, at) = (subsystem.display(), socket.display());
            listener.arg(format!("EXEC:{program} --ncxserver-sockname={port}@{at}"));
            // What the program would hear from an ssh server.
            listener.env("SSH_CONNECTION", format!("127.0.0.1 1 127.0.0.1 {port}"));
            listener.env("USER", USER).env("LOGNAME", USER);
            let mut process = Process::spawn("socat", listener);
            process.logged("listening on").await?;
            Ok((process, port))
        })
        .await;
        let server = serving(dir, port).await;
        Self { port, _processes: [listener, server] }
    }

    pub(crate) fn uri(&self) -> String {
        format!("netconfs://localhost:{}", self.port)
    }
}

/// `netconfd` itself, at `netconfd.sock` in a folder, for clients of that port.
async fn serving(dir: tempfile::TempDir, port: u16) -> Process {
    let mut netconfd = command(need("netconfd", "netconfd"));
    netconfd.arg(sockname(dir.path())).arg(format!("--port={port}"));
    netconfd
        .arg(format!("--superuser={USER}"))
        .args(["--target=candidate", "--access-control=off", "--no-startup", "--log-level=info"])
        .args(["--module=ietf-interfaces", "--module=iana-if-type"])
        // It writes into its home.
        .env("HOME", dir.path());
    let mut process = Process::spawn_in("netconfd", dir, netconfd);
    process.logged("Running netconfd server").await.unwrap_or_else(|log| panic!("{log}"));
    process
}

fn sockname(dir: &Path) -> String {
    format!("--ncxserver-sockname={}", dir.join("netconfd.sock").display())
}
