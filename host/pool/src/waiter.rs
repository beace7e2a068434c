//! [`Acquire`]: a caller on its way to a member.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::task::coop;

use super::connect::Connect;
use super::error::AcquireError;
use super::guard::{Hand, Pooled};
use super::queue::{Outcome, Ticket};
use super::shared::{After, Member, Shared, now};
use super::slots::{Lease, Request, Verdict};
use super::stats::CloseCause;

/// Waits for a member, in the order of first polls. Dropped, it leaves nothing behind: it loses its
/// place, and a member that was just being handed to it goes to the next.
pub(super) struct Acquire<'a, C: Connect> {
    pool: &'a Arc<Shared<C>>,
    deadline: Option<Instant>,
    state: State<C>,
}

enum State<C: Connect> {
    /// Nothing asked yet.
    Start,
    /// The member it was given is unfit.
    Unfit(Lease, CloseCause),
    Waits(Ticket<Member<C>>),
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

    /// First what is ours into its guard, then what others need.
    fn asked(
        &mut self,
        (request, after): (Request<Member<C>>, After<C>),
    ) -> Poll<Result<Pooled<C>, AcquireError>> {
        let polled = match request {
            Request::Done(outcome) => Poll::Ready(served(outcome)),
            Request::Waits(ticket) => {
                self.state = State::Waits(ticket);
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
        let polled = match std::mem::replace(&mut self.state, State::Served) {
            State::Served => Poll::Ready(Err(AcquireError::Closed)),
            // Most get one at once; who has to wait does so by the clock itself.
            State::Start => match self.pool.request_if_alone() {
                Some(pooled) => Poll::Ready(Ok(pooled)),
                None => {
                    let (now, deadline) = (now(), self.deadline);
                    let step = self.pool.step(|slots, fx| slots.request(now, deadline, waker, fx));
                    self.asked(step)
                }
            },
            State::Unfit(lease, cause) => {
                let (now, deadline) = (now(), self.deadline);
                let step = self
                    .pool
                    .step(|slots, fx| slots.replace(lease, cause, now, deadline, waker, fx));
                self.asked(step)
            }
            State::Waits(ticket) => match ticket.poll(waker) {
                Ok(outcome) => Poll::Ready(served(outcome)),
                Err(ticket) => {
                    self.state = State::Waits(ticket);
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

fn served<C: Connect>(outcome: Outcome<Member<C>>) -> Result<Pooled<C>, AcquireError> {
    let (lease, entry) = outcome?;
    Ok(Pooled::new(Hand { entry, lease }))
}

impl<C: Connect> Drop for Acquire<'_, C> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Served) {
            State::Start | State::Served => {}
            State::Unfit(lease, cause) => {
                self.pool.give_back(lease, Verdict::Close(cause));
            }
            State::Waits(ticket) => {
                let now = now();
                let left = self.pool.run(|slots, fx| slots.leave(ticket, now, fx));
                drop(left);
            }
        }
    }
}
