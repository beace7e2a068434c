//! [`Queue`]: items that wait to be taken. Empty, it holds no memory, which is why it is here: a
//! channel of tokio's keeps room for 32 of them at all times. It has no bound of its own; what goes in
//! are the peer's streams, of which it may have only so many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    more: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Queue { state: Mutex::new(state), more: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, item: T) {
        self.state().waiting.push_back(item);
        self.more.notify_one();
    }

    /// Puts it in where fewer than `most` wait, or gives it back.
    pub(super) fn offer(&self, item: T, most: usize) -> Result<(), T> {
        let mut state = self.state();
        if state.waiting.len() >= most {
            return Err(item);
        }
        state.waiting.push_back(item);
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    /// The next one; `None` when no more will come.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            // Made before the look, so that what comes in between is not missed.
            let more = self.more.notified();
            {
                let mut state = self.state();
                let next = state.waiting.pop_front();
                // Two may have come with one notice, and another may wait.
                if !state.waiting.is_empty() {
                    self.more.notify_one();
                }
                if next.is_some() || state.closed {
                    return next;
                }
            }
            more.await;
        }
    }

    /// No more will come.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.more.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use std::sync::Arc;

    #[tokio::test]
    async fn all_that_wait_are_served_or_told_of_the_end() {
        let queue = Arc::new(Queue::new());
        let take = |queue: &Arc<Queue<u8>>| {
            let queue = Arc::clone(queue);
            tokio::spawn(async move { queue.next().await })
        };
        let waiting = [take(&queue), take(&queue), take(&queue)];
        tokio::task::yield_now().await;
        queue.push(1);
        assert_eq!(queue.offer(2, 2), Ok(()));
        queue.close();
        let mut got = Vec::new();
        for one in waiting {
            got.push(one.await.expect("a task that ends"));
        }
        got.sort();
        assert_eq!(got, [None, Some(1), Some(2)]);
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn an_offer_is_given_back_where_enough_wait() {
        let queue = Queue::new();
        assert_eq!(queue.offer(1, 1), Ok(()));
        assert_eq!(queue.offer(2, 1), Err(2));
        assert_eq!(queue.next().await, Some(1));
    }
}
