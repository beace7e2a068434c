//! The task that moves a connection: it reads, writes and keeps the time.

use crate::link::{GOODBYE, Shared, over};
use bytes::{Buf, BytesMut};
use jackfield_plugin_api::io::{AsyncRead, AsyncWrite, ReadBuf};
use jackfield_plugin_api::{Error, ErrorKind, Result, Stream, Timer};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes read at once.
const READ: usize = 16 << 10;

/// Reads and writes until the end.
pub(crate) async fn run(shared: Arc<Shared>, stream: Stream) {
    let timer = shared.host.timer(Duration::from_secs(3600));
    let mut mover = Mover {
        shared: &shared,
        stream,
        pending: BytesMut::new(),
        unflushed: false,
        timer,
        due: None,
        leaving: None,
    };
    poll_fn(|cx| mover.poll_move(cx)).await;
    shared.gone.store(true, Ordering::Release);
    // Who reads messages tells the last of them itself.
    if !shared.engine().is_read {
        shared.events.end();
    }
    shared.tell();
    // A peer that still sends would otherwise be reset, and lose our last words.
    let _ = shared.host.timeout(GOODBYE, "", mover.drain()).await;
    shared.over.store(true, Ordering::Release);
    shared.tell();
}

struct Mover<'a> {
    shared: &'a Shared,
    stream: Stream,
    /// Is being written.
    pending: BytesMut,
    unflushed: bool,
    timer: Timer,
    due: Option<Duration>,
    /// When waiting for the last bytes to leave ends.
    leaving: Option<Duration>,
}

impl Mover<'_> {
    /// Ready when the connection has ended and all has left, or cannot.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.mover.register(cx.waker());
        loop {
            let now = self.shared.host.now();
            let (wants_read, ended) = self.look(now);
            let wrote = match self.poll_write(now, cx) {
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Pending => false,
                Poll::Ready(Err(error)) => {
                    self.shared.engine().broken(error);
                    return Poll::Ready(());
                }
            };
            if ended {
                let until = *self.leaving.get_or_insert(now + GOODBYE);
                if self.poll_due(Some(until), now, cx) {
                    return Poll::Ready(());
                }
                let left = self.pending.is_empty() && !self.unflushed;
                if left && self.shared.engine().out.is_empty() {
                    return Pin::new(&mut self.stream).poll_shutdown(cx).map(drop);
                }
                if !wrote {
                    return Poll::Pending;
                }
                continue;
            }
            let read = wants_read && self.poll_read(now, cx);
            if read || wrote {
                continue;
            }
            let due = self.shared.engine().due();
            if !self.poll_due(due, now, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Lets time pass for the engine, and takes what it has to say.
    fn look(&mut self, now: Duration) -> (bool, bool) {
        let mut engine = self.shared.engine();
        engine.tick(now);
        if self.pending.is_empty() && !engine.out.is_empty() {
            std::mem::swap(&mut self.pending, &mut engine.out);
            engine.sent(now);
            drop(engine);
            self.shared.writer.wake();
            self.shared.changed.notify_waiters();
            engine = self.shared.engine();
        }
        let (wants_read, ended) = (engine.wants_read(), engine.ended().is_some());
        // Under the lock, so that who makes room sees that somebody waits for it.
        self.shared.paused.store(!wants_read, Ordering::Release);
        drop(engine);
        if ended {
            self.shared.tell();
        }
        (wants_read, ended)
    }

    /// Writes; ready with whether something has left.
    fn poll_write(&mut self, now: Duration, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let mut wrote = false;
        while !self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(over())),
                Poll::Ready(Ok(count)) => {
                    self.pending.advance(count);
                    (wrote, self.unflushed) = (true, true);
                    if self.pending.is_empty() {
                        // Its room is used again.
                        self.pending.clear();
                        let mut engine = self.shared.engine();
                        engine.sent(now);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(wrote))
    }

    /// Reads once; whether something came, or the end.
    fn poll_read(&mut self, now: Duration, cx: &mut Context<'_>) -> bool {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) else {
            return false;
        };
        {
            let mut engine = self.shared.engine();
            match read {
                Ok(()) if buffer.filled().is_empty() => {
                    let text = "the peer ended the connection without a word";
                    engine.broken(Error::new(ErrorKind::Closed, text));
                }
                Ok(()) => engine.feed(buffer.filled(), now),
                Err(error) => engine.broken(error.into()),
            }
        }
        self.shared.tell();
        true
    }

    /// Whether it is `due`; else it wakes then.
    fn poll_due(&mut self, due: Option<Duration>, now: Duration, cx: &mut Context<'_>) -> bool {
        let Some(at) = due else { return false };
        if now >= at {
            return true;
        }
        // A later moment is looked at when the earlier one has come.
        if self.due.is_none_or(|set| set > at || set <= now) {
            self.timer.reset(at - now);
            self.due = Some(at);
        }
        if Pin::new(&mut self.timer).poll(cx).is_ready() {
            self.due = None;
            cx.waker().wake_by_ref();
        }
        false
    }

    /// Reads what comes, for nothing, until the end.
    async fn drain(&mut self) -> Result<()> {
        poll_fn(|cx| {
            loop {
                let mut room = [const { MaybeUninit::uninit() }; READ];
                let mut buffer = ReadBuf::uninit(&mut room);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }
}
