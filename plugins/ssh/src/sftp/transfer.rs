//! [`Transfer`]: the content of a file as a stream, while a task moves it by many requests at once.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Bytes between the stream and its task, beside what is under way to the server. Its two ends are mostly on two
/// threads, which wake each other when it is full or empty: the larger it is, the less often.
const PIPE: usize = 512 * 1024;

/// The stream's end, as its task hears of it: told when our direction was ended, dropped with the stream.
pub(super) type Finish = oneshot::Receiver<()>;

/// A file's content. Reading gives what is got; its end, or that of writing, comes when the task is done, with its
/// error if it has failed. Dropped before, nothing is put in place.
pub(super) struct Transfer {
    pipe: DuplexStream,
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
    done: Option<Result<()>>,
    /// What is got ends by itself: that we write no more means nothing.
    gets: bool,
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
    /// Starts `work` with the other end of the pipe.
    pub(super) fn start<F>(gets: bool, work: impl FnOnce(DuplexStream, Finish) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (pipe, far) = tokio::io::duplex(PIPE);
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(work(far, finished));
        Transfer { pipe, finish: Some(finish), task, done: None, gets }
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.done.is_none() {
            let done = ready!(Pin::new(&mut self.task).poll(cx));
            self.done =
                Some(done.unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::Panicked, error.to_string()))
                }));
        }
        let done = self.done.clone().unwrap_or(Ok(()));
        Poll::Ready(done.map_err(Error::into_io))
    }
}

impl AsyncRead for Transfer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_done(cx)
    }
}

impl AsyncWrite for Transfer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gets {
            let error = Error::new(ErrorKind::Unsupported, "what is got is only read");
            return Poll::Ready(Err(error.into_io()));
        }
        match ready!(Pin::new(&mut self.pipe).poll_write(cx, bytes)) {
            Ok(count) => Poll::Ready(Ok(count)),
            // The task has ended and knows why.
            Err(error) => match ready!(self.poll_done(cx)) {
                Ok(()) => Poll::Ready(Err(error)),
                Err(why) => Poll::Ready(Err(why)),
            },
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gets {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.pipe).poll_shutdown(cx))?;
        if let Some(finish) = self.finish.take() {
            // A task that has ended already says how.
            let _ = finish.send(());
        }
        self.poll_done(cx)
    }
}
