//! [`Shared`]: the state machine behind its lock, and what it asks for being done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::connect::Connect;
use super::effects::{Approval, Effects};
use super::maintain;
use super::recent::Recent;
use super::slots::{Lease, Slots, Verdict};
use super::stats::CloseCause;

/// What pools, guards, waiting callers and tasks of one pool have in common.
pub(super) struct Shared<C: Connect> {
    slots: Mutex<Slots<Arc<C::Member>>>,
    pub(super) recent: Recent,
    /// A caller waits, or did a moment ago. A hint: who goes by an old value loses time, nothing else.
    crowded: AtomicBool,
    pub(super) connect: Arc<C>,
    pub(super) runtime: Handle,
    /// Tells the maintenance task that its alarm was set earlier, or that the pool is gone.
    pub(super) alarm: Arc<Notify>,
    /// Tells openings that the pool is closed.
    pub(super) closed: watch::Sender<bool>,
    pub(super) drained: Notify,
}

/// The clock of the runtime, which tests can pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<C: Connect> Shared<C> {
    pub(super) fn new(connect: C, slots: Slots<Arc<C::Member>>, runtime: Handle) -> Self {
        Self {
            slots: Mutex::new(slots),
            recent: Recent::new(now()),
            crowded: AtomicBool::new(false),
            connect: Arc::new(connect),
            runtime,
            alarm: Arc::new(Notify::new()),
            closed: watch::Sender::new(false),
            drained: Notify::new(),
        }
    }

    // No code of a user runs under the lock, and every step leaves the state whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Slots<Arc<C::Member>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member, if there is one for a caller that comes now, before anybody waits.
    pub(super) fn request_now(self: &Arc<Self>) -> Option<(Lease, Arc<C::Member>)> {
        let mut fx = Effects::none();
        let now = self.recently();
        let served = self.lock().request_now(now, &mut fx);
        self.apply(fx);
        served
    }

    pub(super) fn give_back(self: &Arc<Self>, lease: Lease, verdict: Verdict) {
        let mut fx = Effects::none();
        let crowded = self.is_crowded();
        // How long a caller has waited is measured; since when a member is unused need not be.
        let now = if crowded { now() } else { self.recently() };
        let is_waited_for = {
            let mut slots = self.lock();
            slots.give_back(lease, verdict, now, &mut fx);
            slots.is_waited_for()
        };
        if crowded != is_waited_for {
            self.crowded.store(is_waited_for, Ordering::Relaxed);
        }
        self.apply(fx);
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    pub(super) fn note_waiting(&self) {
        self.crowded.store(true, Ordering::Relaxed);
    }

    /// The time, at most [`GRAIN`](super::recent::GRAIN) old.
    fn recently(&self) -> Instant {
        self.recent.get().unwrap_or_else(|| {
            let now = now();
            if self.recent.wake(now) {
                self.alarm.notify_one();
            }
            now
        })
    }

    /// Does what a step asked for. Never under the lock.
    pub(super) fn apply(self: &Arc<Self>, fx: Effects<Arc<C::Member>>) {
        if !fx.is_none() {
            self.apply_some(fx);
        }
    }

    fn apply_some(self: &Arc<Self>, mut fx: Effects<Arc<C::Member>>) {
        fx.wake_all();
        for approval in fx.approvals {
            self.spawn_open(approval);
        }
        if fx.alarm {
            self.alarm.notify_one();
        }
        if fx.drained {
            self.drained.notify_waiters();
        }
        for (member, cause) in fx.closes {
            close(&*self.connect, member, cause);
        }
    }

    fn spawn_open(self: &Arc<Self>, approval: Approval) {
        drop(self.runtime.spawn(maintain::open(self, approval)));
    }
}

/// Closes a member; a panic of the hook stays here, as this also runs while unwinding.
pub(super) fn close<C: Connect>(connect: &C, member: Arc<C::Member>, cause: CloseCause) {
    if catch_unwind(AssertUnwindSafe(|| connect.close(member, cause))).is_err() {
        tracing::warn!(%cause, "closing a pooled connection panicked");
    }
}

impl<C: Connect> Drop for Shared<C> {
    fn drop(&mut self) {
        let mut fx = Effects::none();
        let slots = self.slots.get_mut().unwrap_or_else(PoisonError::into_inner);
        slots.close(now(), &mut fx);
        self.closed.send_replace(true);
        self.alarm.notify_one();
        for (member, cause) in fx.closes {
            close(&*self.connect, member, cause);
        }
    }
}
