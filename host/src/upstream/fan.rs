//! One operation for many items, on the sessions of an upstream.

use super::Upstream;
use futures_util::stream::{self, StreamExt};
use jackfield_plugin_api::Result;
use serde_json::Value;

impl Upstream {
    /// Runs an operation once for each of `params`, at most `parallel` at a time (at least 1), each on
    /// a session as in [`Upstream::call`]: with a pool, on as many as that has. The results are in the
    /// order of the parameters; one that fails stops no other. Cancel safe: what runs is given up, what
    /// has not begun does not.
    pub async fn call_each(
        &self,
        operation: &str,
        params: impl IntoIterator<Item = Value>,
        parallel: usize,
    ) -> Vec<Result<Value>> {
        let calls = params
            .into_iter()
            .enumerate()
            .map(|(at, params)| async move { (at, self.call(None, operation, &params).await) });
        let mut done: Vec<_> =
            stream::iter(calls).buffer_unordered(parallel.max(1)).collect().await;
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }
}
