//! [`Files`]: files of this machine or of a device, and one copy from one to the other.

use super::entry::FileEntry;
use super::local::{self, LocalFile};
use super::passing::{CopyFrom, CopyTo, ReadAhead, WriteBehind, pass};
use super::progress::Progress;
use super::remote::{RemoteFile, RemoteFiles};
use crate::cli::runtime::as_task;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// Bytes before the place to go on that must be the same on both sides.
const COMPARED: u64 = 64 * 1024;

/// How files are copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CopySettings {
    /// Permissions and times are those of the source.
    pub(super) preserve: bool,
    /// What an earlier attempt has left is gone on with.
    pub(super) resume: bool,
    /// Write into the file itself.
    pub(super) in_place: bool,
    /// Have it on the medium before it gets its name.
    pub(super) sync: bool,
}

/// Where files are.
#[derive(Clone)]
pub(super) enum Files {
    Local,
    Remote(Arc<RemoteFiles>),
}

/// A file of [`Files`].
#[derive(Clone, Copy)]
pub(super) struct FileAt<'a> {
    pub(super) files: &'a Files,
    pub(super) path: &'a str,
}

impl Files {
    /// A path for people.
    pub(super) fn shown(&self, path: &str) -> String {
        match self {
            Files::Local => path.to_owned(),
            Files::Remote(remote) => format!("{}:{path}", remote.name),
        }
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<FileEntry>> {
        match self {
            Files::Local => local::stat(path),
            Files::Remote(remote) => remote.stat(path).await,
        }
    }

    pub(super) async fn list(&self, path: &str) -> Result<Vec<FileEntry>> {
        match self {
            Files::Local => local::list(path),
            Files::Remote(remote) => remote.list(path).await,
        }
    }

    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        match self {
            Files::Local => local::make_folder(path),
            Files::Remote(remote) => remote.make_folder(path).await,
        }
    }

    pub(super) async fn keep(&self, path: &str, entry: &FileEntry) -> Result<()> {
        match self {
            Files::Local => local::keep(path, entry),
            Files::Remote(remote) => remote.keep(path, entry).await,
        }
    }
}

/// What is written.
enum CopySink {
    Local(LocalFile),
    Remote(RemoteFile),
}

/// Copies one file. What it is called `to` is replaced when all is there, and not before. Cancel safe: what is not
/// whole is removed, or kept to go on with.
pub(super) async fn copy(
    from: FileAt<'_>,
    to: FileAt<'_>,
    entry: &FileEntry,
    settings: CopySettings,
    progress: &Arc<Progress>,
) -> Result<()> {
    let mut sink = CopySink::open(to, entry, settings).await?;
    if sink.offset() > 0 && !same_before(from, to, &sink, entry).await? {
        sink = sink.begin_again(to, entry, settings).await?;
    }
    let offset = sink.offset();
    progress.skip(offset);
    let sink = match from.files {
        Files::Local => {
            let mut file = tokio::fs::File::open(from.path).await?;
            file.seek(SeekFrom::Start(offset)).await?;
            let source = CopyFrom::Local(ReadAhead::new(file.into_std().await));
            sink.filled(source, progress).await?
        }
        Files::Remote(remote) => {
            let RemoteFile { stream, session, .. } = remote.read(from.path, offset).await?;
            let sink = sink.filled(CopyFrom::Remote(stream), progress).await?;
            drop(session);
            sink
        }
    };
    sink.place(settings).await?;
    if settings.preserve && matches!(to.files, Files::Local) {
        local::keep(to.path, entry)?;
    }
    Ok(())
}

/// Whether what is there of the copy ends as the source does there. A source that is shorter is another one.
async fn same_before(
    from: FileAt<'_>,
    to: FileAt<'_>,
    sink: &CopySink,
    entry: &FileEntry,
) -> Result<bool> {
    let offset = sink.offset();
    if entry.size.is_some_and(|size| size < offset) {
        return Ok(false);
    }
    let begin = offset.saturating_sub(COMPARED);
    let length = offset - begin;
    let theirs = bytes(from, begin, length).await?;
    let Some(temporary) = sink.temporary() else { return Ok(false) };
    let ours = bytes(FileAt { path: &temporary, ..to }, begin, length).await?;
    Ok(u64::try_from(ours.len()) == Ok(length) && ours == theirs)
}

async fn bytes(at: FileAt<'_>, offset: u64, length: u64) -> Result<Vec<u8>> {
    match at.files {
        Files::Local => local::bytes(at.path, offset, usize::try_from(length).unwrap_or(0)),
        Files::Remote(remote) => remote.bytes(at.path, offset, length).await,
    }
}

impl CopySink {
    async fn open(to: FileAt<'_>, entry: &FileEntry, settings: CopySettings) -> Result<Self> {
        let CopySettings { preserve, resume, in_place, sync } = settings;
        match to.files {
            Files::Local => {
                let mode = entry.mode_bits().unwrap_or(0o666);
                LocalFile::create(to.path, mode, in_place, resume).map(CopySink::Local)
            }
            Files::Remote(remote) => {
                let mut put =
                    json!({ "path": to.path, "atomic": !in_place, "resume": resume, "sync": sync });
                // Nobody else gets to write, as with the usual mask.
                let new = entry.mode_bits().map(|mode| format!("{:04o}", mode & 0o755));
                put["new_mode"] = json!(new);
                if preserve {
                    put["mode"] =
                        json!(entry.mode_bits().map(|mode| format!("{:04o}", mode & 0o777)));
                    put["modified"] = json!(entry.modified);
                }
                remote.write(&put).await.map(CopySink::Remote)
            }
        }
    }

    /// Without what an earlier attempt has left.
    async fn begin_again(
        self,
        to: FileAt<'_>,
        entry: &FileEntry,
        settings: CopySettings,
    ) -> Result<Self> {
        let temporary = self.temporary();
        match (self, to.files, temporary) {
            (CopySink::Local(mut local), ..) => {
                local.file.set_len(0).await?;
                local.offset = 0;
                Ok(CopySink::Local(local))
            }
            (CopySink::Remote(file), Files::Remote(remote), Some(temporary)) => {
                drop(file);
                remote.remove(&temporary).await?;
                CopySink::open(to, entry, settings).await
            }
            _ => Err(Error::new(ErrorKind::Other, "what an earlier attempt has left has no name")),
        }
    }

    fn offset(&self) -> u64 {
        match self {
            CopySink::Local(local) => local.offset,
            CopySink::Remote(remote) => remote.offset,
        }
    }

    /// The name until it is whole.
    fn temporary(&self) -> Option<String> {
        match self {
            CopySink::Local(local) => local.temporary.as_ref()?.to_str().map(str::to_owned),
            CopySink::Remote(remote) => {
                remote.fact("temporary").and_then(|name| name.as_str().map(str::to_owned))
            }
        }
    }

    /// With all that comes from `source`.
    async fn filled(mut self, source: CopyFrom, progress: &Arc<Progress>) -> Result<Self> {
        let progress = Arc::clone(progress);
        as_task(async move {
            let sink = match &mut self {
                CopySink::Local(local) => {
                    local.file.seek(SeekFrom::Start(local.offset)).await?;
                    let file = local.file.try_clone().await?;
                    CopyTo::Local(WriteBehind::new(file.into_std().await))
                }
                CopySink::Remote(remote) => CopyTo::Remote(&mut remote.stream),
            };
            pass(source, sink, &progress).await?;
            Ok(self)
        })
        .await
    }

    async fn place(self, settings: CopySettings) -> Result<()> {
        match self {
            CopySink::Local(local) => local.place(settings.sync).await,
            CopySink::Remote(mut remote) => Ok(remote.stream.shutdown().await?),
        }
    }
}

impl RemoteFile {
    fn fact(&self, name: &str) -> Option<Value> {
        self.session.info().facts.get(name).cloned()
    }
}
