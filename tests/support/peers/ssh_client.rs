//! The OpenSSH client, to any port that speaks ssh.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    need::need,
    process::{Ran, command, run},
};

use super::sshd::{PASSWORD, USER};

/// How the client proves who it is.
pub(crate) enum Login {
    Key(PathBuf),
    Password,
    /// The socket of an agent.
    Agent(PathBuf),
}

/// A client that reads no configuration but its own arguments.
pub(crate) struct SshClient {
    port: u16,
    login: Login,
    options: Vec<String>,
}

impl SshClient {
    /// A client that goes to 127.0.0.1 and accepts the keys in `known_hosts` only.
    ///
    /// The host is looked up there as `[127.0.0.1]:server_port` whatever `port` it goes to, so that
    /// the way to the server may lead through something else.
    pub(crate) fn new(port: u16, server_port: u16, known_hosts: &Path, login: Login) -> Self {
        let options = [
            format!("UserKnownHostsFile={}", known_hosts.display()),
            format!("HostKeyAlias=[127.0.0.1]:{server_port}"),
            "GlobalKnownHostsFile=/dev/null".into(),
            "StrictHostKeyChecking=yes".into(),
            "LogLevel=ERROR".into(),
        ];
        Self { port, login, options: options.into() }
    }

    /// Adds an option as `ssh -o` takes it.
    pub(crate) fn option(mut self, option: &str) -> Self {
        self.options.push(option.into());
        self
    }

    /// Runs `remote` there, with `input` on its standard input.
    pub(crate) async fn exec(&self, remote: &str, input: impl Into<Vec<u8>>) -> Ran {
        let mut ssh = self.command(&[]);
        ssh.arg(remote);
        run(ssh, input).await
    }

    /// The client's command line, with `flags` before the host; a remote command may follow.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let mut ssh = match self.login {
            Login::Password => {
                let mut command = command(need("sshpass", "sshpass"));
                command.arg("-e").env("SSHPASS", PASSWORD).arg("ssh");
                command
            }
            _ => command(need("ssh", "openssh-client")),
        };
        ssh.args(["-F", "none", "-p", &self.port.to_string()]).env_remove("SSH_AUTH_SOCK");
        for option in &self.options {
            ssh.args(["-o", option]);
        }
        match &self.login {
            Login::Password => ssh.args(["-o", "PreferredAuthentications=password"]),
            Login::Key(key) => {
                ssh.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]).arg(key)
            }
            Login::Agent(socket) => ssh
                .args(["-o", "BatchMode=yes", "-o", "IdentityFile=none"])
                .env("SSH_AUTH_SOCK", socket),
        };
        ssh.args(flags).arg(format!("{USER}@127.0.0.1"));
        ssh
    }
}
