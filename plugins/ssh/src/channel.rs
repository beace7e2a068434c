//! [`Channel`]: one channel of a connection, and [`ChannelIo`]: its bytes as a stream.

use crate::client::Client;
use crate::connection::Connection;
use crate::failure::of_ssh;
use crate::inbox::{End, Exit, Inbox, Source};
use crate::options::Stderr;
use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Result};
use russh::ChannelWriteHalf;
use russh::client::{Handle, Msg};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// The most bytes taken from a writer at once.
const MAX_WRITE: usize = 32 * 1024;
/// How long a channel without a user may take to open, to send what was written and to
/// close.
const ABANDONED: Duration = Duration::from_secs(5);
/// How long after the end of its output how a program has ended may take to be told; most servers tell both at once.
const SOON: Duration = Duration::from_millis(100);

/// One open channel. It is closed when dropped.
pub(crate) struct Channel {
    pub(crate) connection: Arc<Connection>,
    pub(crate) inbox: Arc<Inbox>,
    half: Arc<ChannelWriteHalf<Msg>>,
    /// Whether what runs has a terminal: then it ends when that is closed, and not with our direction.
    pub(crate) terminal: bool,
    /// Whether its user has written something.
    written: AtomicBool,
    /// Whether its user has ended our direction.
    ended: AtomicBool,
}

type Opened = Result<russh::Channel<Msg>, russh::Error>;

/// Which channel to open.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Session,
    Tcp(String, u16),
    Unix(String),
}

impl Want {
    async fn open(self, handle: &Handle<Client>) -> Opened {
        match self {
            Want::Session => handle.channel_open_session().await,
            // RFC 4254 §7.2 wants to know for whom; it is ourselves.
            Want::Tcp(host, port) => {
                handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await
            }
            Want::Unix(path) => handle.channel_open_direct_streamlocal(path).await,
        }
    }
}

/// An opening that is carried to its end even when its caller has gone: a channel that the server
/// opens without a user would stay open.
struct Opening(Option<BoxFuture<'static, Result<Channel>>>);

impl Future for Opening {
    type Output = Result<Channel>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.0 else {
            return Poll::Ready(Err(Error::unsupported("opening a channel twice")));
        };
        let done = ready!(work.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(ABANDONED, work));
        }
    }
}

impl Channel {
    /// Opens a channel. Cancel safe: an abandoned channel is closed.
    ///
    /// # Errors
    /// The server refuses, or the connection is lost or drains.
    pub(crate) async fn open(connection: &Arc<Connection>, want: Want) -> Result<Channel> {
        connection.for_new_work()?;
        let connection = Arc::clone(connection);
        let session = matches!(want, Want::Session);
        let work = async move {
            let open = async {
                let channel = want.open(connection.handle()?).await.map_err(of_ssh)?;
                let inbox = connection.channels.wait(channel.id()).await?;
                Ok((channel, inbox))
            };
            let (channel, inbox) = connection.channels.race(open).await.map_err(|error| {
                if session && error.kind() == ErrorKind::Unreachable { crowded() } else { error }
            })?;
            let half = Arc::new(channel.split().1);
            let (written, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            Ok(Channel { connection, inbox, half, terminal: false, written, ended })
        };
        Opening(Some(Box::pin(work))).await
    }

    /// Closes it at once; done when the server knows. Cancelled, it is closed when dropped.
    pub(crate) async fn close(&self) {
        self.inbox.abandon();
        if !self.inbox.ended() {
            closed(&self.half, &self.inbox, &self.connection).await;
        }
    }

    /// Sends something on the channel.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn send<'a, F>(
        &'a self,
        send: impl FnOnce(&'a ChannelWriteHalf<Msg>) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<(), russh::Error>>,
    {
        let work = send(&self.half);
        self.connection.channels.race(async { work.await.map_err(of_ssh) }).await
    }

    /// The server's answer to the oldest request that has none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] naming `what`; the connection is lost.
    pub(crate) async fn granted(&self, what: &str) -> Result<()> {
        if self.inbox.replied().await? {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Refused, format!("the server refused {what}"));
        Err(error.with_origin(Origin::Upstream))
    }
}

/// OpenSSH gives "connect failed" when it has as many sessions as it wants.
fn crowded() -> Error {
    Error::new(ErrorKind::Limit, "the server opens no more sessions on this connection")
        .with_origin(Origin::Upstream)
        .with("hint", "OpenSSH allows 10 at a time unless MaxSessions says otherwise")
}

/// Closes a channel. The protocol crate forgets one that we close, so that the server's own close is never told: done
/// when the server has answered a question, which it does after what came before, and one more, which it does when it
/// has passed on what it had. Without an answer, the connection is lost, and the channel is over too.
async fn closed(half: &ChannelWriteHalf<Msg>, inbox: &Inbox, connection: &Connection) {
    if half.close().await.is_ok() && connection.ping().await.is_ok() {
        let _ = connection.ping().await;
    }
    inbox.end(End::Closed);
}

/// Waits until the server, which has passed on what was written and seen the end of what read it, closes the channel
/// itself: only so is that told. Output that comes meanwhile is dropped, but not without limit.
async fn passed_on(half: &ChannelWriteHalf<Msg>, inbox: &Inbox, ended: bool) {
    let closes = async {
        if ended || half.eof().await.is_ok() {
            poll_fn(|cx| inbox.poll_left(cx)).await;
        }
    };
    let _ = tokio::time::timeout(ABANDONED, closes).await;
}

/// Closing is seen through: a connection that said goodbye before the server has passed on what was written would lose
/// it.
impl Drop for Channel {
    fn drop(&mut self) {
        let id = self.half.id();
        let (connection, inbox) = (Arc::clone(&self.connection), Arc::clone(&self.inbox));
        inbox.abandon();
        let runtime = tokio::runtime::Handle::try_current();
        let (false, Ok(runtime)) = (inbox.ended(), runtime) else {
            connection.channels.remove(id);
            return;
        };
        let half = Arc::clone(&self.half);
        let ended = self.ended.load(Ordering::Acquire);
        let waits = !self.terminal && (ended || self.written.load(Ordering::Acquire));
        runtime.spawn(async move {
            if waits {
                passed_on(&half, &inbox, ended).await;
            }
            if !inbox.ended() {
                let closing = closed(&half, &inbox, &connection);
                let _ = tokio::time::timeout(ABANDONED, closing).await;
            }
            connection.channels.remove(id);
        });
    }
}

/// The bytes of a channel. Back-pressure goes both ways; an end of the server's direction is the end
/// of reading, a shutdown is the end of ours. Reads and writes are cancel safe.
pub(crate) struct ChannelIo {
    channel: Arc<Channel>,
    merges: bool,
    piece: Bytes,
    sending: Option<Sending>,
    runs: Option<Runs>,
}

/// What runs without a terminal, so that its output is whole only if no signal has ended it.
#[derive(Debug, Default)]
struct Runs {
    /// Set at the end of its output.
    limit: Option<Pin<Box<Sleep>>>,
}

/// What a write has taken but could not hand over at once. It goes on in a task: in the queue of the
/// connection it may hold the place that all others wait for, whether or not its writer comes back.
type Sending = JoinHandle<Result<(), russh::Error>>;

impl ChannelIo {
    pub(crate) fn new(channel: Arc<Channel>, stderr: Stderr) -> Self {
        match stderr {
            Stderr::Merge => {}
            Stderr::Discard => channel.inbox.drop_errors(),
            Stderr::Event => channel.inbox.tell_errors(&channel.connection.news),
        }
        ChannelIo {
            channel,
            merges: stderr == Stderr::Merge,
            piece: Bytes::new(),
            sending: None,
            runs: None,
        }
    }

    /// The same for the output of a program without a terminal: the end of its output is an error where a signal has
    /// ended the program, since it had not said all.
    pub(crate) fn of_program(channel: Arc<Channel>, stderr: Stderr) -> Self {
        let mut io = ChannelIo::new(channel, stderr);
        io.runs = Some(Runs::default());
        io
    }

    /// Whether what was read is all, once the server's direction has ended.
    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(Runs { limit }) = &mut self.runs else { return Poll::Ready(Ok(())) };
        let limit = limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(SOON)));
        match self.channel.inbox.poll_exit(cx) {
            Poll::Ready(Exit { signal: Some(signal), .. }) => {
                let text = format!("the signal {signal} has ended the program");
                let error = Error::new(ErrorKind::Closed, text).with_origin(Origin::Upstream);
                Poll::Ready(Err(error.with("signal", signal)))
            }
            Poll::Pending if limit.as_mut().poll(cx).is_pending() => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The next bytes of the stream.
    fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            match ready!(self.channel.inbox.poll_piece(cx))? {
                Some((Source::ErrorOutput, _)) if !self.merges => {}
                Some((_, bytes)) if bytes.is_empty() => {}
                piece => return Poll::Ready(Ok(piece.map(|(_, bytes)| bytes))),
            }
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = match Pin::new(&mut *sending).poll(cx) {
            Poll::Ready(sent) => sent.unwrap_or(Err(russh::Error::SendError)),
            // A channel that is over gives no more room to what waits for it.
            Poll::Pending => {
                let end = ready!(self.channel.inbox.poll_end(cx));
                sending.abort();
                self.sending = None;
                return Poll::Ready(Err(over(end)));
            }
        };
        self.sending = None;
        Poll::Ready(sent.map_err(|error| self.explain(error)))
    }

    fn explain(&self, error: russh::Error) -> io::Error {
        self.channel.connection.channels.lost().unwrap_or_else(|| of_ssh(error)).into_io()
    }

    /// Hands bytes, or the end of our direction, to the connection: now or in a task.
    fn send(&mut self, bytes: Option<Bytes>) -> io::Result<()> {
        let half = Arc::clone(&self.channel.half);
        let mut work = Box::pin(async move {
            match bytes {
                Some(bytes) => half.data_bytes(bytes).await,
                None => half.eof().await,
            }
        });
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent.map_err(|error| self.explain(error)),
            Poll::Pending => {
                self.sending = Some(tokio::spawn(work));
                Ok(())
            }
        }
    }
}

/// What a write has taken still leaves, as with a socket.
impl Drop for ChannelIo {
    fn drop(&mut self) {
        let Some(mut sending) = self.sending.take() else { return };
        let channel = Arc::clone(&self.channel);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let over = poll_fn(|cx| channel.inbox.poll_end(cx));
                tokio::select! {
                    _ = &mut sending => {}
                    _ = over => sending.abort(),
                    () = tokio::time::sleep(ABANDONED) => sending.abort(),
                }
                drop(channel);
            });
        }
    }
}

fn over(end: End) -> io::Error {
    match end {
        End::Closed => {
            let error = Error::new(ErrorKind::Closed, "the server closed the channel");
            io::Error::new(io::ErrorKind::BrokenPipe, error)
        }
        End::Lost(error) => error.into_io(),
    }
}

impl AsyncRead for ChannelIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !self.piece.has_remaining() {
            match ready!(self.poll_piece(cx)).map_err(Error::into_io)? {
                Some(bytes) => self.piece = bytes,
                None => return self.poll_whole(cx).map_err(Error::into_io),
            }
        }
        let count = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        if let Poll::Ready(end) = self.channel.inbox.poll_end(cx) {
            return Poll::Ready(Err(over(end)));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.channel.ended.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.channel.written.store(true, Ordering::Release);
        let count = bytes.len().min(MAX_WRITE);
        // Taken; what cannot leave yet holds up the next write.
        self.send(Some(Bytes::copy_from_slice(&bytes[..count])))?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        if !self.channel.inbox.ended() && !self.channel.ended.swap(true, Ordering::AcqRel) {
            self.send(None)?;
        }
        self.poll_sent(cx)
    }
}
