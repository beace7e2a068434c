//! [`phase`]: work that a connection comes through, and that is over when it is relayed.

use std::pin::Pin;

/// Work of one phase of a connection.
pub(crate) type PhaseFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Boxed, so that a relayed connection keeps no room for it; and behind a pointer, so that its code and its part of
/// the stack are not woven into those of what comes before and after, which goes through all of them each time that
/// it is woken. Cancel safe as `work` is.
#[inline(never)]
pub(crate) fn phase<'a, T>(work: impl Future<Output = T> + Send + 'a) -> PhaseFuture<'a, T> {
    Box::pin(work)
}
