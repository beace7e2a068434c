//! [`HeldStream`]: a session of a connection or a path that is had over the admin API, which outlives the WebSocket that it
//! is attached to for a while.

use super::StreamMode;
use super::replay::{PIECE, ReplayBuffer};
use crate::admin::roles::AdminPeer;
use crate::device::{Observer, Seen};
use crate::lock::IgnorePoison;
use crate::session::POLITE_CLOSE;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Session, Stream};
use jackfield_timers::timeout;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Bytes of input that may wait to be passed on; a client waits with more.
pub(super) const INPUT: u64 = 256 << 10;

/// Messages that they may come in.
const PIECES: usize = 4096;

/// What a client sends on.
#[derive(Debug)]
pub(super) enum StreamInput {
    Bytes(Bytes),
    /// Nothing more comes in that direction.
    End,
}

/// One stream.
#[derive(Debug)]
pub(in crate::admin) struct HeldStream {
    pub(super) id: u64,
    /// `connections.NAME` or `devices.NAME.PATH`.
    pub(super) to: String,
    pub(super) mode: StreamMode,
    pub(super) owner: AdminPeer,
    buffer: Mutex<ReplayBuffer>,
    /// Bytes of the client that have come, and those that were passed on.
    come: AtomicU64,
    taken: AtomicU64,
    /// Whether the peer knows that no more comes, once it was told or cannot be.
    told_end: Mutex<Option<bool>>,
    input: mpsc::Sender<StreamInput>,
    /// Why it has ended.
    ended: Mutex<Option<String>>,
    /// Changes with whatever is worth a look: bytes, bytes that were taken, room, the end.
    news: watch::Sender<()>,
    /// The number of the WebSocket that it is attached to; 0 is none.
    attached: watch::Sender<u64>,
    /// Ends with it.
    work: Mutex<JoinSet<()>>,
}

impl HeldStream {
    fn new(
        (id, to, mode): (u64, String, StreamMode),
        owner: AdminPeer,
        buffer: usize,
    ) -> (Arc<Self>, mpsc::Receiver<StreamInput>) {
        let (input, inputs) = mpsc::channel(PIECES);
        let stream = HeldStream {
            id,
            to,
            mode,
            owner,
            buffer: Mutex::new(ReplayBuffer::new(buffer)),
            come: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            told_end: Mutex::default(),
            input,
            ended: Mutex::default(),
            news: watch::Sender::new(()),
            attached: watch::Sender::new(0),
            work: Mutex::default(),
        };
        (Arc::new(stream), inputs)
    }

    /// Has a session of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for one without a byte stream.
    pub(super) fn of_session(
        what: (u64, String, StreamMode),
        owner: AdminPeer,
        buffer: usize,
        session: Session,
    ) -> Result<Arc<Self>, Error> {
        let bytes = session.take_stream().ok_or_else(|| {
            let facets: Vec<&str> = session.facets().names().collect();
            let text = "expected a session with a stream of bytes";
            Error::new(ErrorKind::Unsupported, text).with("facets", facets.join(" "))
        })?;
        let (stream, inputs) = Self::new(what, owner, buffer);
        let (read, write) = tokio::io::split(bytes);
        let weak = Arc::downgrade(&stream);
        let reading = async move {
            let Some(stream) = weak.upgrade() else { return };
            let changes = stream.news.subscribe();
            drop(stream);
            // With the last handle of the stream this is dropped, and the session with it.
            let why = Self::read(weak.clone(), read, changes).await;
            if let Some(stream) = weak.upgrade() {
                stream.end(why);
            }
        };
        let weak = Arc::downgrade(&stream);
        let writing = async move {
            let done = Self::write(weak.clone(), write, inputs).await;
            if let (Err(error), Some(stream)) = (done, weak.upgrade()) {
                stream.end(error.to_string());
            }
            // Kept until the end: what runs at it may have more to say.
            let _session = session;
            std::future::pending::<()>().await;
        };
        let mut work = stream.work();
        work.spawn(reading);
        work.spawn(writing);
        drop(work);
        Ok(stream)
    }

    /// Watches an exclusive path.
    pub(super) fn of_observer(
        what: (u64, String, StreamMode),
        owner: AdminPeer,
        buffer: usize,
        mut observer: Observer,
    ) -> Arc<Self> {
        let (stream, _) = Self::new(what, owner, buffer);
        let weak = Arc::downgrade(&stream);
        let watching = async move {
            while let Some(seen) = observer.next().await {
                let Some(stream) = weak.upgrade() else { return };
                match seen {
                    Seen::Bytes(bytes) => stream.buffer().push(&bytes),
                    Seen::Missed(count) => stream.buffer().skip(count),
                }
                stream.news.send_replace(());
            }
            if let Some(stream) = weak.upgrade() {
                stream.end("the path is there no more".to_owned());
            }
        };
        stream.work().spawn(watching);
        stream
    }

    /// Reads the session to its end; answers why it has ended.
    async fn read(
        stream: std::sync::Weak<Self>,
        mut read: ReadHalf<Stream>,
        mut changes: watch::Receiver<()>,
    ) -> String {
        let mut piece = vec![0; PIECE];
        loop {
            changes.mark_unchanged();
            let Some(room) = stream.upgrade().map(|stream| stream.buffer().room()) else {
                return String::new();
            };
            if room == 0 {
                // Nothing is lost: the peer is slowed down until the client has said what it has.
                if changes.changed().await.is_err() {
                    return String::new();
                }
                continue;
            }
            let most = room.min(piece.len());
            let count = match read.read(&mut piece[..most]).await {
                Ok(0) => return "the peer has ended".to_owned(),
                Ok(count) => count,
                Err(error) => return error.to_string(),
            };
            let Some(stream) = stream.upgrade() else { return String::new() };
            stream.buffer().push(&piece[..count]);
            stream.news.send_replace(());
        }
    }

    async fn write(
        stream: std::sync::Weak<Self>,
        mut write: WriteHalf<Stream>,
        mut inputs: mpsc::Receiver<StreamInput>,
    ) -> Result<(), Error> {
        while let Some(input) = inputs.recv().await {
            let bytes = match input {
                StreamInput::Bytes(bytes) => bytes,
                StreamInput::End => {
                    let told = match write.shutdown().await.map_err(Error::from) {
                        // Where one direction cannot end alone, nothing is ended.
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            write.flush().await?;
                            false
                        }
                        ended => ended.map(|()| true)?,
                    };
                    if let Some(stream) = stream.upgrade() {
                        *stream.told_end.lock().ignore_poison() = Some(told);
                        stream.news.send_replace(());
                    }
                    return Ok(());
                }
            };
            write.write_all(&bytes).await?;
            write.flush().await?;
            let Some(stream) = stream.upgrade() else { return Ok(()) };
            stream.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            stream.news.send_replace(());
        }
        Ok(())
    }

    fn work(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.work.lock().ignore_poison()
    }

    pub(super) fn buffer(&self) -> MutexGuard<'_, ReplayBuffer> {
        self.buffer.lock().ignore_poison()
    }

    fn end(&self, why: String) {
        self.ended.lock().ignore_poison().get_or_insert(why);
        self.news.send_replace(());
    }

    /// Why it has ended, if it has.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended.lock().ignore_poison().clone()
    }

    /// Bytes of the client that were passed on.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Hears of whatever is worth a look.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The client has everything before `offset`.
    pub(super) fn acknowledge(&self, offset: u64) {
        self.buffer().acknowledge(offset);
        self.news.send_replace(());
    }

    /// Whether the peer knows that no more comes, once it was told or cannot be.
    pub(super) fn told_end(&self) -> Option<bool> {
        *self.told_end.lock().ignore_poison()
    }

    /// Passes input on.
    ///
    /// # Errors
    /// It has ended, or only watches; more waits to be passed on than may.
    pub(super) fn send(&self, input: StreamInput) -> Result<(), Error> {
        if self.mode == StreamMode::Observer {
            return Err(Error::new(ErrorKind::Denied, "an observer only watches"));
        }
        if let StreamInput::Bytes(bytes) = &input {
            let come =
                self.come.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
            if come - self.taken() > INPUT {
                let text = format!("expected at most {INPUT} bytes beyond those that were taken");
                return Err(Error::new(ErrorKind::Limit, text));
            }
        }
        self.input.try_send(input).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                let text =
                    format!("expected at most {PIECES} messages beyond those that were taken");
                Error::new(ErrorKind::Limit, text)
            }
            TrySendError::Closed(_) => {
                Error::new(ErrorKind::Closed, "the stream takes no more input")
            }
        })
    }

    /// Attaches another WebSocket: the one before is told to go. Answers its number, and what hears of the next one.
    pub(super) fn attach(&self) -> (u64, watch::Receiver<u64>) {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.attached.send_replace(number);
        let mut heard = self.attached.subscribe();
        heard.mark_unchanged();
        (number, heard)
    }

    /// The WebSocket of that number is gone.
    pub(super) fn detach(&self, number: u64) {
        self.attached.send_if_modified(|attached| {
            let is_own = *attached == number;
            if is_own {
                *attached = 0;
            }
            is_own
        });
    }

    /// Completes when no WebSocket is attached for so long. Cancel safe.
    pub(super) async fn left_alone(&self, grace: std::time::Duration) {
        let mut attached = self.attached.subscribe();
        loop {
            if attached.wait_for(|number| *number == 0).await.is_err() {
                return;
            }
            if timeout(grace, attached.wait_for(|number| *number != 0)).await.is_err() {
                return;
            }
        }
    }

    /// Ends its work; what is had is let go.
    pub(super) async fn close(&self) {
        let mut work = std::mem::take(&mut *self.work());
        self.end("it was closed".to_owned());
        work.abort_all();
        let _ = timeout(POLITE_CLOSE, async { while work.join_next().await.is_some() {} }).await;
    }
}
