//! [`Wakers`]: everybody who waits for a carrier, woken together.

use futures_util::task::{ArcWake, AtomicWaker};
use std::sync::Arc;
use tokio::sync::Notify;

/// A reader may have to write an answer, and a caller that waits for an answer has to read: the carrier
/// wakes all, and each looks for what is its own.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    pub(crate) read: AtomicWaker,
    pub(crate) write: AtomicWaker,
    pub(crate) calls: Notify,
}

impl ArcWake for Wakers {
    fn wake_by_ref(wakers: &Arc<Self>) {
        wakers.read.wake();
        wakers.write.wake();
        wakers.calls.notify_waiters();
    }
}
