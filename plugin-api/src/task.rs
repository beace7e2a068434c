//! [`Task`]: work beside a session that ends with it.

use crate::error::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A task of the plugin's private runtime that is stopped when this is dropped, where one of
/// `tokio::spawn` would go on without its session. As a future it completes with the task's result.
#[derive(Debug)]
#[must_use = "a task is stopped when this is dropped"]
pub struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts `future` on the runtime. It runs from here on, whether this is awaited or not.
    ///
    /// # Panics
    /// Outside the runtime, as `tokio::spawn` does: a driver or handler that says
    /// [`private_runtime`](crate::DriverInfo::private_runtime) is inside in all of its calls and polls.
    pub fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        Task(tokio::spawn(future))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(cx).map(|joined| {
            joined.map_err(|error| {
                let panicked = error.is_panic();
                let kind = if panicked { ErrorKind::Panicked } else { ErrorKind::Cancelled };
                Error::new(kind, if panicked { "a task panicked" } else { "a task was stopped" })
            })
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
