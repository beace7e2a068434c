//! Interim responses of a destination (RFC 9110 §15.2) on their way to the client.

use crate::lock::IgnorePoison;
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::{Answer, Error, HeaderBlock};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Context;

/// How many may wait to be passed on; more are dropped.
const MOST: usize = 8;

/// Those to one request.
#[derive(Clone, Default)]
pub(super) struct Interim(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    heads: Mutex<VecDeque<HeaderBlock>>,
    waker: AtomicWaker,
}

impl Interim {
    /// None yet, and the place where the destination tells them.
    pub(super) fn place() -> (Self, Answer) {
        let interim = Interim::default();
        let told = interim.clone();
        let no_answer =
            |_| async { Err(Error::unsupported("a final answer in the place of an interim one")) };
        let place = Answer::telling(no_answer, move |head| told.push(head));
        (interim, place)
    }

    fn push(&self, head: HeaderBlock) {
        let mut heads = self.0.heads.lock().ignore_poison();
        if heads.len() < MOST {
            heads.push_back(head);
            drop(heads);
            self.0.waker.wake();
        }
    }

    /// Those that have come. The task is woken when there are more.
    pub(super) fn taken(&self, cx: &Context<'_>) -> VecDeque<HeaderBlock> {
        self.0.waker.register(cx.waker());
        std::mem::take(&mut *self.0.heads.lock().ignore_poison())
    }
}

#[cfg(test)]
mod tests {
    use super::{Interim, MOST};
    use jackfield_plugin_api::HeaderBlock;
    use std::task::{Context, Waker};

    #[test]
    fn they_come_in_order_and_no_more_wait_than_may() {
        let (interim, mut place) = Interim::place();
        let head = |at: usize| HeaderBlock::new([(":status", (103 + at).to_string())]).unwrap();
        (0..2 * MOST).for_each(|at| place.interim(head(at)));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(Vec::from(interim.taken(&cx)), Vec::from_iter((0..MOST).map(head)));
        place.interim(head(0));
        assert_eq!(interim.taken(&cx).len(), 1);
        assert!(interim.taken(&cx).is_empty());
    }
}
