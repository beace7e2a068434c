//! The files of a device, by the operations `sftp_…` of its session.

use super::entry::{FileEntry, FileKind};
use super::place::RemotePlace;
use crate::calls::Calls;
use crate::connection::{Caller, Target};
use crate::driver::DriverHandle;
use crate::session::SessionExt;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// How long one operation may take that moves no content.
const ASKING: Duration = Duration::from_secs(60);
/// How long what was begun may take to be cleared away when a copy is broken off.
const CLEARING: Duration = Duration::from_secs(3);
/// The most entries of one folder, or of one pattern.
const MAX_ENTRIES: u64 = 100_000;

/// A session with a device, and what it is called.
pub(super) struct RemoteFiles {
    pub(super) name: String,
    session: Session,
}

/// A file that is being read or written.
pub(super) struct RemoteFile {
    pub(super) stream: Stream,
    /// The first byte that is still to come.
    pub(super) offset: u64,
    /// Dropped after the stream.
    pub(super) session: Session,
}

#[derive(Deserialize)]
struct Listed {
    entries: Vec<FileEntry>,
}

impl RemoteFiles {
    /// # Errors
    /// What opening says; [`ErrorKind::Unsupported`] where the driver has no files.
    pub(super) async fn open(name: &str, target: &Arc<Target>, limit: Duration) -> Result<Self> {
        let driver = target.stack().top().map(DriverHandle::current);
        if driver.is_none_or(|driver| driver.operation("sftp_stat").is_none()) {
            let text = "expected a driver with files (operations sftp_…), such as ssh";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let session = target.open_for(&Caller::new("jackfield cp", ""), limit).await?;
        Ok(RemoteFiles { name: name.to_owned(), session })
    }

    /// Says goodbye. What was broken off is cleared away before.
    pub(super) async fn close(self) {
        let _ = timeout(CLEARING, self.session.drain()).await;
        self.session.close_politely(0, "").await;
    }

    async fn ask(&self, operation: &str, params: Value) -> Result<Value> {
        let asked = timeout(ASKING, Calls::call(&self.session, operation, &params));
        asked.await.unwrap_or_else(|_| {
            let text = format!("no answer to {operation} in {ASKING:?}");
            Err(Error::new(ErrorKind::TimedOut, text))
        })
    }

    /// What is at a path, links followed; `None`: nothing.
    pub(super) async fn stat(&self, path: &str) -> Result<Option<FileEntry>> {
        match self.ask("sftp_stat", json!({ "path": path })).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => read(found?).map(Some),
        }
    }

    /// What is in a folder.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<FileEntry>> {
        let asked = json!({ "path": path, "max_entries": MAX_ENTRIES });
        read::<Listed>(self.ask("sftp_list", asked).await?).map(|listed| listed.entries)
    }

    /// The paths that a pattern matches.
    pub(super) async fn matching(&self, pattern: &str) -> Result<Vec<String>> {
        let asked = json!({ "pattern": pattern, "max_entries": MAX_ENTRIES });
        let listed = read::<Listed>(self.ask("sftp_glob", asked).await?)?;
        Ok(listed.entries.into_iter().map(|entry| entry.name).collect())
    }

    /// Makes a folder; one that is there already is none to complain of.
    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        match self.ask("sftp_mkdir", json!({ "path": path })).await {
            Ok(_) => Ok(()),
            Err(error) => match self.stat(path).await {
                Ok(Some(entry)) if entry.kind == FileKind::Folder => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Sets permissions and the time of the last change.
    pub(super) async fn keep(&self, path: &str, entry: &FileEntry) -> Result<()> {
        let mut set = json!({ "path": path });
        set["mode"] = json!(entry.mode);
        set["modified"] = json!(entry.modified);
        self.ask("sftp_setstat", set).await.map(drop)
    }

    /// A file to read from that byte on.
    pub(super) async fn read(&self, path: &str, offset: u64) -> Result<RemoteFile> {
        self.stream(json!({ "sftp_get": { "path": path, "offset": offset } })).await
    }

    /// A file to write, with the parameters of `sftp_put`.
    pub(super) async fn write(&self, params: &Value) -> Result<RemoteFile> {
        self.stream(json!({ "sftp_put": params })).await
    }

    /// At most `length` bytes from `offset` on.
    pub(super) async fn bytes(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        let asked = json!({ "sftp_get": { "path": path, "offset": offset, "length": length } });
        let file = self.stream(asked).await?;
        let (mut bytes, mut content) = (Vec::new(), file.stream.take(length));
        timeout(ASKING, content.read_to_end(&mut bytes)).await.map_err(std::io::Error::other)??;
        Ok(bytes)
    }

    pub(super) async fn remove(&self, path: &str) -> Result<()> {
        self.ask("sftp_remove", json!({ "path": path })).await.map(drop)
    }

    async fn stream(&self, params: Value) -> Result<RemoteFile> {
        let session = timeout(ASKING, self.session.open_stream(&params)).await;
        let late = |_| Err(Error::new(ErrorKind::TimedOut, "the file could not be opened in time"));
        let session = session.unwrap_or_else(late)?;
        let offset = session.info().facts.get("offset").and_then(Value::as_u64).unwrap_or(0);
        let lacks = || Error::new(ErrorKind::Protocol, "the driver gave no content of the file");
        let stream = session.take_stream().ok_or_else(lacks)?;
        Ok(RemoteFile { stream, offset, session })
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|_| {
        let text = "the driver told of a file in another form than expected";
        Error::new(ErrorKind::Protocol, text)
    })
}

impl RemotePlace {
    /// Whether the path is a pattern.
    pub(super) fn is_pattern(&self) -> bool {
        self.path.contains(['*', '?', '['])
    }
}
