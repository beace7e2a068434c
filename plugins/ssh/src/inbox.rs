//! [`Inbox`]: what has arrived on one channel and is not yet read, and how the channel stands.

use bytes::Bytes;
use jackfield_plugin_api::Error;
use jackfield_plugin_api::EventQueue;
use serde_json::json;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a piece that arrived is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Output,
    ErrorOutput,
}

/// How a process at the far end ended; as much as the server has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) status: Option<u32>,
    pub(crate) signal: Option<String>,
}

/// How a channel ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The server closed it.
    Closed,
    /// Its connection was lost, for this reason.
    Lost(Error),
}

/// Filled by the protocol's task, emptied by one reader. Holds at most `limit` bytes, and one piece
/// more; who fills it waits.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(Source, Bytes)>,
    held: usize,
    eof: bool,
    end: Option<End>,
    exit: Exit,
    replies: VecDeque<bool>,
    abandoned: bool,
    /// Bytes that arrived after it was abandoned.
    dropped: usize,
    drops_errors: bool,
    /// Where error output is told as it arrives, so that it comes before what comes after it.
    tells_errors: Option<Arc<EventQueue>>,
    announced: bool,
    reader: Option<Waker>,
    watcher: Option<Waker>,
    filler: Option<Waker>,
}

/// What a piece costs beside its bytes, so that many small ones are bounded too.
const PIECE: usize = 64;

fn tell(news: &EventQueue, bytes: &[u8]) {
    news.tell("stderr", json!({ "text": String::from_utf8_lossy(bytes) }));
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Self {
        Inbox { state: Mutex::default(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let over = state.end.is_some();
        let filler = state.filler.take_if(|_| over);
        let wakers = [state.reader.take(), state.watcher.take(), filler];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Adds a piece, waiting for room. At once when it will not be read.
    pub(crate) async fn fill(&self, source: Source, bytes: &[u8]) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.abandoned {
                state.dropped = state.dropped.saturating_add(bytes.len());
                let enough = state.dropped > self.limit;
                let watcher = state.watcher.take_if(|_| enough);
                drop(state);
                watcher.into_iter().for_each(Waker::wake);
                return Poll::Ready(());
            }
            if state.end.is_some() || (state.drops_errors && source == Source::ErrorOutput) {
                return Poll::Ready(());
            }
            if let (Source::ErrorOutput, Some(news)) = (source, &state.tells_errors) {
                tell(news, bytes);
                return Poll::Ready(());
            }
            if state.held > 0 && state.held + bytes.len() + PIECE > self.limit {
                state.filler = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.held += bytes.len() + PIECE;
            state.pieces.push_back((source, Bytes::copy_from_slice(bytes)));
            let reader = state.reader.take();
            drop(state);
            reader.into_iter().for_each(Waker::wake);
            Poll::Ready(())
        })
        .await;
    }

    /// The server will send nothing more.
    pub(crate) fn eof(&self) {
        self.change(|state| state.eof = true);
    }

    /// The channel is over; the first reason stays.
    pub(crate) fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// The server has told how the process ended.
    pub(crate) fn exited(&self, exit: Exit) {
        self.change(|state| state.exit = exit);
    }

    /// The server has answered a request, in order.
    pub(crate) fn reply(&self, granted: bool) {
        self.change(|state| state.replies.push_back(granted));
    }

    /// Error output is thrown away from now on.
    pub(crate) fn drop_errors(&self) {
        self.state().drops_errors = true;
    }

    /// Error output becomes events from now on, what is here of it too.
    pub(crate) fn tell_errors(&self, news: &Arc<EventQueue>) {
        let mut state = self.state();
        let (errors, rest) = std::mem::take(&mut state.pieces)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(source, _)| *source == Source::ErrorOutput);
        state.pieces = rest;
        for (_, bytes) in errors {
            state.held -= bytes.len() + PIECE;
            tell(news, &bytes);
        }
        state.tells_errors = Some(Arc::clone(news));
    }

    /// The end of what runs is worth an event.
    pub(crate) fn announce(&self) {
        self.state().announced = true;
    }

    /// Tells how what ran has ended, if that is worth an event; once.
    pub(crate) fn tell_exit(&self, news: &EventQueue) {
        let mut state = self.state();
        if std::mem::take(&mut state.announced) {
            let Exit { status, signal } = &state.exit;
            news.tell("exit", json!({ "exit_status": status, "exit_signal": signal }));
        }
    }

    /// Nobody reads any longer.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.pieces.clear();
        let filler = state.filler.take();
        drop(state);
        filler.into_iter().for_each(Waker::wake);
    }

    /// How the process ended, as far as known.
    pub(crate) fn exit(&self) -> Exit {
        self.state().exit.clone()
    }

    /// Whether it is full and the connection waits for its reader.
    pub(crate) fn stalls(&self) -> bool {
        self.state().filler.is_some()
    }

    /// Whether the channel is over.
    pub(crate) fn ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// The next piece; `None` at the end of the server's direction, an error when the connection was
    /// lost before it. One reader at a time.
    pub(crate) fn poll_piece(
        &self,
        cx: &Context<'_>,
    ) -> Poll<Result<Option<(Source, Bytes)>, Error>> {
        let mut state = self.state();
        if let Some((source, bytes)) = state.pieces.pop_front() {
            state.held -= bytes.len() + PIECE;
            let filler = state.filler.take();
            drop(state);
            filler.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(Some((source, bytes))));
        }
        match &state.end {
            _ if state.eof => Poll::Ready(Ok(None)),
            Some(End::Closed) => Poll::Ready(Ok(None)),
            Some(End::Lost(error)) => Poll::Ready(Err(error.clone())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until it is known how what runs has ended, or that it will not be told. By the reader.
    pub(crate) fn poll_exit(&self, cx: &Context<'_>) -> Poll<Exit> {
        let mut state = self.state();
        if state.end.is_some() || state.exit != Exit::default() {
            return Poll::Ready(state.exit.clone());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for the end of the channel. One watcher at a time.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        let mut state = self.state();
        match &state.end {
            Some(end) => Poll::Ready(end.clone()),
            None => {
                state.watcher = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// As [`Inbox::poll_end`] for a channel without a user: also done when more has arrived for it than it would hold.
    pub(crate) fn poll_left(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.end.is_some() || state.dropped > self.limit {
            return Poll::Ready(());
        }
        state.watcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The server's answer to the oldest request that has none yet. By the reader.
    pub(crate) async fn replied(&self) -> Result<bool, Error> {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(granted) = state.replies.pop_front() {
                return Poll::Ready(Ok(granted));
            }
            match &state.end {
                Some(End::Lost(error)) => Poll::Ready(Err(error.clone())),
                Some(End::Closed) => Poll::Ready(Ok(false)),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    async fn piece(inbox: &Inbox) -> Result<Option<(Source, Bytes)>, Error> {
        poll_fn(|cx| inbox.poll_piece(cx)).await
    }

    #[tokio::test]
    async fn filling_waits_for_the_reader() {
        let inbox = Arc::new(Inbox::new(200));
        inbox.fill(Source::Output, &[1; 100]).await;
        let filler = Arc::clone(&inbox);
        let filling =
            tokio::spawn(async move { filler.fill(Source::ErrorOutput, &[2; 100]).await });
        tokio::task::yield_now().await;
        assert!(!filling.is_finished());
        let (source, bytes) = piece(&inbox).await.expect("no loss").expect("a piece");
        assert_eq!((source, bytes.len()), (Source::Output, 100));
        filling.await.expect("the filler");
        assert_eq!(piece(&inbox).await.expect("no loss").expect("a piece").0, Source::ErrorOutput);
    }

    #[tokio::test]
    async fn what_arrived_is_read_before_the_loss_shows() {
        let inbox = Inbox::new(200);
        inbox.fill(Source::Output, b"rest").await;
        inbox.end(End::Lost(crate::failure::lost()));
        inbox.end(End::Closed);
        assert!(piece(&inbox).await.expect("the rest").is_some());
        assert!(piece(&inbox).await.is_err());
    }

    #[tokio::test]
    async fn an_end_that_the_server_announced_is_no_error() {
        let inbox = Inbox::new(200);
        inbox.eof();
        inbox.end(End::Lost(crate::failure::lost()));
        assert!(piece(&inbox).await.expect("an end").is_none());
    }

    #[tokio::test]
    async fn what_arrives_without_a_user_ends_the_wait_once_it_is_more_than_would_be_held() {
        let inbox = Inbox::new(200);
        inbox.abandon();
        let mut left = std::pin::pin!(poll_fn(|cx| inbox.poll_left(cx)));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
        inbox.fill(Source::Output, &[1; 200]).await;
        assert!(futures_util::poll!(left.as_mut()).is_pending());
        inbox.fill(Source::ErrorOutput, &[1; 1]).await;
        left.await;
    }

    #[tokio::test]
    async fn abandoning_frees_who_waits() {
        let inbox = Arc::new(Inbox::new(1));
        inbox.fill(Source::Output, b"one").await;
        let filler = Arc::clone(&inbox);
        let filling = tokio::spawn(async move { filler.fill(Source::Output, b"two").await });
        tokio::task::yield_now().await;
        inbox.abandon();
        filling.await.expect("the filler");
    }
}
