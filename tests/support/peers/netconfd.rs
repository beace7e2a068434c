//! NETCONF by yuma123's `netconfd`, behind OpenSSH's server: its subsystem speaks to it by a Unix socket.

use crate::support::{
    need::need,
    peers::sshd::Sshd,
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
        let program = need("netconfd", "netconfd");
        let subsystem = need("netconf-subsystem", "netconfd");
        let dir = tempdir();
        let socket = dir.path().join("netconfd.sock");
        let (program_of_it, at) = (subsystem.display(), socket.display());
        let line =
            format!("Subsystem netconf {program_of_it} --ncxserver-sockname={{port}}@{at}\n");
        let sshd = Sshd::start_with(&line).await;
        let mut netconfd = command(program);
        netconfd
            .arg(format!("--ncxserver-sockname={}", socket.display()))
            .arg(format!("--port={}", sshd.port()))
            .arg(format!("--superuser={USER}"))
            .args([
                "--target=candidate",
                "--access-control=off",
                "--no-startup",
                "--log-level=info",
            ])
            .args(["--module=ietf-interfaces", "--module=iana-if-type"])
            // It writes into its home.
            .env("HOME", dir.path());
        let mut process = Process::spawn_in("netconfd", dir, netconfd);
        process.logged("Running netconfd server").await.unwrap_or_else(|log| panic!("{log}"));
        Self { sshd, _process: process }
    }

    pub(crate) fn uri(&self) -> String {
        format!("netconf://{USER}@127.0.0.1:{}", self.sshd.port())
    }
}
