//! [`Subscription`]: what unsubscribes when it is dropped.

use super::BusState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// Unsubscribes when dropped. An event that is being delivered at that moment may still arrive.
#[must_use = "dropping it unsubscribes"]
#[derive(Debug)]
pub struct Subscription {
    shared: Weak<BusState>,
    id: u64,
    paused: Arc<AtomicBool>,
}

impl Subscription {
    pub(super) fn new(shared: &Arc<BusState>, id: u64, paused: Arc<AtomicBool>) -> Self {
        Subscription { shared: Arc::downgrade(shared), id, paused }
    }

    /// Leaves out events from now on, until [`Subscription::resume`].
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Takes events again.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Whether it still gets events: not after its one event if it was for one, after a panic, after the
    /// end, nor if there were as many subscribers as there may be ([`BusLimits::subscribers`](super::BusLimits::subscribers)).
    pub fn is_active(&self) -> bool {
        self.shared.upgrade().is_some_and(|shared| {
            let inner = shared.lock();
            !inner.closed && inner.subscribers.iter().any(|subscriber| subscriber.id == self.id)
        })
    }
}

/// Unsubscribes when dropped, and cancels the call that runs.
#[must_use = "dropping it unsubscribes"]
#[derive(Debug)]
pub struct AsyncSubscription(JoinHandle<()>);

impl AsyncSubscription {
    pub(super) fn new(task: JoinHandle<()>) -> Self {
        AsyncSubscription(task)
    }

    /// Waits until everything up to the end has been handled. Cancel safe, but dropping it
    /// unsubscribes.
    pub async fn finished(mut self) {
        // It is aborted by nothing but the drop of this.
        let _ = (&mut self.0).await;
    }
}

impl Drop for AsyncSubscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.remove(&[self.id]);
        }
    }
}
