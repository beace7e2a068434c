//! Many things at a time, up to a limit, with their results in order.

use futures_util::stream::{self, StreamExt};

/// Does all of `work`, at most `most` at a time (at least 1). The results are in the order of the work.
/// Cancel safe as far as the work is: what runs is dropped, what has not begun does not.
pub async fn in_order<F: Future>(work: impl IntoIterator<Item = F>, most: usize) -> Vec<F::Output> {
    let numbered = work.into_iter().enumerate().map(|(at, work)| async move { (at, work.await) });
    let mut done: Vec<_> = stream::iter(numbered).buffer_unordered(most.max(1)).collect().await;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
