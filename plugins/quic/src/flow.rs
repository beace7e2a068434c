//! [`Flow`]: how much the peer of a session lets us send, where it limits sessions beside the
//! connection.

use jackfield_plugin_api::Result;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most of each, and what is used of it.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    data: Limit,
    bidi: Limit,
    uni: Limit,
    /// One for each waiting stream and opener.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Limit {
    most: u64,
    used: u64,
}

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    /// Bytes of all streams.
    Data,
    /// Bidirectional streams that we open.
    Bidi,
    /// Unidirectional streams that we open.
    Uni,
}

impl State {
    fn of(&mut self, what: Of) -> &mut Limit {
        match what {
            Of::Data => &mut self.data,
            Of::Bidi => &mut self.bidi,
            Of::Uni => &mut self.uni,
        }
    }
}

impl Flow {
    /// With the limits that a session begins with.
    pub(crate) fn new(data: u64, bidi: u64, uni: u64) -> Self {
        let limit = |most| Limit { most, used: 0 };
        let state =
            State { data: limit(data), bidi: limit(bidi), uni: limit(uni), waiting: vec![] };
        Flow { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer allows more; a limit never goes down.
    pub(crate) fn raise(&self, what: Of, most: u64) {
        let mut state = self.state();
        let limit = state.of(what);
        if most <= limit.most {
            return;
        }
        limit.most = most;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How much of `wanted` is allowed now; at least 1.
    pub(crate) fn poll_room(&self, what: Of, wanted: usize, cx: &Context<'_>) -> Poll<usize> {
        let mut state = self.state();
        let limit = *state.of(what);
        let room = limit.most.saturating_sub(limit.used);
        if room > 0 || wanted == 0 {
            return Poll::Ready(wanted.min(usize::try_from(room).unwrap_or(usize::MAX)));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Used up.
    pub(crate) fn take(&self, what: Of, count: usize) {
        self.state().of(what).used += count as u64;
    }

    /// Waits for one more stream, and takes its place.
    pub(crate) async fn enter(&self, what: Of) -> Result<()> {
        std::future::poll_fn(|cx| self.poll_room(what, 1, cx)).await;
        self.take(what, 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Of};
    use std::task::{Context, Poll, Waker};

    #[test]
    fn limits_hold_until_they_are_raised() {
        let flow = Flow::new(10, 1, 0);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(flow.poll_room(Of::Data, 100, &cx), Poll::Ready(10));
        flow.take(Of::Data, 10);
        assert_eq!(flow.poll_room(Of::Data, 100, &cx), Poll::Pending);
        assert_eq!(flow.poll_room(Of::Data, 0, &cx), Poll::Ready(0));
        flow.raise(Of::Data, 5);
        assert_eq!(flow.poll_room(Of::Data, 100, &cx), Poll::Pending);
        flow.raise(Of::Data, 12);
        assert_eq!(flow.poll_room(Of::Data, 100, &cx), Poll::Ready(2));
        assert_eq!(flow.poll_room(Of::Bidi, 1, &cx), Poll::Ready(1));
        assert_eq!(flow.poll_room(Of::Uni, 1, &cx), Poll::Pending);
    }
}
