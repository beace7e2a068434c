//! Operations with types: [`Calls`] is whatever runs operations, and what it gives beside [`Calls::call`] has
//! parameters and results that are structs.
//!
//! The operations are those that drivers have by these names, and the dialogues of whatever has a byte
//! stream. Any driver may have them; one that does not says [`ErrorKind::Unsupported`].

use crate::connection::{Live, Managed};
use crate::device::{Device, Path};
use crate::dialogue;
use crate::route::Destination;
use crate::units::Timespan;
use crate::upstream::Upstream;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whatever runs operations: a named connection, a device or one of its paths, an upstream, a session.
pub trait Calls: Sync {
    /// Runs an operation, within the limit that it has there. Cancel safe as far as the operation is.
    ///
    /// # Errors
    /// What reaching the peer or the operation says.
    fn call(&self, operation: &str, params: &Value) -> impl Future<Output = Result<Value>> + Send;

    /// Runs an operation whose parameters and result have types.
    ///
    /// # Errors
    /// As [`Calls::call`]; [`ErrorKind::Protocol`] for a result of another form.
    fn run<T: DeserializeOwned>(
        &self,
        operation: &str,
        params: &(impl Serialize + Sync),
    ) -> impl Future<Output = Result<T>> + Send {
        let params = serde_json::to_value(params);
        async move {
            let params =
                params.map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
            let result = self.call(operation, &params).await?;
            // What the parser says may show a part of the result.
            serde_json::from_value(result).map_err(|_| {
                let text = format!("the result of {operation} is of another form than expected");
                Error::new(ErrorKind::Protocol, text)
            })
        }
    }

    /// Runs a command, and gives its output and how it ended. That it failed is no error.
    ///
    /// # Errors
    /// As [`Calls::run`].
    fn exec(&self, command: impl Into<Exec>) -> impl Future<Output = Result<Executed>> + Send {
        let exec = command.into();
        async move { self.run("exec", &exec).await }
    }

    /// Gets the resource at a path. A missing one is not an error, but a status.
    ///
    /// # Errors
    /// As [`Calls::run`].
    fn get(&self, path: impl Into<Get>) -> impl Future<Output = Result<Got>> + Send {
        let get = path.into();
        async move { self.run("get", &get).await }
    }

    /// Sends a line and waits for what matches `pattern`, a regular expression.
    ///
    /// # Errors
    /// As [`Calls::run`]; [`ErrorKind::TimedOut`] if it does not come, with the last text received.
    fn send_expect(
        &self,
        line: impl Into<SendExpect>,
        pattern: &str,
    ) -> impl Future<Output = Result<Heard>> + Send {
        let mut asked = line.into();
        asked.patterns.push(pattern.to_owned());
        async move { self.run("send_expect", &asked).await }
    }

    /// Runs a command behind a prompt, as [`Execute`](crate::dialogue::Execute) does with its defaults, and gives
    /// its output.
    ///
    /// # Errors
    /// As [`Calls::run`]; [`ErrorKind::TimedOut`] if the prompt does not come again, with the last text received.
    fn execute(
        &self,
        command: impl Into<String>,
    ) -> impl Future<Output = Result<dialogue::Output>> + Send {
        let params = json!({ "command": command.into() });
        async move { self.run("execute", &params).await }
    }
}

/// Parameters of `exec`; a text alone is the command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// What is run.
    pub command: String,
    /// Its input as text. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Environment variables. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Result of `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Executed {
    /// Its output.
    #[serde(default)]
    pub stdout: String,
    /// Its error output.
    #[serde(default)]
    pub stderr: String,
    /// Its exit status, unless a signal ended it.
    #[serde(default)]
    pub exit_status: Option<u32>,
    /// The signal that ended it, without `SIG`.
    #[serde(default)]
    pub signal: Option<String>,
}

impl Executed {
    /// Whether it ended by itself with exit status 0.
    pub fn is_success(&self) -> bool {
        self.exit_status == Some(0)
    }
}

/// Parameters of `get`; a text alone is the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Get {
    /// The path, with or without a query; empty: that of the address. Default: empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Fields of the request. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Result of `get`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Got {
    /// The status.
    pub status: u16,
    /// Fields by name, in lower case; of a repeated one, a list.
    #[serde(default)]
    pub headers: Map<String, Value>,
    /// Content that is UTF-8.
    #[serde(default)]
    pub body: Option<String>,
    /// Content that is not, as base64.
    #[serde(default)]
    pub body_base64: Option<String>,
}

/// Parameters of `send_expect`; a text alone is the line, which a carriage return ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SendExpect {
    /// What is sent.
    pub text: String,
    /// What ends it. Default: a carriage return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// More regular expressions that may match, before the one that is given to [`Calls::send_expect`]; the
    /// first to match wins. Default: none.
    pub patterns: Vec<String>,
    /// How long sending and waiting may take. Default: 10 s.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub timeout: Option<Timespan>,
}

#[allow(clippy::ref_option, reason = "serde gives a reference")]
fn text<S: serde::Serializer>(time: &Option<Timespan>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.unwrap_or_default())
}

/// Result of `send_expect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Heard {
    /// What came before the match.
    pub before: String,
    /// What matched.
    pub matched: String,
    /// The groups in brackets.
    #[serde(default)]
    pub groups: Vec<Option<String>>,
    /// Which of the patterns, from 0.
    #[serde(default)]
    pub index: usize,
}

impl<T: Into<String>> From<T> for Exec {
    fn from(command: T) -> Self {
        Exec { command: command.into(), ..Exec::default() }
    }
}

impl<T: Into<String>> From<T> for Get {
    fn from(path: T) -> Self {
        Get { path: path.into(), ..Get::default() }
    }
}

impl<T: Into<String>> From<T> for SendExpect {
    fn from(line: T) -> Self {
        SendExpect { text: line.into(), ..SendExpect::default() }
    }
}

/// On the session that it shares.
impl Calls for Managed {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Managed::call(self, operation, params).await
    }
}

impl Calls for Live {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Live::call(self, operation, params).await
    }
}

/// On the session that its default path shares.
impl Calls for Device {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Device::call(self, None, operation, params).await
    }
}

/// On the session that it shares.
impl Calls for Path {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Path::call(self, operation, params).await
    }
}

/// On a session of whichever target's turn it is.
impl Calls for Upstream {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Upstream::call(self, None, operation, params).await
    }
}

impl Calls for Destination {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Destination::call(self, operation, params).await
    }
}

/// On a session of one's own, which has its driver's operations, no interceptors and no limit but the
/// operation's.
impl Calls for Session {
    async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        Session::call(self, operation, params).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Answers each operation with what was prepared, and notes what was asked.
    struct Peer {
        answer: Value,
        asked: Mutex<Vec<(String, Value)>>,
    }

    impl Calls for Peer {
        async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
            self.asked.lock().unwrap().push((operation.to_owned(), params.clone()));
            Ok(self.answer.clone())
        }
    }

    fn peer(answer: Value) -> Peer {
        Peer { answer, asked: Mutex::default() }
    }

    #[tokio::test]
    async fn a_command_has_its_output_and_how_it_ended() {
        let ssh = peer(json!({
            "stdout": "hi\n", "stderr": "", "exit_status": 3, "signal": null, "duration_ms": 1
        }));
        let done = ssh.exec("echo hi").await.unwrap();
        assert_eq!(
            (done.stdout.as_str(), done.exit_status, done.is_success()),
            ("hi\n", Some(3), false)
        );
        let with = Exec { stdin: Some("in".to_owned()), ..Exec::from("cat") };
        ssh.exec(with).await.unwrap();
        let asked = ssh.asked.lock().unwrap();
        assert_eq!(asked[0], ("exec".to_owned(), json!({ "command": "echo hi" })));
        assert_eq!(asked[1].1, json!({ "command": "cat", "stdin": "in" }));
    }

    #[tokio::test]
    async fn what_is_got_has_a_status_and_what_is_heard_its_groups() {
        let http = peer(json!({ "status": 404, "headers": { "server": "x" }, "path": "/" }));
        let got = http.get("/").await.unwrap();
        assert_eq!((got.status, got.headers["server"].as_str(), got.body), (404, Some("x"), None));
        let heard = json!({ "before": "a", "matched": "b1", "groups": ["1", null], "index": 1 });
        let console = peer(heard);
        let ask = SendExpect { timeout: Some(Timespan::seconds(2)), ..SendExpect::from("show") };
        let heard = console.send_expect(ask, "b(.)").await.unwrap();
        assert_eq!(heard.groups, [Some("1".to_owned()), None]);
        let asked = &console.asked.lock().unwrap()[0].1;
        assert_eq!(*asked, json!({ "text": "show", "patterns": ["b(.)"], "timeout": "2s" }));
    }

    #[tokio::test]
    async fn a_result_of_another_form_is_an_error_that_shows_nothing_of_it() {
        let error = peer(json!("hunter2")).exec("x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
