//! Running a test's future: with a clock that stands still, or dropped at each of its awaits.

use super::DEADLINE;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The most awaits at which a future is dropped.
const MOST: usize = 10_000;

/// Runs a test on a runtime of its own.
///
/// # Panics
/// If it takes longer than [`DEADLINE`].
pub fn run<T>(test: impl Future<Output = T>) -> T {
    on(tokio::runtime::Builder::new_current_thread().enable_all(), test)
}

/// Runs a test on a runtime whose clock stands still while anything can go on, and jumps to the next
/// timer when nothing can: an hour of waiting takes no time, and times are exact.
///
/// # Panics
/// If it takes longer than [`DEADLINE`] of its own clock.
pub fn paused<T>(test: impl Future<Output = T>) -> T {
    on(tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true), test)
}

#[expect(clippy::expect_used, reason = "a test that cannot be run has failed")]
fn on<T>(builder: &mut tokio::runtime::Builder, test: impl Future<Output = T>) -> T {
    let runtime = builder.build().expect("a runtime for a test");
    let all = async { tokio::time::timeout(DEADLINE, test).await };
    runtime.block_on(all).expect("the test to end in time")
}

/// Runs what `make` gives again and again, and drops it each time one await later: at its first
/// [`Poll::Pending`], at its second, and so on, until it comes to its end. Gives how many times it was
/// dropped, and the result. What a dropped one must not leave behind is for `make` and the caller to
/// check: a carrier that stays open, a reply that goes to the next request, a task of
/// [`TestHost::tasks`](super::TestHost::tasks).
///
/// # Panics
/// If the future does, or does not come to its end after ten thousand awaits.
pub async fn cancel_at_every_await<F: Future>(mut make: impl FnMut() -> F) -> (usize, F::Output) {
    for awaits in 0..MOST {
        let limited = Limited { future: Some(Box::pin(make())), left: awaits };
        if let Some(result) = limited.await {
            return (awaits, result);
        }
        // What the dropped one has woken or ended gets its turn.
        tokio::task::yield_now().await;
    }
    #[expect(clippy::panic, reason = "a test that does not come to its end has failed")]
    {
        panic!("the future did not come to its end after {MOST} awaits");
    }
}

/// A future that is dropped when it has been pending once more than `left` times.
struct Limited<F> {
    future: Option<Pin<Box<F>>>,
    left: usize,
}

impl<F: Future> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(future) = this.future.as_mut() else { return Poll::Ready(None) };
        match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if this.left == 0 => {
                this.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                this.left -= 1;
                Poll::Pending
            }
        }
    }
}
