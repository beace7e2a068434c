//! Content that ends with an error once who passes it on is gone.
//!
//! The content of an answer keeps the connection that it comes from, and that of the request the connection of the
//! client. Both are in the hands of drivers while they are sent, so that two connections may keep each other: when
//! a route ends in the middle, it has to take one of the two away.

use crate::lock::IgnorePoison;
use futures_util::Stream;
use jackfield_plugin_api::{Body, BodyPart, Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Content, and what it is tied to: dropped, that takes away what has not been passed on.
///
/// `None` for content that is known to be empty.
pub(super) fn tied(body: Body) -> (Option<Tied>, Tie) {
    if body.is_empty() {
        return (None, Tie(None));
    }
    let state = Arc::new(Mutex::new(TiedState { body: Some(body), reader: None }));
    (Some(Tied { state: Arc::clone(&state), ended: false }), Tie(Some(state)))
}

/// Holds content together.
#[must_use = "dropped, it takes the content away"]
pub(super) struct Tie(Option<Arc<Mutex<TiedState>>>);

struct TiedState {
    /// `None`: it was taken away.
    body: Option<Body>,
    reader: Option<Waker>,
}

/// The content.
pub(super) struct Tied {
    state: Arc<Mutex<TiedState>>,
    ended: bool,
}

impl Stream for Tied {
    type Item = Result<BodyPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = {
            let mut state = self.state.lock().ignore_poison();
            let TiedState { body, reader } = &mut *state;
            let Some(body) = body else {
                drop(state);
                self.ended = true;
                let text = "the route ended in the middle of the content";
                return Poll::Ready(Some(Err(Error::new(ErrorKind::Closed, text))));
            };
            let polled = Pin::new(body).poll_next(cx);
            if polled.is_pending() && !reader.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                *reader = Some(cx.waker().clone());
            }
            polled
        };
        self.ended = matches!(polled, Poll::Ready(None));
        polled
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        let Some(state) = &self.0 else { return };
        let (body, reader) = {
            let mut state = state.lock().ignore_poison();
            (state.body.take(), state.reader.take())
        };
        // Not under the lock: it may wake who reads it.
        drop(body);
        reader.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::tied;
    use futures_util::{FutureExt, StreamExt, stream};
    use jackfield_plugin_api::{Body, BodyPart};

    #[tokio::test]
    async fn a_reader_that_waits_hears_that_the_rest_was_taken_away() {
        let parts = stream::iter([Ok(BodyPart::Data("one".into()))]).chain(stream::pending());
        let (body, tie) = tied(Body::new(parts));
        let mut body = body.unwrap();
        assert!(body.next().await.unwrap().is_ok());
        let reading = tokio::spawn(async move { (body.next().await, body.next().await) });
        tokio::task::yield_now().await;
        drop(tie);
        let (error, end) = reading.await.unwrap();
        assert!(error.unwrap().is_err());
        assert!(end.is_none());
    }

    #[test]
    fn content_that_was_passed_on_whole_has_no_error() {
        let (body, tie) = tied(Body::full("whole"));
        let mut body = body.unwrap();
        assert!(body.next().now_or_never().unwrap().unwrap().is_ok());
        assert!(body.next().now_or_never().unwrap().is_none());
        drop(tie);
        assert!(body.next().now_or_never().unwrap().is_none());
    }
}
