//! The tasks that wait for the socket: the receiver, the sender, and those that wait for an answer.

use futures_util::task::AtomicWaker;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// How many pings and closes may wait at once.
const MOST_WAITING: usize = 16;

/// One waker for the carrier that wakes all of them: each may read for the others, so that a ping
/// is answered whether or not messages are received.
#[derive(Default)]
pub(crate) struct Wakers {
    pub(crate) receiver: AtomicWaker,
    pub(crate) sender: AtomicWaker,
    waiting: Mutex<Vec<(u64, Option<Waker>)>>,
    /// How many are in `waiting`, readable without its lock.
    count: AtomicUsize,
    next: AtomicU64,
}

impl Wakers {
    pub(crate) fn anybody_waits(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    pub(crate) fn wake_all(&self) {
        self.receiver.wake();
        self.sender.wake();
        if self.anybody_waits() {
            let woken: Vec<Waker> =
                self.waiting().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
            woken.into_iter().for_each(Waker::wake);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(u64, Option<Waker>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

/// A place among those who wait; given up on drop.
pub(crate) struct Waiter<'a> {
    wakers: &'a Wakers,
    id: u64,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(wakers: &'a Wakers) -> Result<Self> {
        let mut waiting = wakers.waiting();
        if waiting.len() >= MOST_WAITING {
            return Err(Error::new(ErrorKind::Limit, "too many pings wait for an answer"));
        }
        let id = wakers.next.fetch_add(1, Ordering::Relaxed);
        waiting.push((id, None));
        wakers.count.store(waiting.len(), Ordering::Release);
        Ok(Waiter { wakers, id })
    }

    /// To be called before each poll of the socket.
    pub(crate) fn register(&self, waker: &Waker) {
        if let Some((_, slot)) = self.wakers.waiting().iter_mut().find(|(id, _)| *id == self.id) {
            *slot = Some(waker.clone());
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.wakers.waiting();
        waiting.retain(|(id, _)| *id != self.id);
        self.wakers.count.store(waiting.len(), Ordering::Release);
    }
}
