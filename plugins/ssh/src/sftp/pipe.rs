//! [`pipe`]: pieces of a file's content on their way between a stream and the task that moves it. Who gives a piece
//! gives it whole, so that it is not copied into a buffer and out of it again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes in a pipe before who gives more waits. Its two ends are mostly on two threads, which wake each other when it
/// is full or empty: the larger it is, the less often.
const ROOM: usize = 512 * 1024;

#[derive(Debug)]
struct State<P> {
    pieces: VecDeque<P>,
    bytes: usize,
    /// No more comes.
    ended: bool,
    /// Nobody takes any more.
    unread: bool,
    giver: Option<Waker>,
    taker: Option<Waker>,
}

#[derive(Debug)]
struct Shared<P>(Mutex<State<P>>);

impl<P> Shared<P> {
    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives pieces. Dropped, the content ends.
#[derive(Debug)]
pub(super) struct Giver<P: AsRef<[u8]>>(Arc<Shared<P>>);

/// Takes pieces. Dropped, no more can be given.
#[derive(Debug)]
pub(super) struct Taker<P: AsRef<[u8]>>(Arc<Shared<P>>);

/// Both ends of a pipe.
pub(super) fn pipe<P: AsRef<[u8]>>() -> (Giver<P>, Taker<P>) {
    let state = State {
        pieces: VecDeque::new(),
        bytes: 0,
        ended: false,
        unread: false,
        giver: None,
        taker: None,
    };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Giver(Arc::clone(&shared)), Taker(shared))
}

impl<P: AsRef<[u8]>> Giver<P> {
    /// Ready when there is room, or nobody takes any more: then false.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.0.state();
        if !state.unread && state.bytes >= ROOM {
            state.giver = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(!state.unread)
    }

    /// Gives a piece, whether or not there is room.
    pub(super) fn give(&self, piece: P) {
        let mut state = self.0.state();
        state.bytes += piece.as_ref().len();
        state.pieces.push_back(piece);
        let taker = state.taker.take();
        drop(state);
        taker.into_iter().for_each(Waker::wake);
    }

    /// Gives a piece when there is room; false where nobody takes any more.
    pub(super) async fn give_in_time(&self, piece: P) -> bool {
        let takes = poll_fn(|cx| self.poll_room(cx)).await;
        if takes {
            self.give(piece);
        }
        takes
    }
}

impl<P: AsRef<[u8]>> Taker<P> {
    /// The next piece; `None` at the end.
    pub(super) fn poll_take(&self, cx: &Context<'_>) -> Poll<Option<P>> {
        let mut state = self.0.state();
        if state.pieces.is_empty() && !state.ended {
            state.taker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Self::next(state))
    }

    /// The next piece if it is here.
    pub(super) fn try_take(&self) -> Option<P> {
        Self::next(self.0.state())
    }

    fn next(mut state: MutexGuard<'_, State<P>>) -> Option<P> {
        let piece = state.pieces.pop_front()?;
        state.bytes -= piece.as_ref().len();
        let giver = if state.bytes < ROOM { state.giver.take() } else { None };
        drop(state);
        giver.into_iter().for_each(Waker::wake);
        Some(piece)
    }

    /// The next piece; `None` at the end. Cancel safe.
    pub(super) async fn take(&self) -> Option<P> {
        poll_fn(|cx| self.poll_take(cx)).await
    }
}

impl<P: AsRef<[u8]>> Drop for Giver<P> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ended = true;
        let taker = state.taker.take();
        drop(state);
        taker.into_iter().for_each(Waker::wake);
    }
}

impl<P: AsRef<[u8]>> Drop for Taker<P> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unread = true;
        let left = std::mem::take(&mut state.pieces);
        let giver = state.giver.take();
        drop(state);
        drop(left);
        giver.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::{ROOM, pipe};

    #[tokio::test]
    async fn who_gives_waits_for_room_and_who_takes_for_pieces() {
        let (giver, taker) = pipe::<Vec<u8>>();
        let giving = tokio::spawn(async move {
            for size in [ROOM, 1, 2] {
                assert!(giver.give_in_time(vec![0; size]).await);
            }
        });
        tokio::task::yield_now().await;
        assert!(!giving.is_finished());
        for size in [ROOM, 1, 2] {
            assert_eq!(taker.take().await.unwrap().len(), size);
        }
        assert!(taker.take().await.is_none());
        giving.await.unwrap();
    }

    #[tokio::test]
    async fn an_end_that_has_gone_frees_the_other() {
        let (giver, taker) = pipe::<Vec<u8>>();
        assert!(giver.give_in_time(vec![0; ROOM]).await);
        let giving = tokio::spawn(async move { giver.give_in_time(vec![0]).await });
        tokio::task::yield_now().await;
        drop(taker);
        assert!(!giving.await.unwrap());
        let (giver, taker) = pipe::<Vec<u8>>();
        let taking = tokio::spawn(async move { taker.take().await });
        tokio::task::yield_now().await;
        drop(giver);
        assert!(taking.await.unwrap().is_none());
    }
}
