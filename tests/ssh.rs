//! The ssh driver, loaded by the host, against OpenSSH.

mod algorithms;
mod exec;
mod forward;
mod hostile;
mod keys;
mod known_hosts;
mod login;
mod questions;
mod sftp;
mod stream;

use jackfield_plugin_api::{Result, Session};
use serde_json::{Value, json};

use crate::support::{
    host::TestHost,
    peers::sshd::{Sshd, USER},
    process::DEADLINE,
};

/// A server and the host to reach it.
struct Lab {
    sshd: Sshd,
    host: TestHost,
}

impl Lab {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With lines of the server's configuration.
    async fn with(extra: &str) -> Self {
        let sshd = Sshd::start_with(extra).await;
        Self { sshd, host: TestHost::start("").await }
    }

    fn uri(&self) -> String {
        format!("ssh://{USER}@127.0.0.1:{}", self.sshd.port())
    }

    /// Options that let us in by key, with `more` over them.
    fn options(&self, more: &Value) -> Value {
        let mut options = json!({
            "key_file": self.sshd.key(),
            "known_hosts": self.sshd.known_hosts(),
        });
        merge(&mut options, more);
        options
    }

    /// A session by key.
    async fn session(&self, more: &Value) -> Session {
        self.open(&self.options(more)).await.expect("a session")
    }

    /// What becomes of `options` alone.
    async fn open(&self, options: &Value) -> Result<Session> {
        self.host.open(&self.uri(), options.clone()).await
    }
}

fn merge(options: &mut Value, more: &Value) {
    let options = options.as_object_mut().expect("an object");
    for (name, value) in more.as_object().into_iter().flatten() {
        options.insert(name.clone(), value.clone());
    }
}

/// Runs a command in one call.
async fn exec(session: &Session, params: Value) -> Result<Value> {
    let call = session.call("exec", &params);
    tokio::time::timeout(DEADLINE, call).await.expect("an answer in time")
}

/// A command's output, which must have gone well.
async fn output(session: &Session, command: &str) -> String {
    let done = exec(session, json!({ "command": command })).await.expect("a result");
    assert_eq!(done["exit_status"], 0, "{done}");
    done["stdout"].as_str().expect("text").to_owned()
}
