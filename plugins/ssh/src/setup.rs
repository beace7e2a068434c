//! [`Setup`]: what runs on a session channel, and starting it.

use crate::channel::{Channel, Want};
use crate::connection::Connection;
use crate::options::SshOptions;
use jackfield_plugin_api::{Error, ErrorKind, Level, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What runs at the far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Shell,
    Exec(String),
    Subsystem(String),
}

/// A terminal; sizes in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) term: String,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Whether it was asked for, so that nothing may run without it.
    pub(crate) demanded: bool,
}

/// What runs, in which terminal, with which environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) start: Start,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) env: BTreeMap<String, String>,
}

impl Setup {
    /// What the options make of the session's own stream.
    pub(crate) fn own(options: &SshOptions) -> Self {
        let start = match (&options.exec, &options.subsystem) {
            (Some(command), _) => Start::Exec(command.clone()),
            (None, Some(name)) => Start::Subsystem(name.clone()),
            (None, None) => Start::Shell,
        };
        Setup::of(start, options.pty, options)
    }

    /// `start` with the options' terminal, if `pty` says so or nothing is said of a shell.
    pub(crate) fn of(start: Start, pty: Option<bool>, options: &SshOptions) -> Self {
        let wanted = pty.unwrap_or(start == Start::Shell);
        let terminal = wanted.then(|| Terminal {
            term: options.term.clone(),
            columns: options.columns,
            rows: options.rows,
            demanded: pty == Some(true),
        });
        Setup { start, terminal, env: options.env.clone() }
    }

    /// Opens a channel and starts. All requests leave at once; their answers are then awaited.
    ///
    /// # Errors
    /// The server refuses the channel, a terminal that was asked for, or the start; the connection is lost. A
    /// refused environment variable is no error, nor a refused terminal that only a shell usually has.
    pub(crate) async fn run(self, connection: &Arc<Connection>) -> Result<Channel> {
        let mut channel = Channel::open(connection, Want::Session).await?;
        if let Some(Terminal { term, columns, rows, .. }) = &self.terminal {
            let (columns, rows) = (*columns, *rows);
            channel.send(|half| half.request_pty(true, term, columns, rows, 0, 0, &[])).await?;
        }
        for (name, value) in self.env {
            channel.send(|half| half.set_env(false, name, value)).await?;
        }
        let what = match self.start {
            Start::Shell => {
                channel.send(|half| half.request_shell(true)).await?;
                "a shell".to_owned()
            }
            Start::Exec(command) => {
                channel.send(|half| half.exec(true, command)).await?;
                "to run the command".to_owned()
            }
            Start::Subsystem(name) => {
                let what = format!("the subsystem {name:?}");
                channel.send(|half| half.request_subsystem(true, name)).await?;
                what
            }
        };
        if let Some(Terminal { demanded, .. }) = &self.terminal {
            match channel.granted("a terminal").await {
                Err(error) if error.kind() == ErrorKind::Refused && !demanded => {
                    let server = connection.info().peer.unwrap_or_default();
                    let text = format!("{server} refused a terminal; the shell runs without one");
                    connection.host.log(Level::Info, "ssh", &text);
                }
                granted => {
                    granted?;
                    channel.terminal = true;
                }
            }
        }
        channel.granted(&what).await?;
        Ok(channel)
    }
}

/// Tells the far end of a new size of its terminal, in characters.
pub(crate) async fn resize(channel: &Channel, columns: u32, rows: u32) -> Result<()> {
    channel.send(|half| half.window_change(columns, rows, 0, 0)).await
}

/// No command can be so long that it does not fit one packet.
pub(crate) fn check_command(command: &str) -> Result<()> {
    if command.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the command is empty"));
    }
    if command.len() > 32_000 {
        return Err(Error::new(ErrorKind::Limit, "the command is longer than 32000 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn own(options: serde_json::Value) -> Setup {
        Setup::own(&serde_json::from_value(options).expect("options"))
    }

    #[test]
    fn only_a_shell_has_a_terminal_unless_said_otherwise() {
        let shell = own(json!({ "columns": 132, "rows": 43 }));
        assert_eq!(shell.start, Start::Shell);
        let terminal = shell.terminal.expect("a terminal");
        assert_eq!((terminal.columns, terminal.rows), (132, 43));
        assert_eq!(own(json!({ "exec": "ls" })).terminal, None);
        assert!(own(json!({ "exec": "top", "pty": true })).terminal.is_some());
        assert_eq!(own(json!({ "pty": false })).terminal, None);
        let netconf = Start::Subsystem("netconf".to_owned());
        assert_eq!(own(json!({ "subsystem": "netconf" })).start, netconf);
    }

    #[test]
    fn commands_must_fit() {
        assert!(check_command("ls").is_ok());
        assert_eq!(check_command("").expect_err("a refusal").kind(), ErrorKind::Config);
        let long = "x".repeat(32_001);
        assert_eq!(check_command(&long).expect_err("a refusal").kind(), ErrorKind::Limit);
    }
}
