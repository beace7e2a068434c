//! A file that is written, by as many requests at once as the window allows, under a temporary name until it is whole.

use super::attributes::{Attributes, FileType, Mode};
use super::engine::Asked;
use super::files::{self, ABANDONED, Handle};
use super::pipe::Taker;
use super::transfer::{Finish, Room};
use super::wire::{Ask, kind, open};
use super::{Ready, Sftp};
use bytes::BytesMut;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

/// Where content is put, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    /// The file.
    pub(super) path: String,
    /// Its permissions. Not set: those of the file that is replaced, else what the server makes of it.
    #[serde(default)]
    pub(super) mode: Option<Mode>,
    /// Its permissions if there is no such file yet and `mode` is not set.
    #[serde(default)]
    pub(super) new_mode: Option<Mode>,
    /// When it was last changed, in seconds since 1970. Not set: now.
    #[serde(default)]
    pub(super) modified: Option<u32>,
    /// How many bytes will come; another number is an error, and nothing is put in place.
    #[serde(default)]
    pub(super) size: Option<u64>,
    /// Write under a temporary name beside it, and rename when all is there. A link of that name is replaced, not
    /// followed. `false` writes into the file itself, as a device or a pipe wants it.
    #[serde(default = "yes")]
    pub(super) atomic: bool,
    /// Keep what was written when it does not come to an end, as `.NAME.part`, and go on with what is there: the
    /// session's `offset` says with which byte. Only with `atomic`.
    #[serde(default)]
    pub(super) resume: bool,
    /// Have it written to the medium before it gets its name (`fsync@openssh.com`).
    #[serde(default)]
    pub(super) sync: bool,
}

fn yes() -> bool {
    true
}

/// A file that is open to be written.
pub(super) struct Writer {
    handle: Handle,
    put: Put,
    /// The name that it has until it is whole, if it is another one.
    pub(super) temporary: Option<String>,
    attributes: Attributes,
    pub(super) offset: u64,
    block: usize,
    window: usize,
    under_way: VecDeque<(usize, Asked)>,
    bytes_under_way: usize,
}

/// Opens the file that content is put into first.
///
/// # Errors
/// The server's; [`ErrorKind::Config`] for a folder, and for parameters that contradict each other.
pub(super) async fn start(ready: &Ready, put: Put) -> Result<Writer> {
    if put.resume && !put.atomic {
        let text = "resume needs atomic: it goes on with a file under a temporary name";
        return Err(Error::new(ErrorKind::Config, text).with("parameter", "resume"));
    }
    let sftp = &ready.sftp;
    let there = files::look(sftp, &put.path, true).await?;
    if there.is_some_and(|there| there.file_type() == FileType::Folder) {
        let error =
            Error::new(ErrorKind::Config, "expected the name of a file, and it is a folder");
        return Err(error.with("path", &put.path));
    }
    let kept = there.and_then(|there| there.mode).map(|mode| mode & 0o7777).filter(|_| put.atomic);
    let new = put.new_mode.filter(|_| there.is_none()).map(|mode| mode.0);
    let mode = put.mode.map(|mode| mode.0).or(kept).or(new);
    let times = put.modified.map(|modified| (modified, modified));
    let attributes = Attributes { mode, times, ..Attributes::default() };
    // Only the owner reads what is not whole, where that is so in the end.
    let at_first =
        Attributes { mode: mode.map(|mode| (mode | 0o600) & 0o700), ..Attributes::default() };
    let window = ready.window;
    let (handle, temporary, offset) = if !put.atomic {
        let flags = open::WRITE | open::CREATE | open::TRUNCATE;
        (files::open_file(sftp, &put.path, flags, &at_first).await?, None, 0)
    } else if put.resume {
        let (handle, name, offset) = partial(sftp, &put.path, &at_first, window).await?;
        (handle, Some(name), offset)
    } else {
        let name =
            beside(&put.path, &format!("{:08x}", RandomState::new().build_hasher().finish() >> 32));
        let flags = open::WRITE | open::CREATE | open::EXCLUSIVE;
        let opened = files::open_file(sftp, &name, flags, &at_first).await;
        (opened.map_err(hint)?, Some(name), 0)
    };
    let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    let block = size(sftp.write_block.min(ready.block));
    let window = size(window).max(block);
    let (under_way, bytes_under_way) = (VecDeque::new(), 0);
    Ok(Writer {
        handle,
        put,
        temporary,
        attributes,
        offset,
        block,
        window,
        under_way,
        bytes_under_way,
    })
}

fn hint(error: Error) -> Error {
    let text = "it was opened beside the file, to be renamed when it is whole; atomic=false writes into the file itself";
    error.with("hint", text)
}

/// `.NAME.MARK.part` in the same folder.
fn beside(path: &str, mark: &str) -> String {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let name =
        if mark.is_empty() { format!(".{name}.part") } else { format!(".{name}.{mark}.part") };
    if path.contains('/') { format!("{folder}/{name}") } else { name }
}

/// What an earlier attempt has left, or nothing. The last window is written again: a server that was cut off may have
/// written later pieces before earlier ones.
async fn partial(
    sftp: &Arc<Sftp>,
    path: &str,
    at_first: &Attributes,
    window: u32,
) -> Result<(Handle, String, u64)> {
    let name = beside(path, "");
    let there = files::look(sftp, &name, false).await?;
    let (flags, size) = match there {
        None => (open::CREATE | open::EXCLUSIVE, 0),
        Some(there) if there.file_type() == FileType::File => (0, there.size.unwrap_or(0)),
        Some(_) => {
            let text = "what should be the rest of an earlier attempt is no file";
            return Err(Error::new(ErrorKind::InUse, text).with("path", name));
        }
    };
    let handle = files::open_file(sftp, &name, open::WRITE | flags, at_first).await;
    Ok((handle.map_err(hint)?, name, size.saturating_sub(u64::from(window))))
}

impl Writer {
    /// Writes what `pipe` gives, and puts it in place when `finish` says that it is all. What is not whole is removed,
    /// or kept under its temporary name to go on with.
    ///
    /// # Errors
    /// The server's; then nothing is put in place.
    pub(super) async fn run(mut self, pipe: Taker<BytesMut>, finish: Finish) -> Result<()> {
        let written = self.write(pipe, finish).await;
        let Writer { handle, put, temporary, .. } = self;
        let sftp = Arc::clone(handle.sftp());
        let closed = handle.close();
        let done = match written {
            Ok(true) => match (closed.await, &temporary) {
                (Ok(()), Some(name)) => {
                    files::rename(&sftp, name, &put.path, true).await.map(|()| true)
                }
                (closed, _) => closed.map(|()| true),
            },
            unfinished => {
                // Why it is not whole is what counts.
                let _ = tokio::time::timeout(ABANDONED, closed).await;
                unfinished
            }
        };
        if !matches!(done, Ok(true))
            && let Some(name) = temporary.filter(|_| !put.resume)
        {
            let removed = files::at_path(&sftp, kind::REMOVE, &name);
            let _ = tokio::time::timeout(ABANDONED, removed).await;
        }
        done.map(drop).map_err(|error| error.with("path", put.path))
    }

    /// All of the content, permissions and times; whether it is whole.
    async fn write(&mut self, pipe: Taker<BytesMut>, finish: Finish) -> Result<bool> {
        while let Some(piece) = pipe.take().await {
            self.block(piece).await?;
        }
        while self.settle_one().await? {}
        if finish.await.is_err() {
            return Ok(false);
        }
        if let Some(size) = self.put.size.filter(|size| *size != self.offset) {
            let text =
                "another number of bytes came than was said, so that nothing is put in place";
            let error = Error::new(ErrorKind::Closed, text).with("bytes", self.offset);
            return Err(error.with("expected", size));
        }
        if !self.attributes.is_empty() {
            self.handle.set(&self.attributes).await?;
        }
        if self.put.sync {
            self.handle.sync().await?;
        }
        Ok(true)
    }

    /// What pieces have that are put.
    pub(super) fn room(&self) -> Room {
        Room { head: self.asking(0).length(), block: self.block }
    }

    /// What comes before `count` bytes of content.
    fn asking(&self, count: usize) -> Ask {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ask::new(kind::WRITE).bytes(self.handle.name()).u64(self.offset).u32(count)
    }

    /// Sends one piece.
    async fn block(&mut self, piece: BytesMut) -> Result<()> {
        let count = piece.len().saturating_sub(self.room().head);
        let ask = self.asking(count).in_front_of(piece);
        while self.bytes_under_way + count > self.window && self.settle_one().await? {}
        let asked = self.handle.sftp().start_asking(ask).await?;
        self.under_way.push_back((count, asked));
        self.bytes_under_way += count;
        self.offset += u64::try_from(count).unwrap_or(0);
        Ok(())
    }

    /// Waits for the oldest answer; false if none is owed.
    async fn settle_one(&mut self) -> Result<bool> {
        let Some((count, asked)) = self.under_way.pop_front() else { return Ok(false) };
        self.bytes_under_way -= count;
        asked.answer().await?.done()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn what_is_not_whole_lies_beside_the_file() {
        assert_eq!(beside("/tmp/a.bin", ""), "/tmp/.a.bin.part");
        assert_eq!(beside("a", "12"), ".a.12.part");
        assert_eq!(beside("/a", ""), "/.a.part");
    }
}
