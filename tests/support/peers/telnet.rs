//! Telnet by GNU inetutils, busybox and Python's telnetlib3.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{
    need::need,
    peers::python::python,
    ports,
    process::{Process, command, tempdir},
};

/// What a server runs for each client: a shell.
pub(crate) const SHELL: &str = "exec /bin/sh -i";

/// Asks for a name and a password (`secret`, not shown), then gives a shell.
pub(crate) const LOGIN: &str = r#"
printf 'login: '; read name
stty -echo; printf 'Password: '; read password; stty echo; echo
if [ "$name" = lab ] && [ "$password" = secret ]; then PS1='lab$ ' exec /bin/sh -i; fi
echo 'Login incorrect'; exec "$0""#;

/// A running server; it ends with this value.
pub(crate) struct Telnetd {
    _process: Process,
    port: u16,
}

impl Telnetd {
    /// GNU's, one process for each client.
    pub(crate) async fn gnu(script: &str) -> Self {
        let telnetd = need("telnetd", "inetutils-telnetd");
        Self::start(script, "listening on", |port, login| {
            let mut socat = command(need("socat", "socat"));
            socat.args(["-d", "-d"]);
            socat.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"));
            // `nofork` hands the socket itself over: it wants to know the peer.
            let exec = format!("{} -h -E {}", telnetd.display(), login.display());
            socat.arg(format!("EXEC:\"{exec}\",nofork"));
            socat
        })
        .await
    }

    /// That of busybox, as many a small device has it.
    pub(crate) async fn busybox(script: &str) -> Self {
        Self::start(script, "", |port, login| {
            let mut busybox = command(need("busybox", "busybox-static"));
            busybox.args(["telnetd", "-F", "-b", "127.0.0.1", "-p", &port.to_string(), "-l"]);
            busybox.arg(login);
            busybox
        })
        .await
    }

    async fn start(script: &str, ready: &str, make: impl Fn(u16, &Path) -> Command) -> Self {
        ports::with_free_port(async |port| {
            let dir: TempDir = tempdir();
            let login = dir.path().join("login");
            fs::write(&login, format!("#!/bin/sh\n{script}\n")).expect("a script");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&login, mode).expect("its mode");
            let mut process = Process::spawn_in("telnetd", dir, make(port, &login));
            if ready.is_empty() {
                process
                    .ready(async |_| TcpStream::connect(("127.0.0.1", port)).await.is_ok())
                    .await?;
            } else {
                process.logged(ready).await?;
            }
            Ok(Self { _process: process, port })
        })
        .await
    }

    /// Python's: tells what it has learnt of a client, then says lines back.
    pub(crate) async fn python() -> Self {
        let mut process = Process::spawn("telnetlib3", python("telnet_server.py"));
        let port = process.logged_port("listening on ").await;
        Self { _process: process, port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("telnet://lab@127.0.0.1:{}", self.port)
    }
}

/// GNU's client, connected to `port`.
pub(crate) fn client(port: u16) -> Command {
    let mut client = command(need("inetutils-telnet", "inetutils-telnet"));
    client.args(["127.0.0.1", &port.to_string()]);
    client
}
