//! Operations on the sessions of an upstream: one, or one for each of many items.

use super::Upstream;
use crate::deadline::Deadline;
use crate::parallel::in_order;
use jackfield_plugin_api::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long calls may take, and how many there were.
#[derive(Debug)]
pub(super) struct UpstreamCalls {
    limit: Duration,
    limits: BTreeMap<String, Duration>,
    total: AtomicU64,
    failed: AtomicU64,
}

/// Operations run on the targets of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CallsSnapshot {
    /// Those that have begun.
    pub total: u64,
    /// Those that had an error, for whatever reason.
    pub failed: u64,
}

impl UpstreamCalls {
    pub(super) fn new(limit: Duration, limits: BTreeMap<String, Duration>) -> Self {
        UpstreamCalls { limit, limits, total: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    pub(super) fn snapshot(&self) -> CallsSnapshot {
        CallsSnapshot {
            total: self.total.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

impl Upstream {
    /// Runs an operation on a session of one of the targets, through the target's interceptors, within the
    /// upstream's call timeout for that operation. With a pool, the session is borrowed and given back; one
    /// that was lost, or that a dialogue was broken off with, is closed. Cancel safe as far as the operation is.
    ///
    /// # Errors
    /// As [`Upstream::open`], or what the operation says; [`ErrorKind::TimedOut`](jackfield_plugin_api::ErrorKind::TimedOut).
    pub async fn call(&self, key: Option<u64>, operation: &str, params: &Value) -> Result<Value> {
        let limit = self.calls.limits.get(operation).copied().unwrap_or(self.calls.limit);
        self.call_within(limit, key, operation, params).await
    }

    /// As [`Upstream::call`], within `limit`.
    ///
    /// # Errors
    /// As there.
    pub async fn call_within(
        &self,
        limit: Duration,
        key: Option<u64>,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        self.calls.total.fetch_add(1, Ordering::Relaxed);
        let calling = self.run_call(key, operation, params);
        let result = Deadline::after(limit).run(operation, calling).await;
        if result.is_err() {
            self.calls.failed.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn run_call(&self, key: Option<u64>, operation: &str, params: &Value) -> Result<Value> {
        let opened = self.borrow(key).await?;
        let around = opened.around(&format!("upstreams.{}", self.name));
        let asking = opened.asking();
        let result = around.run(&asking, operation, params).await;
        asking.done(result.as_ref().err()).await;
        result
    }

    /// Runs an operation once for each of `params`, at most `parallel` at a time (at least 1), each as in
    /// [`Upstream::call`]: with a pool, on as many sessions as that has. The results are in the order of the
    /// parameters; one that fails stops no other. Cancel safe: operations that run are cancelled,
    /// the others do not begin.
    pub async fn call_each(
        &self,
        operation: &str,
        params: impl IntoIterator<Item = Value>,
        parallel: usize,
    ) -> Vec<Result<Value>> {
        let calls = params
            .into_iter()
            .map(|params| async move { self.call(None, operation, &params).await });
        in_order(calls, parallel).await
    }
}
