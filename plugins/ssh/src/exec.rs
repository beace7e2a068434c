//! The operation `exec`: one command from its input to its exit status.

use crate::channel::Channel;
use crate::connection::Connection;
use crate::inbox::{End, Source};
use crate::setup::{Setup, Start, check_command};
use bytes::Bytes;
use data_encoding::BASE64;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use russh::Sig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parameters of `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exec {
    /// What the account's shell is to run.
    command: String,
    /// Its input; without it the input is empty.
    #[serde(default)]
    stdin: Option<String>,
    /// Environment variables beside those of the options; the server may ignore them.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Give it a terminal; output and error output are then one.
    #[serde(default)]
    pty: bool,
    /// Milliseconds that it may take; then it is told to end (SIGTERM) and the call fails. 0: no
    /// limit.
    #[serde(default)]
    timeout_ms: u64,
    /// The most bytes of output and error output together; more make the call fail.
    #[serde(default = "max_output")]
    max_output: u64,
    /// `stdin`, `stdout` and `stderr` are base64 (RFC 4648 §4) instead of text.
    #[serde(default)]
    binary: bool,
}

fn max_output() -> u64 {
    16 * 1024 * 1024
}

/// Result of `exec`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    /// Output, as text (what is not UTF-8 is replaced) or base64.
    stdout: String,
    /// Error output, in the same form.
    stderr: String,
    /// Exit status, unless a signal ended it.
    exit_status: Option<u32>,
    /// Name of the signal that ended it, without `SIG`.
    signal: Option<String>,
    /// Milliseconds from the opening of the channel to its end.
    duration_ms: u64,
}

/// Runs a command. Cancelling closes its channel.
///
/// # Errors
/// [`ErrorKind::Limit`] beyond `max_output`, [`ErrorKind::TimedOut`], the server's refusals, and
/// [`ErrorKind::Closed`] when the connection is lost.
pub(crate) async fn run(connection: &Arc<Connection>, exec: Exec) -> Result<Done> {
    check_command(&exec.command)?;
    let stdin = input(&exec)?;
    let started = Instant::now();
    let mut setup = Setup::of(Start::Exec(exec.command), Some(exec.pty), &connection.options);
    setup.env.extend(exec.env);
    let limit = match exec.timeout_ms {
        0 => None,
        millis => Some(Duration::from_millis(millis)),
    };
    let work = async {
        let channel = setup.run(connection).await?;
        collect(&channel, stdin, exec.max_output, limit, started).await
    };
    let output = match limit {
        // The command itself is timed once it runs; this is for a server that never starts it.
        Some(limit) => {
            tokio::time::timeout(limit + GRACE, work).await.unwrap_or_else(|_| Err(late(limit)))?
        }
        None => work.await?,
    };
    let text = |bytes: &[u8]| match exec.binary {
        true => BASE64.encode(bytes),
        false => String::from_utf8_lossy(bytes).into_owned(),
    };
    Ok(Done {
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        exit_status: output.exit.status,
        signal: output.exit.signal,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Time for a signal to leave after a command's own time is over.
const GRACE: Duration = Duration::from_millis(500);

fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("the command took longer than {limit:?}"))
}

fn input(exec: &Exec) -> Result<Bytes> {
    let text = exec.stdin.clone().unwrap_or_default();
    if !exec.binary {
        return Ok(Bytes::from(text));
    }
    BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(|error| {
        Error::new(ErrorKind::Config, format!("stdin is not base64: {error}"))
            .with("parameter", "stdin")
    })
}

#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: crate::inbox::Exit,
}

async fn collect(
    channel: &Channel,
    stdin: Bytes,
    max: u64,
    limit: Option<Duration>,
    started: Instant,
) -> Result<Output> {
    let feed = async {
        let fed = channel.send(|half| half.data_bytes(stdin)).await;
        if fed.is_ok() {
            let _ = channel.send(russh::ChannelWriteHalf::eof).await;
        }
        // A command need not read its input; only its end counts.
        std::future::pending().await
    };
    let timer = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit.saturating_sub(started.elapsed())).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        output = gather(channel, max) => output,
        () = timer => {
            let _ = channel.send(|half| half.signal(Sig::TERM)).await;
            Err(late(limit.unwrap_or_default()))
        }
        never = feed => never,
    }
}

async fn gather(channel: &Channel, max: u64) -> Result<Output> {
    let mut output = Output::default();
    while let Some((source, bytes)) = poll_fn(|cx| channel.inbox.poll_piece(cx)).await? {
        let total = output.stdout.len() + output.stderr.len() + bytes.len();
        if u64::try_from(total).unwrap_or(u64::MAX) > max {
            return Err(Error::new(ErrorKind::Limit, "the command's output is too long")
                .with("max_output", max));
        }
        match source {
            Source::Output => output.stdout.extend_from_slice(&bytes),
            Source::ErrorOutput => output.stderr.extend_from_slice(&bytes),
        }
    }
    // The exit status may come after the end of the output, but before the end of the channel.
    if let End::Lost(error) = poll_fn(|cx| channel.inbox.poll_end(cx)).await {
        return Err(error);
    }
    output.exit = channel.inbox.exit();
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exec(params: serde_json::Value) -> Exec {
        serde_json::from_value(params).expect("parameters")
    }

    #[test]
    fn input_is_text_or_base64() {
        let text = exec(json!({ "command": "cat", "stdin": "aGk=" }));
        assert_eq!(input(&text).expect("input"), "aGk=");
        let binary = exec(json!({ "command": "cat", "stdin": "aGk=", "binary": true }));
        assert_eq!(input(&binary).expect("input"), "hi");
        let wrong = exec(json!({ "command": "cat", "stdin": "?", "binary": true }));
        assert_eq!(input(&wrong).expect_err("a refusal").kind(), ErrorKind::Config);
    }

    #[test]
    fn parameters_are_strict() {
        let wrong: Result<Exec, _> = serde_json::from_value(json!({ "command": "a", "evn": {} }));
        assert!(wrong.expect_err("a refusal").to_string().contains("evn"));
        assert_eq!(exec(json!({ "command": "a" })).max_output, 16 * 1024 * 1024);
    }
}
