//! What happens to a pool besides being used: time passes, options change, it ends.

use std::time::{Duration, Instant};

use super::opening::expiry;
use super::{Bounds, IDLE, Slots, later};
use crate::effects::Effects;
use crate::error::AcquireError;
use crate::recent::GRAIN;
use crate::stats::{CloseCause, Stats};

/// Members are not looked at more often than this, nor than a tenth of `max_idle_time`.
const REAP_GRANULE: Duration = Duration::from_secs(1);

impl<M: Clone> Slots<M> {
    /// The maintenance task looks: ends what is over, and says when to look again.
    pub(crate) fn tick(&mut self, now: Instant, fx: &mut Effects<M>) -> Option<Instant> {
        let reason = self.timed_out(Duration::ZERO);
        let late = self.queue.expire(now, |elapsed| match reason.clone() {
            AcquireError::TimedOut { in_use, opening, waiting, max_size, .. } => {
                AcquireError::TimedOut { waited: elapsed, in_use, opening, waiting, max_size }
            }
            other => other,
        });
        for waker in late {
            self.totals.timed_out += 1;
            fx.wake(waker);
        }
        self.reap(now, fx);
        self.serve(now, fx);
        let granule = self.limits.max_idle_time.map_or(Duration::ZERO, |idle| idle / 10);
        let reap = self.next_reap().map(|due| due.max(later(now, granule.min(REAP_GRANULE))));
        let warm = self.warm_after.filter(|_| self.lacks_idle() && !self.is_full());
        let warm = warm.filter(|after| *after > now);
        self.alarm = [self.queue.deadline(), reap, warm].into_iter().flatten().min();
        self.alarm
    }

    fn is_full(&self) -> bool {
        self.members.count() + self.opening >= self.limits.max_size
    }

    fn reap(&mut self, now: Instant, fx: &mut Effects<M>) {
        let old: Vec<usize> = (self.members.iter())
            .filter(|(_, slot)| slot.retired.is_none())
            .filter(|(_, slot)| slot.expires.is_some_and(|expires| expires <= now))
            .map(|(key, _)| key)
            .collect();
        for key in old {
            self.retire(key, CloseCause::Lifetime, fx);
        }
        let Some(most) = self.limits.max_idle_time else { return };
        while self.members.len(IDLE) > self.limits.min_idle
            && let Some(key) = self.members.last(IDLE)
            && self.members.get(key).is_some_and(|slot| later(slot.since, most) <= now)
        {
            self.retire(key, CloseCause::Idle, fx);
        }
    }

    /// When the next member is too old, or unused for too long.
    fn next_reap(&self) -> Option<Instant> {
        let old = (self.members.iter())
            .filter(|(_, slot)| slot.retired.is_none())
            .filter_map(|(_, slot)| slot.expires)
            .min();
        let spare = self.members.len(IDLE) > self.limits.min_idle;
        let unused = self.members.last(IDLE).and_then(|key| self.members.get(key));
        let unused = unused.filter(|_| spare).zip(self.limits.max_idle_time);
        let idle = unused.map(|(slot, most)| later(slot.since, most));
        [old, idle].into_iter().flatten().min()
    }

    /// Puts new limits in force.
    pub(crate) fn set_limits(&mut self, limits: Bounds, now: Instant, fx: &mut Effects<M>) {
        self.limits = limits;
        self.members.rechain(self.limits.share);
        let mut free = Vec::new();
        for (key, slot) in self.members.iter_mut() {
            slot.expires = expiry(slot, &self.limits);
            if slot.is_free(self.limits.share) {
                free.push((slot.since, slot.users, key));
            }
        }
        free.sort_unstable();
        for (_, users, key) in free {
            self.members.push_first(users, key);
        }
        self.serve(now, fx);
        fx.alarm();
    }

    /// Closes the pool: callers are refused, unused members closed, used ones when they come back.
    pub(crate) fn close(&mut self, now: Instant, fx: &mut Effects<M>) {
        self.closed = true;
        while let Some((_, waker)) = self.queue.serve(Err(AcquireError::Closed), now) {
            fx.wake(waker);
        }
        let all: Vec<usize> = self.members.iter().map(|(key, _)| key).collect();
        for key in all {
            self.retire(key, CloseCause::Drained, fx);
        }
        self.note_drained(fx);
    }

    /// Closes the members that are still in use in a closed pool; how many those are.
    pub(crate) fn abandon(&mut self, fx: &mut Effects<M>) -> usize {
        let mut count = 0;
        for (_, slot) in self.members.iter_mut() {
            if matches!(slot.retired, Some(CloseCause::Abandoned | CloseCause::Detached)) {
                continue;
            }
            count += 1;
            slot.retired = Some(CloseCause::Abandoned);
            fx.close(slot.member.clone(), CloseCause::Abandoned);
        }
        count
    }

    /// A closed pool with nothing in use or being opened.
    pub(crate) fn is_drained(&self) -> bool {
        self.closed && self.users == 0 && self.opening == 0
    }

    /// Whether returned members may bypass the state machine (fast path): nobody
    /// waits for it, and no option asks for more than its time.
    pub(crate) fn is_calm(&self) -> bool {
        let Bounds { share, min_idle, max_idle, test_idle, .. } = self.limits;
        let simple = share == 1 && min_idle == 0 && max_idle > 0 && test_idle > GRAIN;
        simple && self.queue.is_empty() && !self.closed
    }

    /// Whether a caller waits.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            idle: self.members.count() - self.in_use,
            in_use: self.in_use,
            users: self.users,
            opening: self.opening,
            waiting: self.queue.len(),
            max_size: self.limits.max_size,
            totals: self.totals.clone(),
        }
    }
}
