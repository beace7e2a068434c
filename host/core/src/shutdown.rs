//! Shutdown in two steps: workers are told to stop, and later those that still work to end.

use crate::lock::IgnorePoison;
use slab::Slab;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Word {
    Stop = 1,
    End,
}

/// How long workers that were told to end may take for that.
pub const END_LIMIT: Duration = Duration::from_millis(150);

/// How much of it they have to say so to their peers.
pub const LAST_WORDS: Duration = Duration::from_millis(100);

/// What workers and those that stop them share. Not a `watch` channel: each wait for one is a future of 200
/// bytes, of which every connection keeps two.
#[derive(Default, Debug)]
struct ShutdownState {
    /// The last [`Word`]; 0 is none.
    word: AtomicU8,
    waiting: Mutex<Slab<Waker>>,
    workers: AtomicUsize,
    /// Told when the last worker is gone.
    idle: Notify,
}

impl ShutdownState {
    /// What was said is never taken back.
    fn say(&self, next: Word) {
        if self.word.fetch_max(next as u8, Ordering::SeqCst) < next as u8 {
            // Woken without the lock. Each keeps its place until it is dropped: it may wait for a later word.
            let waiting = self.waiting.lock().ignore_poison();
            let wakers: Vec<Waker> = waiting.iter().map(|(_, waker)| waker.clone()).collect();
            drop(waiting);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn has_said(&self, word: Word) -> bool {
        self.word.load(Ordering::SeqCst) >= word as u8
    }
}

/// Tells workers to stop or to end, and waits for them. Each listener has its own, and the host tells them all.
#[derive(Default, Debug)]
pub struct Shutdown(Arc<ShutdownState>);

/// A worker's end: hears the word, and is waited for until it is dropped.
#[derive(Debug)]
pub struct Stopping(Arc<ShutdownState>);

impl Shutdown {
    /// An end for one more worker.
    pub fn worker(&self) -> Stopping {
        Stopping::of(&self.0)
    }

    /// Tells all workers to take nothing new and finish what runs.
    pub fn begin(&self) {
        self.0.say(Word::Stop);
    }

    /// Waits until all workers are gone, at most for `limit`; answers whether they are. Cancel safe.
    pub async fn idle(&self, limit: Duration) -> bool {
        jackfield_timers::timeout(limit, self.gone()).await.is_ok()
    }

    /// Waits until all workers are gone, at most for `limit`; then tells the others to end, and
    /// waits until they have, but not for those that do not within [`END_LIMIT`]: code that blocks
    /// keeps them. Answers `None` if all were gone in time, else what `late` said when time was up.
    pub async fn finish<T>(&self, limit: Duration, late: impl FnOnce() -> T) -> Option<T> {
        if self.idle(limit).await {
            return None;
        }
        let answer = late();
        self.0.say(Word::End);
        // Who does not end now is left behind.
        let _ = self.idle(END_LIMIT).await;
        Some(answer)
    }

    async fn gone(&self) {
        loop {
            let mut idle = std::pin::pin!(self.0.idle.notified());
            // Before the count is read: the last worker may go in between.
            idle.as_mut().enable();
            if self.0.workers.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Shutdown {
    /// Nobody is left to say more.
    fn drop(&mut self) {
        self.0.say(Word::End);
    }
}

impl Stopping {
    fn of(shared: &Arc<ShutdownState>) -> Self {
        shared.workers.fetch_add(1, Ordering::SeqCst);
        Stopping(Arc::clone(shared))
    }

    /// Completes when workers are to stop. Cancel safe.
    pub fn told(&self) -> WordHeard<'_> {
        self.heard(Word::Stop)
    }

    /// Completes when workers are to end at once. Cancel safe.
    pub fn ended(&self) -> WordHeard<'_> {
        self.heard(Word::End)
    }

    /// Completes when the time has passed in which workers told to end may report that. Cancel safe.
    pub async fn overdue(&self) {
        self.ended().await;
        // Boxed: whoever waits keeps no room for it.
        Box::pin(jackfield_timers::sleep(LAST_WORDS)).await;
    }

    fn heard(&self, word: Word) -> WordHeard<'_> {
        WordHeard { shared: &self.0, word, place: NOWHERE, task: 0 }
    }
}

impl Clone for Stopping {
    fn clone(&self) -> Self {
        Stopping::of(&self.0)
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        if self.0.workers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Completes when the word, or a later one, has been said.
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct WordHeard<'a> {
    shared: &'a ShutdownState,
    word: Word,
    /// Of its waker, or [`NOWHERE`].
    place: u32,
    /// The address of what that waker wakes, which nothing else can have while the waker is there: as long as the task
    /// stays the same, it takes no lock to wait on. 0 for a waker without one, which says nothing.
    task: usize,
}

/// The place of a waker that there is not. 4 billion waits at a time are more than memory holds.
const NOWHERE: u32 = u32::MAX;

impl Future for WordHeard<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        if shared.has_said(self.word) {
            return Poll::Ready(());
        }
        let now = cx.waker();
        if self.task != 0 && self.task == now.data().addr() {
            return Poll::Pending;
        }
        let mut waiting = shared.waiting.lock().ignore_poison();
        // Again under the lock: who says it takes the wakers after it was said.
        if shared.has_said(self.word) {
            return Poll::Ready(());
        }
        match waiting.get_mut(self.place as usize) {
            Some(waker) => waker.clone_from(now),
            None => self.place = u32::try_from(waiting.insert(now.clone())).unwrap_or(NOWHERE),
        }
        // That of the clone: a waker that is lent for one poll may have another address.
        self.task = waiting.get(self.place as usize).map_or(0, |waker| waker.data().addr());
        Poll::Pending
    }
}

impl Drop for WordHeard<'_> {
    fn drop(&mut self) {
        if self.place == NOWHERE {
            return;
        }
        let waker = self.shared.waiting.lock().ignore_poison().try_remove(self.place as usize);
        // Dropped without the lock: it may be the last of its task.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finishing_ends_with_the_last_worker() {
        let shutdown = Shutdown::default();
        let first = shutdown.worker();
        let second = first.clone();
        shutdown.begin();
        first.told().await;
        drop((first, second));
        assert_eq!(shutdown.finish(Duration::from_secs(1), || ()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_still_work_are_ended() {
        let shutdown = Shutdown::default();
        let stubborn = shutdown.worker();
        shutdown.begin();
        let work = tokio::spawn(async move { stubborn.ended().await });
        assert_eq!(shutdown.finish(Duration::from_secs(1), || 1).await, Some(1));
        assert!(work.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_many_hears_its_own_word_once_it_is_said() {
        let shutdown = Shutdown::default();
        let wait = |least: Word| {
            let worker = shutdown.worker();
            tokio::spawn(async move { worker.heard(least).await })
        };
        let (told, ended): (Vec<_>, Vec<_>) =
            (0..10).map(|_| (wait(Word::Stop), wait(Word::End))).unzip();
        let dropped = wait(Word::End);
        tokio::task::yield_now().await;
        dropped.abort();
        shutdown.begin();
        for worker in told {
            assert!(worker.await.is_ok());
        }
        assert!(ended.iter().all(|worker| !worker.is_finished()));
        drop(shutdown);
        for worker in ended {
            assert!(worker.await.is_ok());
        }
    }

    /// Whether a poll with the waker of this task leaves it waiting.
    async fn is_pending(mut wait: Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_goes_to_another_task_is_woken_there() {
        let shutdown = Shutdown::default();
        let worker: &'static Stopping = Box::leak(Box::new(shutdown.worker()));
        let mut wait = Box::pin(worker.told());
        assert!(is_pending(wait.as_mut()).await);
        let elsewhere = tokio::spawn(wait);
        tokio::task::yield_now().await;
        shutdown.begin();
        assert!(elsewhere.await.is_ok());
    }

    #[cfg(debug_assertions)]
    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_on_takes_no_lock() {
        let shutdown = Shutdown::default();
        let worker = shutdown.worker();
        let mut wait = std::pin::pin!(worker.ended());
        assert!(is_pending(wait.as_mut()).await);
        let before = crate::lock::taken();
        for _ in 0..10 {
            assert!(is_pending(wait.as_mut()).await);
        }
        assert_eq!(crate::lock::taken(), before);
    }

    #[test]
    fn a_wait_is_small() {
        // Every connection keeps two of them.
        assert!(size_of::<WordHeard<'_>>() <= 24);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_end_are_left_behind() {
        let shutdown = Shutdown::default();
        let stuck = shutdown.worker();
        shutdown.begin();
        assert_eq!(shutdown.finish(Duration::from_secs(1), || 1).await, Some(1));
        drop(stuck);
    }
}
