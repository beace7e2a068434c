//! [`Steps`]: the one loop of all directions that the kernel does not move: hand over what waits, take more, and when
//! there is no more, let go out what was handed over.

use super::duplex::{Direction, Fault, Flow};
use std::task::{Poll, ready};

/// What may move in one poll before other tasks get their turn.
const TURN: usize = 1024 * 1024;

/// What there was to take.
pub(super) enum Intake {
    /// So much, as it counts for a turn.
    Some(usize),
    /// Nothing, and there will be no more.
    End,
}

/// The steps of a direction; what it holds is what it has taken and not handed over.
pub(super) trait Steps<F, T>: Unpin {
    /// Hands over what it holds. Ready when that is nothing.
    fn poll_hand_over(&mut self, to: &mut T, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>>;

    /// Takes once, while it holds nothing and `to` has room.
    fn poll_take(
        &mut self,
        from: &mut F,
        to: &mut T,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Intake, Fault>>;

    /// Lets go out what `to` holds back.
    fn poll_go_out(&mut self, to: &mut T, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>>;

    /// Passes the end on.
    fn poll_pass_end(&mut self, to: &mut T, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>>;

    /// Whether nothing more is taken.
    fn ended(&mut self) -> &mut bool;
}

impl<F, T, S: Steps<F, T>> Direction<F, T> for S {
    fn poll_move(
        &mut self,
        from: &mut F,
        to: &mut T,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            ready!(self.poll_hand_over(to, flow))?;
            if *self.ended() {
                return self.poll_pass_end(to, flow);
            }
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_take(from, to, flow)? {
                Poll::Ready(Intake::Some(count)) => turn += count,
                Poll::Ready(Intake::End) => *self.ended() = true,
                Poll::Pending => {
                    ready!(self.poll_go_out(to, flow))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&mut self, to: &mut T, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        self.poll_go_out(to, flow)
    }

    fn end(&mut self) {
        *self.ended() = true;
    }
}
