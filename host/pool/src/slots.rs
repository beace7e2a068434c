//! [`Slots`]: the state of a pool. No I/O, no clock, no task: each step takes the time as an
//! argument and leaves what is to be done outside the lock in [`Effects`].

mod opening;
mod returning;
mod upkeep;

use std::task::Waker;
use std::time::{Duration, Instant};

use super::chain::Chains;
use super::config::Bounds;
use super::effects::Effects;
use super::error::AcquireError;
use super::queue::{Arrival, Ticket, WaitQueue, WaitResult};
use super::stats::{CloseCause, PoolTotals};

/// One use of one member. It is given back exactly once, by value.
#[derive(Debug)]
#[must_use = "a lost checkout keeps its member in use for ever"]
pub(super) struct Checkout {
    slot: usize,
    arrival: Arrival,
    /// The member was unused for so long that it is to be tested, and has not been yet.
    pub(super) test: bool,
    /// The member has been opened this moment.
    pub(super) fresh: bool,
    /// Since when its user has it tested; see [`Slots::doubt`].
    doubted: Option<Instant>,
}

impl Checkout {
    /// Whether its user has the member tested.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.is_some()
    }
}

/// What becomes of a member that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next may have it.
    Keep,
    /// It is handed out no more.
    Close(CloseCause),
}

/// How a request for a member went.
#[derive(Debug)]
pub(super) enum Requested<M> {
    /// Served, or refused, at once.
    Done(WaitResult<M>),
    /// Has to wait.
    Waits(Ticket<M>),
}

#[derive(Debug)]
struct PoolSlot<M> {
    member: M,
    users: usize,
    /// Last returned or, if never used, opened.
    since: Instant,
    opened: Instant,
    /// The part of `max_lifetime` this member does without, 0.0 to 0.1.
    jitter: f64,
    expires: Option<Instant>,
    /// It is handed out no more, and why.
    retired: Option<CloseCause>,
    used: bool,
    /// Users that have it tested: no new user gets it meanwhile.
    doubts: usize,
}

impl<M> PoolSlot<M> {
    /// Whether one more user may have it, where `share` may at once.
    fn is_free(&self, share: usize) -> bool {
        self.retired.is_none() && self.doubts == 0 && self.users < share
    }
}

/// Members, callers and permissions to open, and the rules that hold them together:
///
/// - open and opening members together never exceed `max_size`, nor users of a member `share`
///   (apart from those that were there when an option was lowered);
/// - callers are served in the order they came;
/// - every checkout and every approval comes back.
#[derive(Debug)]
pub(super) struct Slots<M> {
    limits: Bounds,
    /// Chained by number of users, the last returned first: unused members are chain 0, full and
    /// retired ones are in none.
    members: Chains<PoolSlot<M>>,
    queue: WaitQueue<M>,
    opening: usize,
    /// Members with users.
    in_use: usize,
    users: usize,
    closed: bool,
    /// When the maintenance task is to look, as far as it knows.
    alarm: Option<Instant>,
    /// Opening for `min_idle` pauses until then, after that many failures.
    warm_after: Option<Instant>,
    warm_failures: u32,
    totals: PoolTotals,
}

/// Unused members.
const IDLE: usize = 0;
impl<M: Clone> Slots<M> {
    pub(super) fn new(limits: Bounds) -> Self {
        Self {
            members: Chains::new(limits.share),
            limits,
            queue: WaitQueue::new(),
            opening: 0,
            in_use: 0,
            users: 0,
            closed: false,
            alarm: None,
            warm_after: None,
            warm_failures: 0,
            totals: PoolTotals::default(),
        }
    }

    pub(super) fn limits(&self) -> &Bounds {
        &self.limits
    }

    /// A caller asks for a member; without a deadline it is `acquire_timeout` from now.
    pub(super) fn request(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        waker: &Waker,
        fx: &mut Effects<M>,
    ) -> Requested<M> {
        let arrival = self.queue.arrive();
        self.serve_or_queue(arrival, now, deadline, waker, fx)
    }

    /// A caller asks for a member that is there and needs no test; it never waits.
    pub(super) fn request_now(
        &mut self,
        now: Instant,
        fx: &mut Effects<M>,
    ) -> Option<(Checkout, M)> {
        if self.closed || !self.queue.is_empty() {
            return None;
        }
        let arrival = self.queue.arrive();
        let (checkout, member) = self.take(arrival, now, fx)?;
        if checkout.test {
            // The others have been unused for longer still.
            self.give_back(checkout, Verdict::Keep, now, fx);
            return None;
        }
        self.totals.direct += 1;
        if self.lacks_idle() {
            self.approve(now, fx);
        }
        Some((checkout, member))
    }

    /// A caller found the member it was given unfit, and asks for another in its old place.
    pub(super) fn replace(
        &mut self,
        checkout: Checkout,
        cause: CloseCause,
        now: Instant,
        deadline: Option<Instant>,
        waker: &Waker,
        fx: &mut Effects<M>,
    ) -> Requested<M> {
        let arrival = checkout.arrival;
        self.settle_lease(checkout, Verdict::Close(cause), now, fx);
        let request = self.serve_or_queue(arrival, now, deadline, waker, fx);
        self.serve(now, fx);
        request
    }

    fn serve_or_queue(
        &mut self,
        arrival: Arrival,
        now: Instant,
        deadline: Option<Instant>,
        waker: &Waker,
        fx: &mut Effects<M>,
    ) -> Requested<M> {
        if self.closed {
            return Requested::Done(Err(AcquireError::Closed));
        }
        if !self.queue.is_ahead_of(arrival)
            && let Some(served) = self.take(arrival, now, fx)
        {
            self.totals.direct += 1;
            if self.lacks_idle() {
                self.approve(now, fx);
            }
            return Requested::Done(Ok(served));
        }
        self.wait(arrival, now, deadline, waker, fx)
    }

    #[cold]
    fn wait(
        &mut self,
        arrival: Arrival,
        now: Instant,
        deadline: Option<Instant>,
        waker: &Waker,
        fx: &mut Effects<M>,
    ) -> Requested<M> {
        let deadline = deadline.unwrap_or_else(|| later(now, self.limits.acquire_timeout));
        if deadline <= now {
            self.totals.timed_out += 1;
            return Requested::Done(Err(self.timed_out(Duration::ZERO)));
        }
        // Those for whom a member can still be opened do not count.
        let room = self.limits.max_size.saturating_sub(self.members.count());
        let most = self.limits.max_waiters.saturating_add(room.saturating_mul(self.limits.share));
        if self.queue.len() >= most {
            self.totals.refused += 1;
            return Requested::Done(Err(AcquireError::TooManyWaiters {
                waiting: self.queue.len(),
                in_use: self.in_use,
                max_size: self.limits.max_size,
            }));
        }
        let ticket = self.queue.join(arrival, now, deadline, waker);
        self.wake_by(deadline, fx);
        self.approve(now, fx);
        let promised = self.opening.saturating_mul(self.limits.share);
        if self.members.count() + self.opening >= self.limits.max_size
            && self.queue.len() > promised
        {
            fx.exhausted(self.limits.max_size, self.queue.len());
        }
        Requested::Waits(ticket)
    }

    /// A waiting caller gives up; a member assigned to it goes to the next.
    pub(super) fn leave(
        &mut self,
        ticket: Ticket<M>,
        now: Instant,
        fx: &mut Effects<M>,
    ) -> (Option<M>, Option<Waker>) {
        self.totals.cancelled += 1;
        match self.queue.leave(ticket) {
            (Some(Ok((checkout, member))), waker) => {
                self.give_back(checkout, Verdict::Keep, now, fx);
                (Some(member), waker)
            }
            (_, waker) => (None, waker),
        }
    }

    /// Hands free members to those who wait, then sees what is to be opened.
    fn serve(&mut self, now: Instant, fx: &mut Effects<M>) {
        while let Some(arrival) = self.queue.next()
            && let Some(served) = self.take(arrival, now, fx)
        {
            self.serve_next(served, now, fx);
        }
        while (self.members.count() + self.opening > self.limits.max_size
            || self.members.len(IDLE) > self.limits.max_idle)
            && let Some(key) = self.members.last(IDLE)
        {
            self.retire(key, CloseCause::Surplus, fx);
        }
        if !self.queue.is_empty() || self.lacks_idle() {
            self.approve(now, fx);
        }
        self.note_drained(fx);
    }

    /// The least used member, and of those the last returned.
    fn take(
        &mut self,
        arrival: Arrival,
        now: Instant,
        fx: &mut Effects<M>,
    ) -> Option<(Checkout, M)> {
        loop {
            let key = self.members.first_of_all()?;
            let slot = self.members.get_mut(key)?;
            if slot.expires.is_some_and(|expires| expires <= now) {
                self.retire(key, CloseCause::Lifetime, fx);
                continue;
            }
            let unused = slot.users == 0;
            let checkout = Checkout {
                slot: key,
                arrival,
                test: unused
                    && slot.used
                    && now.saturating_duration_since(slot.since) >= self.limits.test_idle,
                fresh: !slot.used && slot.since == now,
                doubted: None,
            };
            slot.users += 1;
            slot.used = true;
            let (users, member) = (slot.users, slot.member.clone());
            self.users += 1;
            self.in_use += usize::from(unused);
            if users < self.limits.share {
                self.members.push_first(users, key);
            } else {
                self.members.unlink(key);
            }
            return Some((checkout, member));
        }
    }

    /// Stops handing out `key`; it leaves the pool once its last user is done.
    fn retire(&mut self, key: usize, cause: CloseCause, fx: &mut Effects<M>) {
        self.members.unlink(key);
        let Some(slot) = self.members.get_mut(key) else { return };
        // A member whose user keeps it is not the pool's to close, nor one that has been closed.
        let cause = match slot.retired {
            Some(earlier @ (CloseCause::Detached | CloseCause::Abandoned)) => earlier,
            _ => cause,
        };
        slot.retired = Some(cause);
        if slot.users > 0 {
            return;
        }
        if let Some(slot) = self.members.remove(key) {
            self.totals.close(cause);
            if !matches!(cause, CloseCause::Detached | CloseCause::Abandoned) {
                fx.close(slot.member, cause);
            }
        }
    }

    fn wake_by(&mut self, due: Instant, fx: &mut Effects<M>) {
        if self.alarm.is_none_or(|alarm| due < alarm) {
            self.alarm = Some(due);
            fx.alarm();
        }
    }

    fn note_drained(&self, fx: &mut Effects<M>) {
        if self.is_drained() {
            fx.drained();
        }
    }

    fn timed_out(&self, waited: Duration) -> AcquireError {
        AcquireError::TimedOut {
            waited,
            in_use: self.in_use,
            opening: self.opening,
            waiting: self.queue.len(),
            max_size: self.limits.max_size,
        }
    }
}

/// `span` after `time`; as good as never where the clock does not reach that far.
fn later(time: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
    time.checked_add(span).or_else(|| time.checked_add(FAR)).unwrap_or(time)
}

#[cfg(test)]
mod tests;
