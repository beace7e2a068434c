//! [`Transfer`]: the content of a file as a stream, while a task moves it by many requests at once.

use super::pipe::{Giver, Taker, pipe};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The stream's end, as its task hears of it: told when our direction was ended, dropped with the stream.
pub(super) type Finish = oneshot::Receiver<()>;

/// A file's content. Reading gives what is got; its end, or that of writing, comes when the task is done, with its
/// error if it has failed. Dropped before, nothing is put in place.
pub(super) struct Transfer {
    way: Way,
    finish: Option<oneshot::Sender<()>>,
    /// Each direction's own look at the task, which wakes whoever waits for it there.
    reading: Done,
    writing: Done,
    done: Option<Result<()>>,
}

type Done = Shared<BoxFuture<'static, Result<()>>>;

/// Where the content goes.
enum Way {
    /// To us. What is got ends by itself: that we write no more means nothing.
    Get { pipe: Taker<Bytes>, piece: Bytes },
    /// To the server.
    Put { pipe: Option<Giver<BytesMut>>, filling: BytesMut, room: Room },
}

impl Way {
    /// No more is put.
    fn end(&mut self) {
        if let Way::Put { pipe, filling, room } = self
            && let Some(pipe) = pipe.take()
            && filling.len() > room.head
        {
            pipe.give(std::mem::take(filling));
        }
    }
}

/// What a piece has that is put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes before the content, for what the request says of it.
    pub(super) head: usize,
    /// The most bytes of content.
    pub(super) block: usize,
}

impl Room {
    fn begin(self) -> BytesMut {
        let mut piece = BytesMut::with_capacity(self.head + self.block);
        piece.resize(self.head, 0);
        piece
    }

    fn left(self, piece: &BytesMut) -> usize {
        (self.head + self.block).saturating_sub(piece.len())
    }
}

/// A turn among the transfers of a connection.
///
/// # Errors
/// [`ErrorKind::Limit`]: all are taken.
pub(super) fn turn(turns: &Arc<Semaphore>, most: u32) -> Result<OwnedSemaphorePermit> {
    Arc::clone(turns).try_acquire_owned().map_err(|_| {
        let text = "as many files are transferred on this connection as may be";
        Error::new(ErrorKind::Limit, text).with("sftp_transfers", most)
    })
}

impl Transfer {
    /// Starts `work` with the other end of a pipe that it fills.
    pub(super) fn get<F>(work: impl FnOnce(Giver<Bytes>, Finish) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (far, pipe) = pipe();
        Transfer::start(Way::Get { pipe, piece: Bytes::new() }, |finish| work(far, finish))
    }

    /// Starts `work` with the other end of a pipe whose pieces have `room`, all but the last of them the whole block.
    pub(super) fn put<F>(room: Room, work: impl FnOnce(Taker<BytesMut>, Finish) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (pipe, far) = pipe();
        let way = Way::Put { pipe: Some(pipe), filling: room.begin(), room };
        Transfer::start(way, |finish| work(far, finish))
    }

    fn start<F>(way: Way, work: impl FnOnce(Finish) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(work(finished));
        let done = async {
            task.await
                .unwrap_or_else(|error| Err(Error::new(ErrorKind::Panicked, error.to_string())))
        };
        let writing = done.boxed().shared();
        Transfer { way, finish: Some(finish), reading: writing.clone(), writing, done: None }
    }

    fn poll_done(&mut self, reads: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match self.done.clone() {
            Some(done) => done,
            None => {
                let task = if reads { &mut self.reading } else { &mut self.writing };
                let done = ready!(task.poll_unpin(cx));
                self.done.insert(done).clone()
            }
        };
        Poll::Ready(done.map_err(Error::into_io))
    }
}

impl AsyncRead for Transfer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Way::Get { pipe, piece } = &mut self.way {
            while piece.is_empty() {
                match ready!(pipe.poll_take(cx)) {
                    Some(next) => *piece = next,
                    None => return self.poll_done(true, cx),
                }
            }
            while buf.remaining() > 0 && !piece.is_empty() {
                let count = piece.len().min(buf.remaining());
                buf.put_slice(&piece[..count]);
                piece.advance(count);
                if piece.is_empty() {
                    *piece = pipe.try_take().unwrap_or_default();
                }
            }
            return Poll::Ready(Ok(()));
        }
        // What is put says nothing but how it has ended.
        self.poll_done(true, cx)
    }
}

impl AsyncWrite for Transfer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Way::Put { pipe, filling, room } = &mut self.way else {
            let error = Error::new(ErrorKind::Unsupported, "what is got is only read");
            return Poll::Ready(Err(error.into_io()));
        };
        let Some(pipe) = pipe else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        if ready!(pipe.poll_room(cx)) {
            let count = bytes.len().min(room.left(filling));
            filling.extend_from_slice(&bytes[..count]);
            if room.left(filling) == 0 {
                pipe.give(std::mem::replace(filling, room.begin()));
            }
            return Poll::Ready(Ok(count));
        }
        // The task has ended and knows why.
        match ready!(self.poll_done(false, cx)) {
            Ok(()) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Err(why) => Poll::Ready(Err(why)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.way, Way::Get { .. }) {
            return Poll::Ready(Ok(()));
        }
        self.way.end();
        if let Some(finish) = self.finish.take() {
            // A task that has ended already says how.
            let _ = finish.send(());
        }
        self.poll_done(false, cx)
    }
}

/// What was written still leaves: where it is kept, that is gone on with.
impl Drop for Transfer {
    fn drop(&mut self) {
        self.way.end();
    }
}
