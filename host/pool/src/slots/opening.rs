//! Members on their way into a pool: who may open one, and what comes of it.

use std::time::{Duration, Instant};

use jackfield_plugin_api::Error;

use super::{Bounds, IDLE, PoolSlot, Slots, later};
use crate::effects::{Approval, Effects};
use crate::error::AcquireError;
use crate::stats::CloseCause;

/// The pause after the first failure to open for `min_idle`; doubled up to [`WARM_PAUSE_MOST`].
const WARM_PAUSE: Duration = Duration::from_millis(500);
const WARM_PAUSE_MOST: Duration = Duration::from_secs(30);

impl<M: Clone> Slots<M> {
    /// A member has been opened. `jitter` is a random number from 0 to 1.
    pub(crate) fn opened(
        &mut self,
        approval: Approval,
        member: M,
        jitter: f64,
        now: Instant,
        fx: &mut Effects<M>,
    ) {
        approval.spend();
        self.opening -= 1;
        self.totals.opened += 1;
        (self.warm_failures, self.warm_after) = (0, None);
        if self.closed {
            self.totals.close(CloseCause::Drained);
            fx.close(member, CloseCause::Drained);
            return self.note_drained(fx);
        }
        let mut slot = PoolSlot {
            member,
            users: 0,
            since: now,
            opened: now,
            jitter: jitter.clamp(0.0, 1.0) / 10.0,
            expires: None,
            retired: None,
            used: false,
            doubts: 0,
        };
        slot.expires = expiry(&slot, &self.limits);
        let expires = slot.expires;
        let key = self.members.insert(slot);
        self.members.push_first(IDLE, key);
        let idle = self.limits.max_idle_time.map(|idle| later(now, idle));
        for due in [expires, idle].into_iter().flatten() {
            self.wake_by(due, fx);
        }
        self.serve(now, fx);
    }

    /// A member could not be opened: the caller who is next is told, the others get their own try.
    pub(crate) fn open_failed(
        &mut self,
        approval: Approval,
        error: Error,
        now: Instant,
        fx: &mut Effects<M>,
    ) {
        approval.spend();
        self.opening -= 1;
        self.totals.open_failed += 1;
        let pause = WARM_PAUSE.saturating_mul(1 << self.warm_failures.min(10)).min(WARM_PAUSE_MOST);
        self.warm_failures = self.warm_failures.saturating_add(1);
        self.warm_after = Some(later(now, pause));
        if let Some((_, waker)) = self.queue.serve(Err(AcquireError::Open(error)), now) {
            fx.wake(waker);
        }
        self.serve(now, fx);
    }

    /// Whether a caller that comes now need not wait for another caller.
    pub(crate) fn has_room(&self) -> bool {
        let free = self.members.first_of_all().is_some() && self.queue.is_empty();
        let room = self.limits.max_size.saturating_sub(self.members.count());
        free || self.queue.len() < room.saturating_mul(self.limits.share)
    }

    pub(super) fn lacks_idle(&self) -> bool {
        self.limits.min_idle > self.members.len(IDLE) && !self.closed
    }

    /// Approves openings for those who wait and for `min_idle`, as far as `max_size` allows.
    pub(super) fn approve(&mut self, now: Instant, fx: &mut Effects<M>) {
        if self.closed {
            return;
        }
        let mut wanted = self.queue.len().div_ceil(self.limits.share);
        if self.lacks_idle() {
            match self.warm_after.filter(|after| *after > now) {
                Some(after) => self.wake_by(after, fx),
                None => wanted += self.limits.min_idle - self.members.len(IDLE),
            }
        }
        while self.opening < wanted && self.members.count() + self.opening < self.limits.max_size {
            self.opening += 1;
            fx.approve();
        }
    }
}

pub(super) fn expiry<M>(slot: &PoolSlot<M>, limits: &Bounds) -> Option<Instant> {
    limits.max_lifetime.map(|lifetime| later(slot.opened, lifetime.mul_f64(1.0 - slot.jitter)))
}
