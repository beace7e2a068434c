//! The admin API of a running host, and the commands that are its clients.

mod commands;
mod conditions;
mod definitions;
mod events;
mod limits;
mod lists;
mod log;
mod network;
mod probes;
mod queries;
mod remote;
mod roles;
mod run_time;
mod secrets;
mod sockets;
mod streams;
mod verbs;
mod written;

use std::path::{Path, PathBuf};

use jackfield::{
    admin::{AdminControls, AdminServer, AdminSockets},
    manager::Manager,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::support::{
    host::load,
    process::{DEADLINE, tempdir},
};

/// What is listed.
const NOUNS: [&str; 11] = [
    "plugins",
    "drivers",
    "connections",
    "devices",
    "leases",
    "upstreams",
    "targets",
    "pools",
    "routes",
    "listeners",
    "handlers",
];

/// A host in this process with an admin API.
struct AdminHost {
    manager: Manager,
    server: Option<AdminServer>,
    folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The body, after checking that it went well.
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The problem, after checking its status.
    fn refused(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        self.json()
    }
}

/// The socket of a host in `folder`.
fn socket(folder: &Path) -> PathBuf {
    folder.join("run/admin.sock")
}

/// `toml` with a socket in `folder`, and other keys of `[admin]`.
fn with_admin(folder: &Path, admin: &str, toml: &str) -> String {
    format!("[admin]\nlisten = [\"unix:{}\"]\n{admin}\n{toml}", socket(folder).display())
}

impl AdminHost {
    async fn start(toml: &str) -> Self {
        Self::start_with("", toml).await
    }

    /// With more keys of `[admin]`.
    async fn start_with(admin: &str, toml: &str) -> Self {
        let folder = tempdir();
        let loaded = load(folder.path(), &with_admin(folder.path(), admin, toml));
        let sockets = AdminSockets::bind(&loaded).unwrap_or_else(|error| panic!("{error}"));
        let manager = Manager::start(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let server = sockets.serve(manager.clone(), AdminControls::default());
        Self { manager, server: Some(server), folder }
    }

    fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    /// Sends `text` as it is, and reads to the end.
    async fn raw(&self, text: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // A request that is refused early is not read to its end.
        let _ = stream.write_all(text).await;
        answer(&mut stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, &body.to_string()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, "").await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, "", body).await
    }

    /// Asks for what has the tag `tag`.
    async fn ask_if(&self, method: &str, path: &str, tag: &str, body: &str) -> Answer {
        self.ask_with(method, path, &format!("if-match: {tag}\r\n"), body).await
    }

    /// With more fields, each with the end of its line.
    async fn ask_with(&self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\
             content-length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }
}

async fn answer(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    // What was answered before a reset counts.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// One part of a path.
fn part(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
