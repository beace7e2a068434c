//! Content that is given away and comes back if nobody has begun with it.

use futures_util::Stream;
use jackfield_plugin_api::{Body, BodyPart, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Gives content away, and what has it back.
pub(super) fn lent(body: Body) -> (Body, Back) {
    if body.is_empty() {
        return (Body::empty(), Back(None));
    }
    let shared = Arc::new(Mutex::new(State { body, is_begun: false }));
    (Body::new(Lent(Arc::clone(&shared))), Back(Some(shared)))
}

struct State {
    body: Body,
    is_begun: bool,
}

struct Lent(Arc<Mutex<State>>);

/// The way back of what was lent.
pub(super) struct Back(Option<Arc<Mutex<State>>>);

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Lent {
    type Item = Result<BodyPart>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.0);
        state.is_begun = true;
        Pin::new(&mut state.body).poll_next(cx)
    }
}

impl Back {
    /// The whole content; `None` if somebody has begun with it.
    pub(super) fn body(self) -> Option<Body> {
        let Some(state) = self.0 else { return Some(Body::empty()) };
        let mut state = lock(&state);
        let whole = !state.is_begun;
        // Whoever still has it finds nothing.
        state.is_begun = true;
        whole.then(|| std::mem::replace(&mut state.body, Body::empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::lent;
    use futures_util::{FutureExt, StreamExt};
    use jackfield_plugin_api::{Body, BodyPart};

    #[test]
    fn what_was_begun_does_not_come_back() {
        let (_unread, back) = lent(Body::full("content"));
        let mut body = back.body().unwrap();
        let part = body.next().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(part, BodyPart::Data("content".into()));
        let (mut read, back) = lent(Body::full("content"));
        assert!(read.next().now_or_never().unwrap().is_some());
        assert!(back.body().is_none());
        assert!(lent(Body::empty()).1.body().unwrap().is_empty());
    }
}
