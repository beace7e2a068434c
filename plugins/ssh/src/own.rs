//! [`Own`]: the session's own stream, which starts what options ask for when it is first used; a
//! session that is only called or dialled through starts nothing.

use crate::channel::{Channel, ChannelIo};
use crate::connection::Connection;
use crate::inbox::{Exit, Inbox};
use crate::setup::{Setup, resize};
use futures_util::task::{ArcWake, AtomicWaker, WakerRef, waker_ref};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

/// What the session and its stream share.
pub(crate) struct Shared {
    setup: Mutex<Setup>,
    channel: OnceLock<Weak<Channel>>,
    inbox: OnceLock<Arc<Inbox>>,
}

impl Shared {
    pub(crate) fn new(setup: Setup) -> Self {
        Shared { setup: Mutex::new(setup), channel: OnceLock::new(), inbox: OnceLock::new() }
    }

    fn setup(&self) -> MutexGuard<'_, Setup> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream's channel while it is in use.
    pub(crate) fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.get().and_then(Weak::upgrade)
    }

    /// How what ran on the stream ended.
    pub(crate) fn exit(&self) -> Exit {
        self.inbox.get().map(|inbox| inbox.exit()).unwrap_or_default()
    }

    /// Sets the terminal's size, now or for when it starts.
    ///
    /// # Errors
    /// There is no terminal; the connection is lost.
    pub(crate) async fn resize(&self, columns: u32, rows: u32) -> Result<()> {
        {
            let mut setup = self.setup();
            let terminal = setup.terminal.as_mut();
            let terminal = terminal.ok_or_else(|| Error::unsupported("resizing without pty"))?;
            (terminal.columns, terminal.rows) = (columns, rows);
        }
        match self.channel() {
            Some(channel) => resize(&channel, columns, rows).await,
            None => Ok(()),
        }
    }
}

/// The session's own stream.
pub(crate) struct Own {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    state: State,
    wakers: Arc<Both>,
}

enum State {
    Idle,
    /// In a task: what waits in the connection's queue must go on, whether or not it is polled.
    Starting(JoinHandle<Result<Channel>>),
    Open(ChannelIo),
    Failed(Error),
}

/// Starting is waited for from both directions, each with a waker of its own.
#[derive(Default)]
struct Both {
    read: AtomicWaker,
    write: AtomicWaker,
}

impl ArcWake for Both {
    fn wake_by_ref(both: &Arc<Self>) {
        both.read.wake();
        both.write.wake();
    }
}

impl Own {
    pub(crate) fn new(connection: Arc<Connection>, shared: Arc<Shared>) -> Self {
        Own { connection, shared, state: State::Idle, wakers: Arc::default() }
    }

    fn poll_open(&mut self, cx: &Context<'_>, write: bool) -> Poll<io::Result<&mut ChannelIo>> {
        if let State::Idle = self.state {
            let (connection, setup) = (Arc::clone(&self.connection), self.shared.setup().clone());
            let work = async move { setup.run(&connection).await };
            self.state = State::Starting(tokio::spawn(work));
        }
        if let State::Starting(work) = &mut self.state {
            let side = if write { &self.wakers.write } else { &self.wakers.read };
            side.register(cx.waker());
            let waker: WakerRef<'_> = waker_ref(&self.wakers);
            let started = ready!(Pin::new(work).poll(&mut Context::from_waker(&waker)));
            self.state = match started {
                Ok(Ok(channel)) => self.open(channel),
                Ok(Err(error)) => State::Failed(error),
                Err(error) => State::Failed(Error::new(ErrorKind::Panicked, error.to_string())),
            };
            // The other direction may wait for this.
            Both::wake_by_ref(&self.wakers);
        }
        match &mut self.state {
            State::Open(io) => Poll::Ready(Ok(io)),
            State::Failed(error) => Poll::Ready(Err(error.clone().into_io())),
            State::Idle | State::Starting(_) => Poll::Pending,
        }
    }

    fn open(&self, channel: Channel) -> State {
        let channel = Arc::new(channel);
        let _ = self.shared.channel.set(Arc::downgrade(&channel));
        let _ = self.shared.inbox.set(Arc::clone(&channel.inbox));
        let inbox = Arc::clone(&channel.inbox);
        let stderr = self.connection.options.stderr;
        let io = match self.shared.setup().terminal {
            Some(_) => ChannelIo::new(channel, stderr),
            None => ChannelIo::of_program(channel, stderr),
        };
        inbox.announce();
        if inbox.ended() {
            // It was over before it was looked at.
            inbox.tell_exit(&self.connection.news);
        }
        State::Open(io)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let State::Starting(work) = &self.state {
            work.abort();
        }
    }
}

impl AsyncRead for Own {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let io = ready!(self.poll_open(cx, false))?;
        Pin::new(io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Own {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = ready!(self.poll_open(cx, true))?;
        Pin::new(io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Idle = self.state {
            return Poll::Ready(Ok(()));
        }
        let io = ready!(self.poll_open(cx, true))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = ready!(self.poll_open(cx, true))?;
        Pin::new(io).poll_shutdown(cx)
    }
}
