//! [`Acquire`]: a caller on its way to a member.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::task::coop;

use super::connect::Connect;
use super::error::AcquireError;
use super::guard::{Hand, Pooled};
use super::queue::{Ticket, WaitResult};
use super::shared::{EntryRef, Followup, PoolCore, now};
use super::slots::{Checkout, Requested, Verdict};
use super::stats::CloseCause;

/// Waits for a member, in the order of first polls. Dropped, it leaves nothing behind: it loses its
/// place, and a member that was just being handed to it goes to the next.
pub(super) struct Acquire<'a, C: Connect> {
    pool: &'a Arc<PoolCore<C>>,
    deadline: Option<Instant>,
    state: WaitState<C>,
}

enum WaitState<C: Connect> {
    /// Nothing asked yet.
    Start,
    /// The member it was given is unfit.
    Unfit(Checkout, CloseCause),
    Waits(Ticket<EntryRef<C>>),
    Served,
}

impl<'a, C: Connect> Acquire<'a, C> {
    pub(super) fn new(pool: &'a Arc<PoolCore<C>>, deadline: Option<Instant>) -> Self {
        Self { pool, deadline, state: WaitState::Start }
    }

    /// The member it was given is unfit; the next poll asks for another, in the old place.
    pub(super) fn replace(&mut self, pooled: Pooled<C>, cause: CloseCause) {
        if let Some(checkout) = pooled.into_lease() {
            self.state = WaitState::Unfit(checkout, cause);
        }
    }

    /// First what is ours into its guard, then what others need.
    fn asked(
        &mut self,
        (request, after): (Requested<EntryRef<C>>, Followup<C>),
    ) -> Poll<Result<Pooled<C>, AcquireError>> {
        let polled = match request {
            Requested::Done(outcome) => Poll::Ready(served(outcome)),
            Requested::Waits(ticket) => {
                self.state = WaitState::Waits(ticket);
                Poll::Pending
            }
        };
        self.pool.finish(after);
        polled
    }
}

impl<C: Connect> Future for Acquire<'_, C> {
    type Output = Result<Pooled<C>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = ready!(coop::poll_proceed(cx));
        let waker = cx.waker();
        let polled = match std::mem::replace(&mut self.state, WaitState::Served) {
            WaitState::Served => Poll::Ready(Err(AcquireError::Closed)),
            // Most callers get one at once; only a caller that waits reads the exact clock.
            WaitState::Start => match self.pool.request_if_alone() {
                Some(pooled) => Poll::Ready(Ok(pooled)),
                None => {
                    let (now, deadline) = (now(), self.deadline);
                    let step = self.pool.step(|slots, fx| slots.request(now, deadline, waker, fx));
                    self.asked(step)
                }
            },
            WaitState::Unfit(checkout, cause) => {
                let (now, deadline) = (now(), self.deadline);
                let step = self
                    .pool
                    .step(|slots, fx| slots.replace(checkout, cause, now, deadline, waker, fx));
                self.asked(step)
            }
            WaitState::Waits(ticket) => match ticket.poll(waker) {
                Ok(outcome) => Poll::Ready(served(outcome)),
                Err(ticket) => {
                    self.state = WaitState::Waits(ticket);
                    Poll::Pending
                }
            },
        };
        if polled.is_ready() {
            progress.made_progress();
        }
        polled
    }
}

fn served<C: Connect>(outcome: WaitResult<EntryRef<C>>) -> Result<Pooled<C>, AcquireError> {
    let (checkout, entry) = outcome?;
    Ok(Pooled::new(Hand { entry, checkout }))
}

impl<C: Connect> Drop for Acquire<'_, C> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, WaitState::Served) {
            WaitState::Start | WaitState::Served => {}
            WaitState::Unfit(checkout, cause) => {
                self.pool.give_back(checkout, Verdict::Close(cause));
            }
            WaitState::Waits(ticket) => {
                let now = now();
                let left = self.pool.run(|slots, fx| slots.leave(ticket, now, fx));
                drop(left);
            }
        }
    }
}
