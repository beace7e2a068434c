//! [`Effects`]: what a step of the state machine asks for, to be done after the lock is released.

use std::task::Waker;

use super::stats::CloseCause;

/// The right to open one member. It counts against `max_size` until it is given back to
/// [`Slots::opened`](super::slots::Slots::opened) or
/// [`Slots::open_failed`](super::slots::Slots::open_failed).
#[derive(Debug)]
#[must_use = "a lost approval lowers the pool's size for good"]
pub(super) struct Approval(());

impl Approval {
    /// Gives it back.
    pub(super) fn spend(self) {}
}

/// Collected under the lock; empty, and without allocation, on the uncontended path.
#[derive(Debug)]
pub(super) struct Effects<M> {
    /// The first one is kept apart: most steps wake one caller, which then costs no allocation.
    wake: Option<Waker>,
    more: Vec<Waker>,
    /// Members that left the pool and are to be closed.
    pub(super) closes: Vec<(M, CloseCause)>,
    /// Members to be opened.
    pub(super) approvals: Vec<Approval>,
    /// The maintenance task has to look at its alarm again.
    pub(super) alarm: bool,
    /// The closed pool has nothing left that is in use or being opened.
    pub(super) drained: bool,
    /// One more waits while no member is free or may be opened: `max_size`, and how many wait.
    pub(super) exhausted: Option<(usize, usize)>,
    some: bool,
}

impl<M> Effects<M> {
    pub(super) const fn none() -> Self {
        Self {
            wake: None,
            more: Vec::new(),
            closes: Vec::new(),
            approvals: Vec::new(),
            alarm: false,
            drained: false,
            exhausted: None,
            some: false,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        !self.some
    }

    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.some = true;
        if self.wake.is_none() {
            self.wake = waker;
        } else {
            self.more.extend(waker);
        }
    }

    pub(super) fn close(&mut self, member: M, cause: CloseCause) {
        self.some = true;
        self.closes.push((member, cause));
    }

    pub(super) fn approve(&mut self) {
        self.some = true;
        self.approvals.push(Approval(()));
    }

    pub(super) fn alarm(&mut self) {
        self.some = true;
        self.alarm = true;
    }

    pub(super) fn drained(&mut self) {
        self.some = true;
        self.drained = true;
    }

    pub(super) fn exhausted(&mut self, max_size: usize, waiting: usize) {
        self.some = true;
        self.exhausted = Some((max_size, waiting));
    }

    /// Wakes the callers, in the order they were served.
    pub(super) fn wake_all(&mut self) {
        self.wake.take().into_iter().chain(self.more.drain(..)).for_each(Waker::wake);
    }
}
