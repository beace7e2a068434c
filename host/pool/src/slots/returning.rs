//! Members that come back: to a waiting caller, to the unused ones, or out of the pool.

use std::time::Instant;

use super::{Checkout, IDLE, Slots, Verdict, later};
use crate::effects::Effects;
use crate::stats::CloseCause;

impl<M: Clone> Slots<M> {
    /// A user is done with a member.
    pub(crate) fn give_back(
        &mut self,
        checkout: Checkout,
        verdict: Verdict,
        now: Instant,
        fx: &mut Effects<M>,
    ) {
        self.give_back_since(checkout, verdict, now, now, fx);
    }

    /// A user is done with a member that may be used again, and hands back its hold of it. Where somebody
    /// waits for it, nothing but who uses it changes. What is handed out is to be dropped without the lock.
    pub(crate) fn pass_on(
        &mut self,
        checkout: Checkout,
        member: M,
        now: Instant,
        fx: &mut Effects<M>,
    ) -> Option<M> {
        let next = self.queue.next().filter(|_| self.limits.share == 1);
        let slot = self.members.get_mut(checkout.slot);
        let fit =
            slot.filter(|slot| slot.retired.is_none() && slot.expires.is_none_or(|at| at > now));
        let untested = checkout.test || checkout.is_doubted();
        let (Some(arrival), Some(slot), false) = (next, fit, untested) else {
            self.give_back(checkout, Verdict::Keep, now, fx);
            return Some(member);
        };
        slot.since = now;
        self.serve_next((Checkout { arrival, fresh: false, ..checkout }, member), now, fx);
        None
    }

    pub(super) fn serve_next(&mut self, served: (Checkout, M), now: Instant, fx: &mut Effects<M>) {
        if let Some((waited, waker)) = self.queue.serve(Ok(served), now) {
            self.totals.handed_over += 1;
            self.totals.waits.record(waited);
            fx.wake(waker);
        }
    }

    /// A user has been done with a member for a moment, since `since`.
    pub(crate) fn give_back_since(
        &mut self,
        checkout: Checkout,
        verdict: Verdict,
        since: Instant,
        now: Instant,
        fx: &mut Effects<M>,
    ) {
        self.settle_lease(checkout, verdict, since, fx);
        self.serve(now, fx);
    }

    /// A user doubts that its member works, and has it tested before it gives it back: no new caller gets it
    /// until then. If the test fails, members that were not used since now are given up with it.
    pub(crate) fn doubt(&mut self, checkout: &mut Checkout, now: Instant) {
        let Some(slot) = self.members.get_mut(checkout.slot) else { return };
        slot.doubts += usize::from(!checkout.is_doubted());
        checkout.doubted = Some(now);
        self.members.unlink(checkout.slot);
    }

    /// A user has its member tested while it goes on using it: no new caller gets it until
    /// [`Slots::checked`].
    pub(crate) fn check(&mut self, checkout: &Checkout) {
        let Some(slot) = self.members.get_mut(checkout.slot) else { return };
        slot.doubts += 1;
        self.members.unlink(checkout.slot);
    }

    /// What came of that test, which began at `since`. A member that failed it is closed once its users
    /// are done, and with it members that were not used since then.
    pub(crate) fn checked(
        &mut self,
        checkout: &Checkout,
        fit: bool,
        (since, now): (Instant, Instant),
        fx: &mut Effects<M>,
    ) {
        let (key, share) = (checkout.slot, self.limits.share);
        let Some(slot) = self.members.get_mut(key) else { return };
        slot.doubts -= 1;
        if !fit {
            self.retire(key, CloseCause::Invalid, fx);
            self.retire_unused_since(since, fx);
        } else if slot.is_free(share) {
            let users = slot.users;
            self.members.push_first(users, key);
        }
        self.serve(now, fx);
    }

    /// What happened to a member that does not answer has happened to those that were unused for as long.
    fn retire_unused_since(&mut self, moment: Instant, fx: &mut Effects<M>) {
        while let Some(key) = self.members.last(IDLE)
            && self.members.get(key).is_some_and(|slot| slot.since <= moment)
        {
            self.retire(key, CloseCause::Invalid, fx);
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a checkout is given back once")]
    pub(super) fn settle_lease(
        &mut self,
        checkout: Checkout,
        verdict: Verdict,
        now: Instant,
        fx: &mut Effects<M>,
    ) {
        let key = checkout.slot;
        let Some(slot) = self.members.get_mut(key) else { return };
        slot.users -= 1;
        slot.doubts -= usize::from(checkout.is_doubted());
        let unused_since = slot.since;
        if !checkout.test {
            slot.since = now;
        }
        let (users, old) = (slot.users, slot.expires.is_some_and(|expires| expires <= now));
        self.users -= 1;
        self.in_use -= usize::from(users == 0);
        match verdict {
            Verdict::Close(cause) => {
                self.retire(key, cause, fx);
                if cause == CloseCause::Invalid {
                    self.retire_unused_since(checkout.doubted.unwrap_or(unused_since), fx);
                }
            }
            Verdict::Keep => {
                let cause = slot.retired.or(old.then_some(CloseCause::Lifetime));
                if let Some(cause) = cause {
                    return self.retire(key, cause, fx);
                }
                if slot.is_free(self.limits.share) {
                    self.members.push_first(users, key);
                }
                if users == 0
                    && let Some(idle) = self.limits.max_idle_time
                {
                    self.wake_by(later(now, idle), fx);
                }
            }
        }
    }
}
