//! [`PoolCore`]: the state machine behind its lock, and what it asks for being done.

use jackfield_lock::IgnorePoison;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::connect::Connect;
use super::effects::{Approval, Effects};
use super::guard::{Hand, PoolEntry, Pooled};
use super::maintain;
use super::pockets::{Apart, Pockets};
use super::recent::Recent;
use super::slots::{Checkout, Slots, Verdict};
use super::stats::{CloseCause, Stats};

/// What pools, guards, waiting callers and tasks of one pool have in common.
pub(super) struct PoolCore<C: Connect> {
    // Written by every core, and so on lines of their own.
    slots: Apart<Mutex<Slots<EntryRef<C>>>>,
    pub(super) pockets: Pockets<Hand<C>>,
    pub(super) recent: Recent,
    /// Somebody waits. A hint, written under the lock.
    crowded: Apart<AtomicBool>,
    pub(super) connect: Arc<C>,
    pub(super) runtime: Handle,
    /// Tells the maintenance task that its alarm was set earlier, or that the pool is gone.
    pub(super) alarm: Arc<Notify>,
    /// Tells openings that the pool is closed.
    pub(super) closed: watch::Sender<bool>,
    pub(super) drained: Notify,
}

/// What the state holds of a member.
pub(super) type EntryRef<C> = Arc<PoolEntry<C>>;

/// What a step asks for.
#[must_use = "callers wait for ever for what is not done"]
pub(super) struct Followup<C: Connect> {
    fx: Effects<EntryRef<C>>,
    /// The pockets were in use and may not be any longer.
    unrest: bool,
}

/// The clock of the runtime, which tests can pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<C: Connect> PoolCore<C> {
    pub(super) fn new(connect: C, slots: Slots<EntryRef<C>>, runtime: Handle) -> Self {
        Self {
            slots: Apart(Mutex::new(slots)),
            pockets: Pockets::new(),
            recent: Recent::new(now()),
            crowded: Apart(AtomicBool::new(false)),
            connect: Arc::new(connect),
            runtime,
            alarm: Arc::new(Notify::new()),
            closed: watch::Sender::new(false),
            drained: Notify::new(),
        }
    }

    /// Looks at the state, and changes nothing.
    // No code of a user runs under the lock, and every step leaves the state whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Slots<EntryRef<C>>> {
        self.slots.0.lock().ignore_poison()
    }

    /// Takes one step of the state machine. What it asks for is done by [`finish`](Self::finish), once what
    /// came of it is safe in a guard: wakers and hooks may panic.
    pub(super) fn step<R>(
        &self,
        step: impl FnOnce(&mut Slots<EntryRef<C>>, &mut Effects<EntryRef<C>>) -> R,
    ) -> (R, Followup<C>) {
        let mut fx = Effects::none();
        let mut slots = self.lock();
        let result = step(&mut slots, &mut fx);
        let unrest = self.pockets.note_calm(slots.is_calm());
        self.note_crowd(slots.is_crowded());
        drop(slots);
        (result, Followup { fx, unrest })
    }

    /// Does what a step asked for. Never under the lock.
    pub(super) fn finish(self: &Arc<Self>, after: Followup<C>) {
        if after.unrest {
            self.empty_pockets();
        }
        if !after.fx.is_none() {
            self.apply(after.fx);
        }
    }

    /// A step that hands out nothing, and all that it asks for.
    pub(super) fn run<R>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut Slots<EntryRef<C>>, &mut Effects<EntryRef<C>>) -> R,
    ) -> R {
        let (result, after) = self.step(step);
        self.finish(after);
        result
    }

    fn note_crowd(&self, crowded: bool) {
        // Most find it as it is; writing it each time would take the line from the other cores.
        if self.is_crowded() != crowded {
            self.crowded.0.store(crowded, Ordering::Relaxed);
        }
    }

    fn is_crowded(&self) -> bool {
        self.crowded.0.load(Ordering::Relaxed)
    }

    /// A member at once, unless others wait.
    pub(super) fn request_if_alone(self: &Arc<Self>) -> Option<Pooled<C>> {
        if self.is_crowded() { None } else { self.request_now() }
    }

    /// A member, if there is one for a caller that comes now, before anybody waits.
    pub(super) fn request_now(self: &Arc<Self>) -> Option<Pooled<C>> {
        if self.pockets.is_calm()
            && let Some(hand) = self.pockets.take(&self.recent)
        {
            return Some(Pooled::new(hand));
        }
        self.free_now().or_else(|| if self.empty_pockets() { self.free_now() } else { None })
    }

    fn free_now(self: &Arc<Self>) -> Option<Pooled<C>> {
        let now = self.recently();
        let (served, after) = self.step(|slots, fx| slots.request_now(now, fx));
        let served = served.map(|(checkout, entry)| Pooled::new(Hand { entry, checkout }));
        self.finish(after);
        served
    }

    /// Gives back what every pocket has; whether there was anything.
    pub(super) fn empty_pockets(self: &Arc<Self>) -> bool {
        let now = now();
        self.pockets.empty().fold(false, |_, (since, hand)| {
            let keep = Verdict::Keep;
            self.run(|slots, fx| slots.give_back_since(hand.checkout, keep, since, now, fx));
            true
        })
    }

    pub(super) fn give_back(self: &Arc<Self>, checkout: Checkout, verdict: Verdict) {
        let now = self.time_of_return();
        self.run(|slots, fx| slots.give_back(checkout, verdict, now, fx));
    }

    /// How long a caller has waited is measured; since when a member is unused need not be.
    fn time_of_return(&self) -> Instant {
        if self.is_crowded() { now() } else { self.recently() }
    }

    /// Keeps a returned member for the next caller on this core, if no other one needs it.
    pub(super) fn put_back(self: &Arc<Self>, mut hand: Hand<C>) {
        hand.checkout.fresh = false;
        let left = if self.pockets.is_calm() && !hand.checkout.is_doubted() {
            self.pockets.put(&self.recent, hand).err()
        } else {
            Some(hand)
        };
        if let Some(Hand { entry, checkout }) = left {
            let now = self.time_of_return();
            // It is dropped here, without the lock.
            let _held = self.run(|slots, fx| slots.pass_on(checkout, entry, now, fx));
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.lock().has_room() || self.pockets.counts().0 > 0
    }

    pub(super) fn stats(&self) -> Stats {
        let slots = self.lock();
        let mut stats = slots.stats();
        let (held, served) = self.pockets.counts();
        drop(slots);
        stats.idle += held;
        stats.in_use = stats.in_use.saturating_sub(held);
        stats.users = stats.users.saturating_sub(held);
        stats.totals.direct += served;
        stats
    }

    /// Nobody new gets the member until the checkout is given back.
    pub(super) fn doubt(self: &Arc<Self>, checkout: &mut Checkout) {
        let now = now();
        self.run(|slots, _| slots.doubt(checkout, now));
        // What a pocket has came back before now.
        self.empty_pockets();
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

    fn apply(self: &Arc<Self>, mut fx: Effects<EntryRef<C>>) {
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
        if let Some((max_size, waiting)) = fx.exhausted {
            let told = || self.connect.exhausted(max_size, waiting);
            if catch_unwind(AssertUnwindSafe(told)).is_err() {
                tracing::warn!("telling that a pool is exhausted panicked");
            }
        }
        for (entry, cause) in fx.closes {
            close(&*self.connect, Arc::clone(&entry.member), cause);
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
