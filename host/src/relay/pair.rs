//! [`Pair`]: two ends and the two ways between them, run until both ways have ended.

use super::clock::Clock;
use super::{RelayEnd, RelayOptions, Side, Totals};
use jackfield_plugin_api::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One direction: what it holds of bytes on their way, and how it moves them.
pub(super) trait Way<F, T>: Unpin {
    /// Moves what can be moved now. Ready when the end of `from` was passed on to `to`. While it is
    /// pending, its task is woken when there is more to do.
    fn poll_move(
        &mut self,
        from: &mut F,
        to: &mut T,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>>;
}

/// What an end can do beside carrying data.
pub(super) trait Ending: Unpin {
    /// Whether it can end one direction, be told of the end of the other, and go on meanwhile.
    fn half_closes(&self) -> bool;
    /// Makes the close that follows look like a failure to the peer, where the protocol can tell.
    fn abort(&mut self) {}
}

/// Which side of a way failed, and how.
pub(super) enum Fault {
    Receiving(Error),
    Sending(Error),
}

/// What a way is lent while it moves.
pub(super) struct Flow<'a, 'w> {
    pub(super) cx: &'a mut Context<'w>,
    pub(super) options: &'a RelayOptions,
    /// Whether the other direction has ended, so that both ends are closed when this one ends.
    pub(super) last: bool,
    totals: &'a Totals,
    to: Side,
    moved: bool,
    whole: bool,
}

impl Flow<'_, '_> {
    /// Counts what the receiving end has taken.
    pub(super) fn moved(&mut self, bytes: usize, messages: u64) {
        self.moved = true;
        self.totals.add(self.to, bytes, messages);
    }

    /// The answer of the receiving end to the end of a direction. One that can only end as a whole
    /// has been told nothing, and may never end by itself.
    pub(super) fn shut(&mut self, done: std::io::Result<()>) -> Result<(), Fault> {
        match done.map_err(Error::from) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                self.whole = true;
                Ok(())
            }
            done => done.map_err(Fault::Sending),
        }
    }
}

pub(super) struct Pair<A, B, X, Y> {
    a: A,
    b: B,
    to_b: X,
    to_a: Y,
    /// Whether an end has shown that it knows no half-close.
    whole: bool,
    /// The side whose direction ended first; the other one is still open.
    ended: Option<Side>,
    clock: Option<Box<Clock>>,
    options: RelayOptions,
    totals: Arc<Totals>,
}

impl<A: Ending, B: Ending, X: Way<A, B>, Y: Way<B, A>> Pair<A, B, X, Y> {
    pub(super) fn new(
        (a, to_b): (A, X),
        (b, to_a): (B, Y),
        options: RelayOptions,
        totals: Arc<Totals>,
    ) -> Self {
        let clock = Clock::of(&options);
        Pair { a, b, to_b, to_a, whole: false, ended: None, clock, options, totals }
    }

    /// Runs the ways that are open.
    fn poll_ways(&mut self, cx: &mut Context<'_>) -> (bool, Poll<RelayEnd>) {
        let mut flow = Flow {
            cx,
            options: &self.options,
            totals: &self.totals,
            last: false,
            to: Side::B,
            moved: false,
            whole: false,
        };
        for from in [Side::A, Side::B] {
            if self.ended == Some(from) {
                continue;
            }
            flow.to = from.other();
            flow.last = self.ended.is_some();
            let done = match from {
                Side::A => self.to_b.poll_move(&mut self.a, &mut self.b, &mut flow),
                Side::B => self.to_a.poll_move(&mut self.b, &mut self.a, &mut flow),
            };
            match (done, self.ended) {
                (Poll::Pending, _) => {}
                (Poll::Ready(Ok(())), None) => {
                    self.ended = Some(from);
                    self.whole |= flow.whole;
                }
                (Poll::Ready(Ok(())), Some(first)) => {
                    return (flow.moved, Poll::Ready(RelayEnd::Closed { first }));
                }
                (Poll::Ready(Err(fault)), _) => {
                    let moved = flow.moved;
                    return (moved, Poll::Ready(self.failed(from, fault)));
                }
            }
        }
        (flow.moved, Poll::Pending)
    }

    fn failed(&mut self, from: Side, fault: Fault) -> RelayEnd {
        let (side, receiving, error) = match fault {
            Fault::Receiving(error) => (from, true, error),
            Fault::Sending(error) => (from.other(), false, error),
        };
        let gone = !receiving && self.ended == Some(side) && error.kind() == ErrorKind::Closed;
        if gone && !self.half_closes() {
            // It has said goodbye already, and its protocol takes nothing after that.
            return RelayEnd::Closed { first: side };
        }
        // What came through may be cut short: the other peer must not take it for a whole.
        match side {
            Side::A => self.b.abort(),
            Side::B => self.a.abort(),
        }
        RelayEnd::Failed { side, receiving, error }
    }

    fn half_closes(&self) -> bool {
        !self.whole && self.a.half_closes() && self.b.half_closes()
    }
}

impl<A: Ending, B: Ending, X: Way<A, B>, Y: Way<B, A>> Future for Pair<A, B, X, Y> {
    type Output = RelayEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let this = self.get_mut();
        let before = this.ended;
        let (moved, end) = this.poll_ways(cx);
        if end.is_ready() {
            return end;
        }
        if before != this.ended && !this.half_closes() {
            Clock::closing(&mut this.clock, &this.options);
        }
        match &mut this.clock {
            None => Poll::Pending,
            Some(clock) => clock.poll(cx, moved, this.ended.is_some()),
        }
    }
}
