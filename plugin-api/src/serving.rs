//! [`Serving`]: the requests of one session, some of them answered at once.

use crate::error::Result;
use crate::exchange::{Exchange, Incoming};
use crate::op::Op;
use crate::raw::catch;
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Takes the requests of a session and runs the futures that answer them, a bounded number at once; more
/// requests wait at the peer. Dropped, it ends all of them.
///
/// A panic costs its request: the future that has panicked is dropped, and an [`Answer`] that it has not
/// used is the driver's to give (http: 500). The others go on.
///
/// [`Answer`]: crate::Answer
#[derive(Debug)]
pub struct Serving<F> {
    // Dropped in this order.
    running: FuturesUnordered<One<F>>,
    next: Option<Op<Option<Incoming>>>,
    exchange: Exchange,
    most: usize,
}

impl<F: Future<Output = ()>> Serving<F> {
    /// Serves the requests of `exchange`, at most `most` at once; at least one.
    pub fn new(exchange: Exchange, most: usize) -> Self {
        let next = Some(exchange.accept());
        Serving { running: FuturesUnordered::new(), next, exchange, most: most.max(1) }
    }

    /// Goes on, with `answer` for each request that comes. Ready when the peer sends no more and all of
    /// them were answered.
    ///
    /// # Errors
    /// What keeps the session from taking further requests.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut answer: impl FnMut(Incoming) -> F,
    ) -> Poll<Result<()>> {
        loop {
            if let Some(accept) = self.next.as_mut().filter(|_| self.running.len() < self.most)
                && let Poll::Ready(incoming) = Pin::new(accept).poll(cx)
            {
                self.next = None;
                match incoming {
                    Ok(Some(incoming)) => {
                        let one = catch(|| Some(answer(incoming)), |_| None);
                        self.running.extend(one.map(|one| One(Some(one))));
                        self.next = Some(self.exchange.accept());
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                continue;
            }
            match Pin::new(&mut self.running).poll_next(cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) if self.next.is_none() => return Poll::Ready(Ok(())),
                _ => return Poll::Pending,
            }
        }
    }
}

/// One request's future. What panics in it, or when it is dropped, ends here.
#[derive(Debug)]
struct One<F>(Option<F>);

impl<F> One<F> {
    fn future(self: Pin<&mut Self>) -> Pin<&mut Option<F>> {
        // SAFETY: the future is pinned as this is: it is never moved out, and dropped in its place.
        unsafe { self.map_unchecked_mut(|one| &mut one.0) }
    }

    fn end(self: Pin<&mut Self>) {
        catch(|| self.future().set(None), |_| ());
    }
}

impl<F: Future<Output = ()>> Future for One<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let poll = || match self.as_mut().future().as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Ready(()),
        };
        let result = catch(poll, |_| Poll::Ready(()));
        if result.is_ready() {
            self.end();
        }
        result
    }
}

impl<F> Drop for One<F> {
    fn drop(&mut self) {
        // SAFETY: a value that is dropped is not moved any more.
        unsafe { Pin::new_unchecked(self) }.end();
    }
}
