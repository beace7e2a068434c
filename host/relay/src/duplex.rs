//! [`Duplex`]: two ends and the two directions between them, run until both have ended. The name is that of
//! linkerd's proxy and of `copy_bidirectional` in tokio: one future for both directions, so that the end of the one
//! can set the limit of the other.

use super::clock::{Clock, PassedLimit};
use super::{RelayEnd, RelayOptions, Side, Totals};
use jackfield_plugin_api::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// One direction: the data it holds, and how it moves data.
pub(super) trait Direction<F, T>: Unpin {
    /// Moves what can be moved now. Ready when the end of `from` was passed on to `to`. While it is
    /// pending, its task is woken when there is more to do.
    fn poll_move(
        &mut self,
        from: &mut F,
        to: &mut T,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>>;

    /// Lets what was taken go out, where `to` holds it back. Default: nothing is held back.
    ///
    /// # Errors
    /// What `to` says.
    fn poll_flush(&mut self, _to: &mut T, _flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    /// Takes no more from `from`, as if it had ended: what is held goes out, then the end.
    fn end(&mut self);
}

/// What an end can do beside carrying data.
pub(super) trait Ending: Unpin {
    /// Whether it can end one direction, be told of the end of the other, and go on meanwhile.
    fn half_closes(&self) -> bool;

    /// Ends it as a whole, where it could not be told of the end of one direction. Its answer does not
    /// matter any more.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Which side of a direction failed, and how.
pub(super) enum Fault {
    Receiving(Error),
    Sending(Error),
}

/// The context that a direction is lent while it moves data.
pub(super) struct Flow<'a, 'w> {
    pub(super) cx: &'a mut Context<'w>,
    pub(super) options: &'a RelayOptions,
    /// Whether the other direction has ended, so that both ends are closed when this one ends.
    pub(super) last: bool,
    totals: &'a Totals,
    pub(super) to: Side,
    moved: bool,
    whole: bool,
}

impl Flow<'_, '_> {
    /// Counts what the receiving end has taken.
    pub(super) fn moved(&mut self, bytes: usize, messages: u64) {
        self.moved = true;
        self.totals.add(self.to, bytes, messages);
    }

    /// The receiving end can only end as a whole, and was told nothing.
    pub(super) fn untold(&mut self) {
        self.whole = true;
    }

    /// The answer of the receiving end to the end of a direction. One that can only end as a whole
    /// has been told nothing, and may never end by itself.
    pub(super) fn shut(&mut self, done: std::io::Result<()>) -> Result<(), Fault> {
        match done.map_err(Error::from) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                self.untold();
                Ok(())
            }
            done => done.map_err(Fault::Sending),
        }
    }
}

pub(super) struct Duplex<A, B, X, Y> {
    pub(super) a: A,
    pub(super) b: B,
    to_b: X,
    to_a: Y,
    /// Whether an end has shown that it knows no half-close.
    whole: bool,
    /// The side whose direction ended first; the other one is still open.
    ended: Option<Side>,
    /// Nothing more is received; what is left goes out, and both are ended.
    finishing: bool,
    /// Both directions have ended.
    done: bool,
    /// The side that nothing more can be received from, and why. What was received before goes out first.
    failing: Option<Box<(Side, Error)>>,
    clock: Option<Box<Clock>>,
    options: Arc<RelayOptions>,
    totals: Arc<Totals>,
}

impl<A: Ending, B: Ending, X: Direction<A, B>, Y: Direction<B, A>> Duplex<A, B, X, Y> {
    pub(super) fn new(
        (a, to_b): (A, X),
        (b, to_a): (B, Y),
        options: Arc<RelayOptions>,
        totals: Arc<Totals>,
    ) -> Self {
        let clock = Clock::of(&options);
        let whole = !options.half_close;
        let (ended, finishing, done) = (None, false, false);
        let failing = None;
        Duplex { a, b, to_b, to_a, whole, ended, finishing, done, failing, clock, options, totals }
    }

    /// A peer showed so long ago that it is there, without data: the idle limit counts from there.
    pub(super) fn heard(&mut self, ago: Duration) {
        if let Some(clock) = &mut self.clock {
            clock.heard(ago);
        }
    }

    /// Runs the directions that are open. Ready when both have ended.
    fn poll_directions(&mut self, cx: &mut Context<'_>) -> (bool, Poll<Option<RelayEnd>>) {
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
            if self.ended == Some(from) || self.failing.is_some() {
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
                (Poll::Ready(Ok(())), Some(_)) => return (flow.moved, Poll::Ready(None)),
                (Poll::Ready(Err(Fault::Receiving(error))), _) => {
                    self.failing = Some(Box::new((from, error)));
                    Clock::closing(&mut self.clock, &self.options);
                }
                (Poll::Ready(Err(fault)), _) => {
                    let moved = flow.moved;
                    return (moved, Poll::Ready(Some(self.failed(from, fault))));
                }
            }
        }
        let end = match self.failing.as_ref().map(|failing| failing.0) {
            // Whether it can be sent does not matter any more.
            Some(Side::A) => self.to_b.poll_flush(&mut self.b, &mut flow).map(drop),
            Some(Side::B) => self.to_a.poll_flush(&mut self.a, &mut flow).map(drop),
            None => Poll::Pending,
        };
        let moved = flow.moved;
        (moved, end.map(|()| self.failing_end()))
    }

    /// How it ends, if one side has failed.
    fn failing_end(&mut self) -> Option<RelayEnd> {
        let (side, error) = *self.failing.take()?;
        Some(RelayEnd::Failed { side, receiving: true, error })
    }

    fn failed(&self, from: Side, fault: Fault) -> RelayEnd {
        let (side, receiving, error) = match fault {
            Fault::Receiving(error) => (from, true, error),
            Fault::Sending(error) => (from.other(), false, error),
        };
        let gone = !receiving
            && self.ended == Some(side)
            && matches!(error.kind(), ErrorKind::Closed | ErrorKind::Other);
        if gone && !self.half_closes() {
            // It has said goodbye already, and its protocol takes nothing after that.
            return RelayEnd::Closed { first: side };
        }
        RelayEnd::Failed { side, receiving, error }
    }

    fn half_closes(&self) -> bool {
        !self.whole && self.a.half_closes() && self.b.half_closes()
    }

    /// One direction has ended: sets the limit for the other.
    fn half_closed(&mut self, first: Side) {
        if self.half_closes() {
            let limit = self.options.timeouts.half_close;
            return Clock::half_closed(
                &mut self.clock,
                &self.options,
                limit,
                PassedLimit::HalfClose,
            );
        }
        if !self.a.half_closes() && !self.b.half_closes() {
            // Both are over with the first end: the one takes nothing more, the other is told so.
            return self.finish();
        }
        // To one that was asked nothing no answer is due, but a greeting may be on its way.
        let asked = first == Side::B || self.totals.bytes_to_b() > 0;
        let limit = self.options.timeouts.drain / if asked { 1 } else { 3 };
        Clock::half_closed(&mut self.clock, &self.options, Some(limit), PassedLimit::Drained);
    }

    fn finish(&mut self) {
        self.finishing = true;
        match self.ended {
            Some(Side::A) => self.to_a.end(),
            Some(Side::B) => self.to_b.end(),
            None => {}
        }
        Clock::closing(&mut self.clock, &self.options);
    }

    /// Ends what could not be told of a single direction's end.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.finishing && !self.options.leave_messages_open {
            let (a, b) = (self.a.poll_close(cx), self.b.poll_close(cx));
            ready!(a);
            ready!(b);
        }
        Poll::Ready(())
    }

    /// Answers which limit has passed, if it ends the relay.
    fn poll_clock(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<Option<RelayEnd>> {
        let Some(clock) = &mut self.clock else { return Poll::Pending };
        Poll::Ready(match ready!(clock.poll(cx, moved)) {
            PassedLimit::Drained => {
                self.finish();
                None
            }
            PassedLimit::Idle => Some(RelayEnd::IdleTimeout),
            PassedLimit::HalfClose | PassedLimit::Close => {
                Some(self.failing_end().unwrap_or(RelayEnd::HalfCloseTimeout))
            }
            PassedLimit::Total => Some(RelayEnd::TotalTimeout),
        })
    }
}

impl<A: Ending, B: Ending, X: Direction<A, B>, Y: Direction<B, A>> Future for Duplex<A, B, X, Y> {
    type Output = RelayEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let this = self.get_mut();
        loop {
            let mut moved = false;
            if !this.done {
                let before = this.ended;
                let (more, end) = this.poll_directions(cx);
                moved = more;
                match end {
                    Poll::Ready(Some(end)) => return Poll::Ready(end),
                    Poll::Ready(None) => this.done = true,
                    Poll::Pending => {}
                }
                if let (None, Some(first), false) = (before, this.ended, this.done) {
                    this.half_closed(first);
                    if this.finishing {
                        continue;
                    }
                }
            }
            if let (true, Some(first)) = (this.done, this.ended)
                && this.poll_close(cx).is_ready()
            {
                return Poll::Ready(RelayEnd::Closed { first });
            }
            if let Some(end) = ready!(this.poll_clock(cx, moved)) {
                return Poll::Ready(end);
            }
        }
    }
}
