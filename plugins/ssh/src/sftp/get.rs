//! A file that is read, by as many requests at once as the window allows.

use super::Ready;
use super::engine::Asked;
use super::files::{Handle, open_to_read};
use super::pipe::Giver;
use super::transfer::Finish;
use super::wire::{Ask, kind};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;

/// Which content of a file is got.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    /// The file.
    pub(super) path: String,
    /// The first byte that is got, from 0.
    #[serde(default)]
    pub(super) offset: u64,
    /// The most bytes that are got. Not set: all.
    #[serde(default)]
    pub(super) length: Option<u64>,
}

/// A file that is open to be read, and what is known of it.
///
/// # Errors
/// The server's; [`ErrorKind::Config`] for a folder.
pub(super) async fn open(ready: &Ready, get: &Get) -> Result<(Reader, super::Attributes)> {
    let handle = open_to_read(&ready.sftp, &get.path).await?;
    let attributes = handle.attributes().await?;
    if attributes.file_type() == super::FileType::Folder {
        let error = Error::new(ErrorKind::Config, "expected a file, and it is a folder");
        return Err(error.with("path", &get.path));
    }
    let end = get.length.map_or(u64::MAX, |length| get.offset.saturating_add(length));
    let block = ready.sftp.read_block.min(ready.block);
    let known = attributes.size.unwrap_or(0);
    let reader = Reader {
        handle,
        next: get.offset,
        end,
        known,
        block,
        window: u64::from(ready.window.max(block)),
        under_way: VecDeque::new(),
    };
    Ok((reader, attributes))
}

/// Reads a file from front to back.
pub(super) struct Reader {
    handle: Handle,
    /// The first byte that is not asked for.
    next: u64,
    /// Where to end.
    end: u64,
    /// The size that the server has told; beyond it one request at a time finds the end.
    known: u64,
    block: u32,
    window: u64,
    under_way: VecDeque<Piece>,
}

struct Piece {
    offset: u64,
    length: u32,
    asked: Asked,
}

impl Reader {
    /// Gives all of it to `pipe`, until `finish` says that nobody reads any more.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn run(mut self, pipe: Giver<Bytes>, finish: Finish) -> Result<()> {
        let gone = async {
            if finish.await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            done = self.all(&pipe) => done?,
            () = gone => return Ok(()),
        }
        self.handle.close().await
    }

    async fn all(&mut self, pipe: &Giver<Bytes>) -> Result<()> {
        while let Some(bytes) = self.piece().await? {
            // Only the stream's end makes this fail, and then nobody is left to be told.
            if !pipe.give_in_time(bytes).await {
                break;
            }
        }
        Ok(())
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.ask_ahead().await?;
        let Some(Piece { offset, length, asked }) = self.under_way.pop_front() else {
            return Ok(None);
        };
        let Some(mut fields) = asked.answer().await?.until_end(kind::DATA)? else {
            self.under_way.clear();
            self.end = offset;
            return Ok(None);
        };
        let bytes = fields.bytes()?;
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if count == 0 || count > length {
            let text = "the SFTP server gave another number of bytes than was asked for";
            let error = Error::new(ErrorKind::Protocol, text).with("bytes", count);
            return Err(error.with("asked", length));
        }
        if count < length {
            self.after_short(offset + u64::from(count), count);
        }
        Ok(Some(bytes))
    }

    /// What the server gives at once is less than was asked for: what was asked for behind it is asked for again in
    /// pieces that it can give, from where it has stopped.
    fn after_short(&mut self, from: u64, count: u32) {
        if from < self.known {
            self.block = count.max(512);
        }
        self.under_way.clear();
        self.next = from;
    }

    async fn ask_ahead(&mut self) -> Result<()> {
        loop {
            let first = self.under_way.front().map_or(self.next, |piece| piece.offset);
            let more = self.next - first + u64::from(self.block) <= self.window;
            let room = self.under_way.is_empty() || more;
            if !room
                || self.next >= self.end
                || (self.next >= self.known && !self.under_way.is_empty())
            {
                return Ok(());
            }
            let left = u32::try_from(self.end - self.next).unwrap_or(u32::MAX);
            let length = self.block.min(left);
            let ask = Ask::new(kind::READ).bytes(self.handle.name()).u64(self.next).u32(length);
            let asked = self.handle.sftp().start_asking(ask).await?;
            self.under_way.push_back(Piece { offset: self.next, length, asked });
            self.next += u64::from(length);
        }
    }
}
