//! SFTP (draft-ietf-secsh-filexfer-02, version 3) on a channel of the connection: operations, and the content of files
//! as streams.
//!
//! ```text
//! calls ──▶ files ──▶ engine ──▶ channel      a request with its answer
//! transfer ◀─▶ get, put ──▶ engine            content, by many requests at once
//! ```

mod attributes;
mod calls;
mod engine;
mod files;
mod get;
mod glob;
mod listing;
mod packets;
mod pipe;
mod put;
mod status;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

pub(crate) use calls::{operations, run};
pub(crate) use engine::Sftp;
pub(crate) use get::Get;
pub(crate) use put::Put;

use crate::channel::ChannelIo;
use crate::connection::Connection;
use crate::options::Stderr;
use crate::setup::{Setup, Start};
use attributes::{Attributes, FileType};
use jackfield_plugin_api::{Control, Info, Result, Session, Stream};
use packets::OnChannel;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use transfer::{Transfer, turn};

/// The SFTP of one connection: one conversation for all that it does, begun when it is first needed.
pub(crate) struct Shelf {
    current: Mutex<Option<Arc<Sftp>>>,
    turns: Arc<Semaphore>,
}

/// A conversation with what options say of it.
pub(crate) struct Ready {
    sftp: Arc<Sftp>,
    /// Bytes that are under way at once for one file.
    window: u32,
    /// The most bytes in one request.
    block: u32,
    turns: Arc<Semaphore>,
    most: u32,
}

impl Shelf {
    pub(crate) fn new(transfers: u32) -> Self {
        let turns = usize::try_from(transfers).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Shelf { current: Mutex::default(), turns: Arc::new(Semaphore::new(turns)) }
    }

    /// The conversation, begun if there is none.
    ///
    /// # Errors
    /// The server has no SFTP, or opens no more channels; the connection is lost or drains.
    pub(crate) async fn ready(&self, connection: &Arc<Connection>) -> Result<Ready> {
        connection.for_new_work()?;
        let options = &connection.options;
        let mut current = self.current.lock().await;
        let sftp = match current.as_ref().filter(|sftp| !sftp.is_broken()) {
            Some(sftp) => Arc::clone(sftp),
            None => {
                let setup = Setup::of(Start::Subsystem("sftp".to_owned()), Some(false), options);
                let channel = Arc::new(setup.run(connection).await?);
                let packets = OnChannel(Arc::clone(&channel));
                let read = ChannelIo::new(channel, Stderr::Discard);
                let patience = Duration::from_secs(u64::from(options.sftp_timeout));
                Arc::clone(current.insert(Sftp::start(read, packets, patience).await?))
            }
        };
        Ok(Ready {
            sftp,
            window: options.sftp_window,
            block: options.sftp_block,
            turns: Arc::clone(&self.turns),
            most: options.sftp_transfers,
        })
    }

    /// Ends the conversation once what runs on it has ended.
    pub(crate) async fn release(&self) {
        self.current.lock().await.take();
    }
}

/// A session that is the content of a file, from the server to us.
///
/// # Errors
/// The server's.
pub(crate) async fn get_session(ready: &Ready, get: Get, info: Info) -> Result<Session> {
    let turn = turn(&ready.turns, ready.most)?;
    let (reader, attributes) = get::open(ready, &get).await?;
    let stream = Transfer::get(|pipe, finish| reader.run(pipe, finish));
    let info = info.with("path", get.path).with("offset", get.offset);
    Ok(session(stream, with_attributes(info, &attributes), turn))
}

/// A session that takes the content of a file; ending our direction puts it in place.
///
/// # Errors
/// The server's.
pub(crate) async fn put_session(ready: &Ready, put: Put, info: Info) -> Result<Session> {
    let turn = turn(&ready.turns, ready.most)?;
    let path = put.path.clone();
    let writer = put::start(ready, put).await?;
    let mut info = info.with("path", path).with("offset", writer.offset);
    if let Some(name) = &writer.temporary {
        info = info.with("temporary", name.clone());
    }
    Ok(session(put_stream(writer), info, turn))
}

fn put_stream(writer: put::Writer) -> Transfer {
    Transfer::put(writer.room(), |pipe, finish| writer.run(pipe, finish))
}

fn with_attributes(info: Info, attributes: &Attributes) -> Info {
    let entry = json!(attributes::Entry::new(b"", attributes));
    let facts = ["size", "mode", "modified"].into_iter();
    let facts = facts.filter_map(|name| Some((name, entry.get(name)?.clone())));
    facts.fold(info, |info, (name, value)| info.with(name, value))
}

/// What says of a transfer what is known of its file, and holds its turn.
struct Moved {
    info: Info,
    _turn: OwnedSemaphorePermit,
}

impl Control for Moved {
    fn info(&self) -> Info {
        self.info.clone()
    }
}

fn session(stream: Transfer, info: Info, turn: OwnedSemaphorePermit) -> Session {
    Session::builder(Moved { info, _turn: turn }).stream(Stream::new(stream)).build()
}
