//! Content that is given away, and comes back to be sent again as long as all that was taken of it is kept.

use crate::lock::IgnorePoison;
use futures_util::{Stream, StreamExt, stream};
use jackfield_plugin_api::{Body, BodyPart, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

/// The most bytes of taken content that are kept.
const KEPT: usize = 64 << 10;

/// Gives content away, and a way to have it back.
pub(super) fn lent(body: Body) -> (Body, Back) {
    if body.is_empty() {
        return (Body::empty(), Back(None));
    }
    let state = LentState { body, taken: Some(Vec::new()), left: KEPT };
    let shared = Arc::new(Mutex::new(state));
    (Body::new(Lent(Arc::clone(&shared))), Back(Some(shared)))
}

struct LentState {
    body: Body,
    /// In order; `None`: it was more than is kept, or it was cut short.
    taken: Option<Vec<BodyPart>>,
    left: usize,
}

struct Lent(Arc<Mutex<LentState>>);

/// Returns lent content to its owner.
pub(super) struct Back(Option<Arc<Mutex<LentState>>>);

fn lock(state: &Mutex<LentState>) -> MutexGuard<'_, LentState> {
    state.lock().ignore_poison()
}

impl LentState {
    fn note(&mut self, part: &Result<BodyPart>) {
        let left = match part {
            Ok(BodyPart::Data(bytes)) => self.left.checked_sub(bytes.len()),
            Ok(BodyPart::Trailers(_)) => Some(self.left),
            Err(_) => None,
        };
        match (left, part, &mut self.taken) {
            (Some(left), Ok(part), Some(taken)) => {
                taken.push(part.clone());
                self.left = left;
            }
            _ => self.taken = None,
        }
    }
}

impl Stream for Lent {
    type Item = Result<BodyPart>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = lock(&self.0);
        let polled = Pin::new(&mut state.body).poll_next(cx);
        if let Poll::Ready(Some(part)) = &polled {
            state.note(part);
        }
        polled
    }
}

impl Back {
    /// The whole content; `None` if more of it was taken than is kept.
    pub(super) fn body(self) -> Option<Body> {
        let Some(state) = self.0 else { return Some(Body::empty()) };
        let mut state = lock(&state);
        let taken = state.taken.take()?;
        // Whoever still has it finds nothing.
        let rest = std::mem::replace(&mut state.body, Body::empty());
        if taken.is_empty() {
            return Some(rest);
        }
        Some(Body::new(stream::iter(taken).map(Ok).chain(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, lent};
    use futures_util::{FutureExt, StreamExt, stream};
    use jackfield_plugin_api::{Body, BodyPart, Error, ErrorKind, HeaderBlock};

    /// Content of these sizes, and trailers.
    fn content(sizes: &[usize]) -> Body {
        let data: Vec<_> =
            sizes.iter().map(|size| BodyPart::Data(vec![b'x'; *size].into())).collect();
        let trailers = BodyPart::Trailers(HeaderBlock::new([("x-sum", "1")]).unwrap());
        Body::new(stream::iter(data).chain(stream::iter([trailers])).map(Ok))
    }

    /// The sizes of what is left, trailers as none.
    fn sizes(body: Body) -> Vec<usize> {
        let size = |part| match part {
            Ok(BodyPart::Data(bytes)) => bytes.len(),
            _ => 0,
        };
        body.map(size).collect::<Vec<_>>().now_or_never().unwrap()
    }

    #[test]
    fn what_was_taken_comes_back_whole() {
        for taken in 0..4 {
            let (body, back) = lent(content(&[3, KEPT - 3]));
            assert_eq!(sizes(Body::new(body.take(taken))).len(), taken.min(3));
            assert_eq!(sizes(back.body().unwrap()), [3, KEPT - 3, 0], "after {taken}");
        }
        assert!(lent(Body::empty()).1.body().unwrap().is_empty());
    }

    #[test]
    fn what_is_more_than_is_kept_does_not_come_back_nor_what_was_cut_short() {
        let (body, back) = lent(content(&[KEPT, 1]));
        assert_eq!(sizes(body), [KEPT, 1, 0]);
        assert!(back.body().is_none());
        let cut = stream::iter([Err(Error::new(ErrorKind::Closed, "cut short"))]);
        let (body, back) = lent(Body::new(cut));
        assert_eq!(sizes(body), [0]);
        assert!(back.body().is_none());
    }
}
