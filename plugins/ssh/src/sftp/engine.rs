//! [`Sftp`]: the conversation with one SFTP server. Requests have numbers, so that many are under way at once and one
//! that nobody waits for any more harms none of the others.

use super::packets::Packets;
use super::status::Status;
use super::wire::{self, Ask, Fields, MAX_PACKET, VERSION, kind, take_packet};
use bytes::{Bytes, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Requests of one connection that are under way at once.
const MAX_REQUESTS: usize = 1024;
/// What a server may be asked for at once that does not tell its limits; every server takes that.
const USUAL_BLOCK: u32 = 32 * 1024;
/// Room in a packet for what is around the content.
const AROUND: u32 = 1024;
/// Extensions that are remembered; the rest is of no use.
const MAX_EXTENSIONS: usize = 64;

/// A server's answer: its kind and what is in it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) kind: u8,
    pub(super) fields: Fields,
}

/// A request that is under way; gives the answer.
#[derive(Debug)]
pub(super) struct Asked(oneshot::Receiver<Result<Reply>>);

impl Asked {
    /// # Errors
    /// The conversation has ended.
    pub(super) async fn answer(self) -> Result<Reply> {
        self.0.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The conversation. It ends when this is dropped.
pub(crate) struct Sftp {
    shared: Arc<Shared>,
    extensions: BTreeSet<String>,
    /// The most bytes that one request reads.
    pub(super) read_block: u32,
    /// The most bytes that one request writes.
    pub(super) write_block: u32,
    tasks: [JoinHandle<()>; 2],
}

struct Shared {
    state: Mutex<State>,
    room: Arc<Semaphore>,
    out: mpsc::Sender<Bytes>,
}

#[derive(Default)]
struct State {
    next: u32,
    waiting: HashMap<u32, Waiting>,
    /// Since when something is waited for without a break.
    busy: Option<Instant>,
    broken: Option<Error>,
}

struct Waiting {
    tell: oneshot::Sender<Result<Reply>>,
    /// Given back when the answer is here, whether or not anybody still wants it.
    _room: OwnedSemaphorePermit,
}

impl Sftp {
    /// Greets the server. It may be silent for `patience` while it owes an answer.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it is no SFTP server; [`ErrorKind::TimedOut`]; what its stream says.
    pub(crate) async fn start<R>(
        mut read: R,
        mut packets: impl Packets,
        patience: Duration,
    ) -> Result<Arc<Sftp>>
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let mut buffer = BytesMut::new();
        let greeting = async {
            packets.put(wire::init()).await?;
            read_packet(&mut read, &mut buffer).await
        };
        let greeted =
            timeout(patience, greeting).await.unwrap_or_else(|_| Err(silent(patience)))?;
        let extensions = greeted_extensions(greeted)?;
        let (out, queue) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_REQUESTS)),
            out,
        });
        let reading = Reading { read, buffer, shared: Arc::clone(&shared), patience };
        let tasks = [
            tokio::spawn(write_requests(packets, queue, Arc::clone(&shared))),
            tokio::spawn(reading.run()),
        ];
        let (read_block, write_block) = (USUAL_BLOCK, USUAL_BLOCK);
        let mut sftp = Sftp { shared, extensions, read_block, write_block, tasks };
        sftp.ask_limits().await?;
        Ok(Arc::new(sftp))
    }

    /// Whether the server has an extension.
    pub(super) fn has(&self, extension: &str) -> bool {
        self.extensions.contains(extension)
    }

    /// Whether it can be asked no more.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.state().broken.is_some()
    }

    /// Hands a request over; waits only for its turn. Requests leave in the order of these calls. Cancel safe.
    ///
    /// # Errors
    /// The conversation has ended.
    pub(super) async fn start_asking(&self, ask: Ask) -> Result<Asked> {
        let shared = &self.shared;
        let room = Arc::clone(&shared.room).acquire_owned().await.map_err(|_| shared.why())?;
        let place = shared.out.reserve().await.map_err(|_| shared.why())?;
        // From here on nothing waits, so that what is noted also leaves.
        let (tell, told) = oneshot::channel();
        let id = shared.note(Waiting { tell, _room: room })?;
        place.send(ask.finish(id));
        Ok(Asked(told))
    }

    /// A request and its answer.
    ///
    /// # Errors
    /// The conversation has ended.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply> {
        self.start_asking(ask).await?.answer().await
    }

    /// Whether the server's own limits allow larger blocks (`limits@openssh.com`, PROTOCOL of OpenSSH §4.8).
    async fn ask_limits(&mut self) -> Result<()> {
        const NAME: &str = "limits@openssh.com";
        if !self.has(NAME) {
            return Ok(());
        }
        let mut reply = self.ask(Ask::extended(NAME)).await?;
        if reply.kind != kind::EXTENDED_REPLY {
            return Ok(());
        }
        let (packet, read, write) = (reply.fields.u64()?, reply.fields.u64()?, reply.fields.u64()?);
        let ours = u32::try_from(MAX_PACKET).unwrap_or(u32::MAX) - AROUND;
        let block = |limit: u64| {
            let packet = if packet == 0 { u64::from(ours) } else { packet };
            let limit = if limit == 0 { packet } else { limit.min(packet) };
            u32::try_from(limit).unwrap_or(ours).saturating_sub(AROUND).clamp(1024, ours)
        };
        (self.read_block, self.write_block) = (block(read), block(write));
        Ok(())
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.shared.fail(ended());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why(&self) -> Error {
        self.state().broken.clone().unwrap_or_else(ended)
    }

    /// Gives who waits a number.
    fn note(&self, waiting: Waiting) -> Result<u32> {
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        // At most `MAX_REQUESTS` numbers are taken.
        while state.waiting.contains_key(&state.next) {
            state.next = state.next.wrapping_add(1);
        }
        let id = state.next;
        state.next = state.next.wrapping_add(1);
        state.busy.get_or_insert_with(Instant::now);
        state.waiting.insert(id, waiting);
        Ok(id)
    }

    /// Gives an answer to who waits for it.
    fn answer(self: &Arc<Self>, mut fields: Fields) -> Result<()> {
        let (kind, id) = (fields.u8()?, fields.u32()?);
        let waiting = {
            let mut state = self.state();
            let waiting = state.waiting.remove(&id);
            state.busy = (!state.waiting.is_empty()).then(Instant::now);
            waiting
        };
        let Some(waiting) = waiting else {
            let text = "the SFTP server answered a request that was not made";
            return Err(Error::new(ErrorKind::Protocol, text).with("number", id));
        };
        if let Err(Ok(mut reply)) = waiting.tell.send(Ok(Reply { kind, fields }))
            && reply.kind == kind::HANDLE
            && let Ok(handle) = reply.fields.bytes()
        {
            self.close_unwanted(&handle);
        }
        Ok(())
    }

    /// Who opened it has gone before it was open.
    fn close_unwanted(self: &Arc<Self>, handle: &[u8]) {
        let (ask, shared) = (Ask::new(kind::CLOSE).bytes(handle), Arc::clone(self));
        tokio::spawn(async move {
            let Ok(room) = Arc::clone(&shared.room).acquire_owned().await else { return };
            let Ok(place) = shared.out.reserve().await else { return };
            let (tell, _) = oneshot::channel();
            if let Ok(id) = shared.note(Waiting { tell, _room: room }) {
                place.send(ask.finish(id));
            }
        });
    }

    /// The conversation is over; the first reason stays.
    fn fail(&self, error: Error) {
        let waiting = {
            let mut state = self.state();
            state.broken.get_or_insert(error);
            std::mem::take(&mut state.waiting)
        };
        self.room.close();
        let error = self.why();
        for waiting in waiting.into_values() {
            // Who does not wait any more need not know.
            let _ = waiting.tell.send(Err(error.clone()));
        }
    }
}

async fn write_requests(
    mut packets: impl Packets,
    mut queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
) {
    while let Some(packet) = queue.recv().await {
        if let Err(error) = packets.put(packet).await {
            shared.fail(error);
            return;
        }
    }
}

struct Reading<R> {
    read: R,
    buffer: BytesMut,
    shared: Arc<Shared>,
    patience: Duration,
}

impl<R: AsyncRead + Unpin> Reading<R> {
    async fn run(mut self) {
        let error = loop {
            if let Err(error) = self.next().await {
                break error;
            }
        };
        self.shared.fail(error);
    }

    async fn next(&mut self) -> Result<()> {
        loop {
            let packet = read_packet(&mut self.read, &mut self.buffer);
            if let Ok(packet) = timeout(self.patience, packet).await {
                return self.shared.answer(packet?);
            }
            let busy = self.shared.state().busy;
            if busy.is_some_and(|since| since.elapsed() >= self.patience) {
                return Err(silent(self.patience));
            }
        }
    }
}

/// The next packet. Cancel safe: what is here of it stays in the buffer.
async fn read_packet(read: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<Fields> {
    loop {
        if let Some(packet) = take_packet(buffer)? {
            return Ok(packet);
        }
        // A packet that has begun has room at once, so that it is not moved while it grows.
        buffer.reserve(missing(buffer).max(64 * 1024));
        if read.read_buf(buffer).await? == 0 {
            return Err(ended());
        }
    }
}

/// How much is missing of the packet that `buffer` begins with, whose length was found right.
fn missing(buffer: &[u8]) -> usize {
    let length = buffer.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
    usize::try_from(length).map_or(0, |length| (length + 4).saturating_sub(buffer.len()))
}

fn greeted_extensions(mut fields: Fields) -> Result<BTreeSet<String>> {
    let (kind, version) = (fields.u8()?, fields.u32()?);
    if kind != kind::VERSION || version < VERSION {
        let text = "expected an SFTP server of version 3";
        let error = Error::new(ErrorKind::Protocol, text).with("packet", kind);
        return Err(error.with("version", version));
    }
    let mut extensions = BTreeSet::new();
    while !fields.is_empty() && extensions.len() < MAX_EXTENSIONS {
        let (name, _) = (fields.bytes()?, fields.bytes()?);
        extensions.insert(String::from_utf8_lossy(&name).into_owned());
    }
    Ok(extensions)
}

fn ended() -> Error {
    Error::new(ErrorKind::Closed, "the SFTP server has ended the conversation")
}

fn silent(patience: Duration) -> Error {
    let text = "the SFTP server owes an answer and says nothing";
    Error::new(ErrorKind::TimedOut, text).with("limit", format!("{patience:?}"))
}

impl Reply {
    /// That all is well.
    ///
    /// # Errors
    /// The status as an error.
    pub(super) fn done(self) -> Result<()> {
        self.status()?.good()
    }

    /// A status, and no other answer.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for another one.
    pub(super) fn status(mut self) -> Result<Status> {
        match self.kind {
            kind::STATUS => Status::read(&mut self.fields),
            other => Err(unexpected(other)),
        }
    }

    /// What is in an answer of this kind.
    ///
    /// # Errors
    /// The status as an error; [`ErrorKind::Protocol`] for another answer.
    pub(super) fn of(self, kind: u8) -> Result<Fields> {
        if self.kind == kind {
            return Ok(self.fields);
        }
        Err(self.status()?.error())
    }

    /// As [`Reply::of`]; `None` at the end of what there is.
    ///
    /// # Errors
    /// As [`Reply::of`].
    pub(super) fn until_end(self, kind: u8) -> Result<Option<Fields>> {
        if self.kind == kind {
            return Ok(Some(self.fields));
        }
        let status = self.status()?;
        if status.code == super::status::EOF { Ok(None) } else { Err(status.error()) }
    }
}

fn unexpected(kind: u8) -> Error {
    let text = "the SFTP server gave an answer of another kind than was asked for";
    Error::new(ErrorKind::Protocol, text).with("packet", kind)
}
