//! [`Queue`]: callers that wait, strictly in the order they came.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::chain::Chains;
use super::error::AcquireError;
use super::slots::Lease;

/// A caller's place in the order of all callers, kept when it has to wait again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival(u64);

/// Names a waiting caller until its outcome is taken or it leaves.
#[derive(Debug)]
#[must_use = "a caller that is neither polled nor leaves keeps its place for ever"]
pub(super) struct Ticket(usize);

impl Ticket {
    fn into_key(self) -> usize {
        self.0
    }
}

/// What a caller waited for: a member, or why there is none.
pub(super) type Outcome<M> = Result<(Lease, M), AcquireError>;

#[derive(Debug)]
struct Waiter<M> {
    arrival: Arrival,
    since: Instant,
    deadline: Instant,
    waker: Option<Waker>,
    outcome: Option<Outcome<M>>,
}

/// Waiting callers in order, and served ones that have not taken their outcome yet.
#[derive(Debug)]
pub(super) struct Queue<M> {
    waiters: Chains<Waiter<M>>,
    arrivals: u64,
}

/// The only chain.
const LINE: usize = 0;

impl<M> Queue<M> {
    pub(super) fn new() -> Self {
        Self { waiters: Chains::new(1), arrivals: 0 }
    }

    /// The place of a caller that comes now.
    pub(super) fn arrive(&mut self) -> Arrival {
        self.arrivals += 1;
        Arrival(self.arrivals)
    }

    /// Callers that wait; those served already do not count.
    pub(super) fn len(&self) -> usize {
        self.waiters.len(LINE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody waits who came before `arrival`.
    pub(super) fn is_ahead_of(&self, arrival: Arrival) -> bool {
        self.front().is_some_and(|waiter| waiter.arrival < arrival)
    }

    fn front(&self) -> Option<&Waiter<M>> {
        self.waiters.first(LINE).and_then(|key| self.waiters.get(key))
    }

    /// Puts a caller in its place: at the end, unless it had been served before in vain.
    pub(super) fn join(
        &mut self,
        arrival: Arrival,
        now: Instant,
        deadline: Instant,
        waker: &Waker,
    ) -> Ticket {
        let waiter =
            Waiter { arrival, since: now, deadline, waker: Some(waker.clone()), outcome: None };
        let key = self.waiters.insert(waiter);
        let last = self.waiters.last(LINE).and_then(|last| self.waiters.get(last));
        let at = if last.is_none_or(|last| last.arrival < arrival) {
            None
        } else {
            self.line().find(|(_, waiter)| waiter.arrival > arrival).map(|(key, _)| key)
        };
        self.waiters.push_before(LINE, at, key);
        Ticket(key)
    }

    fn line(&self) -> impl Iterator<Item = (usize, &Waiter<M>)> {
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
        outcome: Outcome<M>,
        now: Instant,
    ) -> Option<(Duration, Option<Waker>)> {
        let key = self.waiters.first(LINE)?;
        self.waiters.unlink(key);
        let waiter = self.waiters.get_mut(key)?;
        waiter.outcome = Some(outcome);
        Some((now.saturating_duration_since(waiter.since), waiter.waker.take()))
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
                self.waiters.unlink(key);
                let waiter = self.waiters.get_mut(key)?;
                let waited = now.saturating_duration_since(waiter.since);
                waiter.outcome = Some(Err(reason(waited)));
                Some(waiter.waker.take())
            })
            .collect()
    }

    /// The earliest deadline of those who wait.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.line().map(|(_, waiter)| waiter.deadline).min()
    }

    /// The outcome, or the ticket again and the waker noted. A waker that was replaced is handed
    /// out, to be dropped without the lock.
    pub(super) fn poll(
        &mut self,
        ticket: Ticket,
        waker: &Waker,
    ) -> (Result<Outcome<M>, Ticket>, Option<Waker>) {
        let Some(waiter) = self.waiters.get_mut(ticket.0) else {
            return (Ok(Err(AcquireError::Closed)), None);
        };
        if waiter.outcome.is_none() {
            let same = waiter.waker.as_ref().is_some_and(|noted| noted.will_wake(waker));
            let old = if same { None } else { waiter.waker.replace(waker.clone()) };
            return (Err(ticket), old);
        }
        let outcome = self.waiters.remove(ticket.0).and_then(|waiter| waiter.outcome);
        (Ok(outcome.unwrap_or(Err(AcquireError::Closed))), None)
    }

    /// Removes a caller that gave up: what it had been served but not taken, and its waker, to be
    /// dropped without the lock.
    pub(super) fn leave(&mut self, ticket: Ticket) -> (Option<Outcome<M>>, Option<Waker>) {
        let waiter = self.waiters.remove(ticket.into_key());
        waiter.map_or((None, None), |waiter| (waiter.outcome, waiter.waker))
    }
}
