//! [`WaitQueue`]: callers that wait, strictly in the order they came.

use jackfield_lock::IgnorePoison;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::chain::Chains;
use super::error::AcquireError;
use super::slots::Checkout;

/// A caller's place in the order of all callers, kept when it has to wait again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival(u64);

/// The place of a waiting caller, until its outcome is taken or it leaves.
#[derive(Debug)]
#[must_use = "a caller that is neither polled nor leaves keeps its place for ever"]
pub(super) struct Ticket<M> {
    key: usize,
    place: Arc<Place<M>>,
}

/// What a caller waited for: a member, or why there is none.
pub(super) type WaitResult<M> = Result<(Checkout, M), AcquireError>;

/// Where who waits finds its outcome, without the lock of the pool, which is busy when callers wait. Who has
/// both locks took that of the pool first.
#[derive(Debug)]
struct Place<M>(Mutex<WaitTurn<M>>);

#[derive(Debug)]
enum WaitTurn<M> {
    /// Not served yet.
    Waits(Waker),
    Served(WaitResult<M>),
    /// It has taken its outcome, or left.
    Gone,
}

impl<M> Place<M> {
    fn lock(&self) -> MutexGuard<'_, WaitTurn<M>> {
        self.0.lock().ignore_poison()
    }

    /// Leaves the outcome there; whom to wake.
    fn serve(&self, outcome: WaitResult<M>) -> Option<Waker> {
        match mem::replace(&mut *self.lock(), WaitTurn::Served(outcome)) {
            WaitTurn::Waits(waker) => Some(waker),
            WaitTurn::Served(_) | WaitTurn::Gone => None,
        }
    }
}

impl<M> Ticket<M> {
    /// The outcome, or the ticket again and `waker` noted.
    pub(super) fn poll(self, waker: &Waker) -> Result<WaitResult<M>, Self> {
        let mut turn = self.place.lock();
        if let WaitTurn::Waits(noted) = &mut *turn {
            let old = (!noted.will_wake(waker)).then(|| mem::replace(noted, waker.clone()));
            drop(turn);
            // It may run code of its own.
            drop(old);
            return Err(self);
        }
        match mem::replace(&mut *turn, WaitTurn::Gone) {
            WaitTurn::Served(outcome) => Ok(outcome),
            WaitTurn::Waits(_) | WaitTurn::Gone => Ok(Err(AcquireError::Closed)),
        }
    }
}

#[derive(Debug)]
struct WaitingCaller<M> {
    arrival: Arrival,
    since: Instant,
    deadline: Instant,
    place: Arc<Place<M>>,
}

/// Waiting callers in order.
#[derive(Debug)]
pub(super) struct WaitQueue<M> {
    waiters: Chains<WaitingCaller<M>>,
    arrivals: u64,
}

/// The only chain.
const LINE: usize = 0;

impl<M> WaitQueue<M> {
    pub(super) fn new() -> Self {
        Self { waiters: Chains::new(1), arrivals: 0 }
    }

    /// The place of a caller that comes now.
    pub(super) fn arrive(&mut self) -> Arrival {
        self.arrivals += 1;
        Arrival(self.arrivals)
    }

    /// Callers that wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.len(LINE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a caller waits that came before `arrival`.
    pub(super) fn is_ahead_of(&self, arrival: Arrival) -> bool {
        self.front().is_some_and(|waiter| waiter.arrival < arrival)
    }

    fn front(&self) -> Option<&WaitingCaller<M>> {
        self.waiters.first(LINE).and_then(|key| self.waiters.get(key))
    }

    /// Puts a caller in its place: at the end, unless it was assigned a member before that did not work.
    pub(super) fn join(
        &mut self,
        arrival: Arrival,
        now: Instant,
        deadline: Instant,
        waker: &Waker,
    ) -> Ticket<M> {
        let place = Arc::new(Place(Mutex::new(WaitTurn::Waits(waker.clone()))));
        let waiter = WaitingCaller { arrival, since: now, deadline, place: Arc::clone(&place) };
        let key = self.waiters.insert(waiter);
        let last = self.waiters.last(LINE).and_then(|last| self.waiters.get(last));
        let at = if last.is_none_or(|last| last.arrival < arrival) {
            None
        } else {
            self.line().find(|(_, waiter)| waiter.arrival > arrival).map(|(key, _)| key)
        };
        self.waiters.push_before(LINE, at, key);
        Ticket { key, place }
    }

    fn line(&self) -> impl Iterator<Item = (usize, &WaitingCaller<M>)> {
        std::iter::successors(self.waiters.first(LINE), |key| self.waiters.after(*key))
            .filter_map(|key| Some((key, self.waiters.get(key)?)))
    }

    /// The place of the caller who is next.
    pub(super) fn next(&self) -> Option<Arrival> {
        self.front().map(|waiter| waiter.arrival)
    }

    /// Serves the caller who is next; how long it waited, and whom to wake.
    pub(super) fn serve(
        &mut self,
        outcome: WaitResult<M>,
        now: Instant,
    ) -> Option<(Duration, Option<Waker>)> {
        let waiter = self.waiters.remove(self.waiters.first(LINE)?)?;
        Some((now.saturating_duration_since(waiter.since), waiter.place.serve(outcome)))
    }

    /// Serves those whose deadline has passed; `reason` is told how long each waited.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        reason: impl Fn(Duration) -> AcquireError,
    ) -> Vec<Option<Waker>> {
        let late: Vec<usize> =
            self.line().filter(|(_, waiter)| waiter.deadline <= now).map(|(key, _)| key).collect();
        late.into_iter()
            .filter_map(|key| {
                let waiter = self.waiters.remove(key)?;
                let waited = now.saturating_duration_since(waiter.since);
                Some(waiter.place.serve(Err(reason(waited))))
            })
            .collect()
    }

    /// The earliest deadline of those who wait.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.line().map(|(_, waiter)| waiter.deadline).min()
    }

    /// Removes a caller that gave up: the member assigned to it but not taken, or its waker, to be
    /// dropped without the lock.
    pub(super) fn leave(&mut self, ticket: Ticket<M>) -> (Option<WaitResult<M>>, Option<Waker>) {
        let Ticket { key, place } = ticket;
        let turn = mem::replace(&mut *place.lock(), WaitTurn::Gone);
        match turn {
            WaitTurn::Served(outcome) => (Some(outcome), None),
            WaitTurn::Gone => (None, None),
            WaitTurn::Waits(waker) => {
                // Served callers are in the queue no more, and their keys may be those of others.
                drop(self.waiters.remove(key));
                (None, Some(waker))
            }
        }
    }
}
