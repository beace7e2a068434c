//! [`Acquire`]: a caller on its way to a member.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::task::coop;

use super::connect::Connect;
use super::effects::Effects;
use super::error::AcquireError;
use super::guard::Pooled;
use super::queue::{Outcome, Ticket};
use super::shared::{Shared, now};
use super::slots::{Lease, Request, Verdict};
use super::stats::CloseCause;

/// Waits for a member, in the order of first polls. Dropped, it leaves nothing behind: it loses its
/// place, and a member that was just being handed to it goes to the next.
pub(super) struct Acquire<'a, C: Connect> {
    pool: &'a Arc<Shared<C>>,
    deadline: Option<Instant>,
    state: State,
}

enum State {
    /// Nothing asked yet.
    Start,
    /// The member it was given is unfit.
    Unfit(Lease, CloseCause),
    Waits(Ticket),
    Served,
}

impl<'a, C: Connect> Acquire<'a, C> {
    pub(super) fn new(pool: &'a Arc<Shared<C>>, deadline: Option<Instant>) -> Self {
        Self { pool, deadline, state: State::Start }
    }

    /// The member it was given is unfit; the next poll asks for another, in the old place.
    pub(super) fn replace(&mut self, pooled: Pooled<C>, cause: CloseCause) {
        if let Some(lease) = pooled.into_lease() {
            self.state = State::Unfit(lease, cause);
        }
    }

    /// Asks for a member, which most get at once; who has to wait does so by the clock itself.
    fn ask(&self, waker: &Waker, fx: &mut Effects<Arc<C::Member>>) -> Request<Arc<C::Member>> {
        if !self.pool.is_crowded()
            && let Some(served) = self.pool.request_now()
        {
            return Request::Done(Ok(served));
        }
        let now = now();
        self.pool.lock().request(now, self.deadline, waker, fx)
    }

    fn done(&self, outcome: Outcome<Arc<C::Member>>) -> Result<Pooled<C>, AcquireError> {
        let (lease, member) = outcome?;
        Ok(Pooled::new(Arc::clone(self.pool), lease, member))
    }
}

impl<C: Connect> Future for Acquire<'_, C> {
    type Output = Result<Pooled<C>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(coop::poll_proceed(cx));
        let mut fx = Effects::none();
        let waker = cx.waker();
        let (request, _old_waker) = match std::mem::replace(&mut self.state, State::Served) {
            State::Served => return Poll::Ready(Err(AcquireError::Closed)),
            State::Start => (self.ask(waker, &mut fx), None),
            State::Unfit(lease, cause) => {
                let now = now();
                let mut slots = self.pool.lock();
                (slots.replace(lease, cause, now, self.deadline, waker, &mut fx), None)
            }
            State::Waits(ticket) => match self.pool.lock().poll(ticket, waker) {
                (Ok(outcome), old) => (Request::Done(outcome), old),
                (Err(ticket), old) => (Request::Waits(ticket), old),
            },
        };
        // First what is ours into its guard, then what others need.
        let polled = match request {
            Request::Done(outcome) => {
                progress.made_progress();
                Poll::Ready(self.done(outcome))
            }
            Request::Waits(ticket) => {
                self.pool.note_waiting();
                self.state = State::Waits(ticket);
                Poll::Pending
            }
        };
        self.pool.apply(fx);
        polled
    }
}

impl<C: Connect> Drop for Acquire<'_, C> {
    fn drop(&mut self) {
        let mut fx = Effects::none();
        match std::mem::replace(&mut self.state, State::Served) {
            State::Start | State::Served => {}
            State::Unfit(lease, cause) => {
                self.pool.give_back(lease, Verdict::Close(cause));
            }
            State::Waits(ticket) => {
                let left = self.pool.lock().leave(ticket, now(), &mut fx);
                self.pool.apply(fx);
                drop(left);
            }
        }
    }
}
