//! A host's runtime around what a plugin polls, from whatever thread and in whatever runtime it does so.

use crate::error::Result;
use crate::info::Info;
use crate::listener::{Accept, Listener};
use crate::op::{Op, Transfer};
use crate::session::Session;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// A future that is polled, and dropped, in a runtime's context: that of a thread of a plugin's own is
/// not the host's, or there is none.
struct Inside<F> {
    runtime: Handle,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Inside { runtime, future } = &mut *self;
        let _entered = runtime.enter();
        match future {
            Some(future) => future.as_mut().poll(cx),
            // Only while it is dropped.
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Inside<F> {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.future = None;
    }
}

/// `future` as an operation, polled in `runtime` wherever it is polled.
pub fn inside<T, F>(runtime: &Handle, future: F) -> Op<T>
where
    T: Transfer,
    F: Future<Output = Result<T>> + Send + 'static,
{
    Op::new(Inside { runtime: runtime.clone(), future: Some(Box::pin(future)) })
}

/// A listener whose sessions are accepted in a runtime wherever they are waited for.
#[derive(Debug)]
pub struct AcceptInside<T> {
    runtime: Handle,
    accept: T,
}

impl<T: Accept> AcceptInside<T> {
    /// A listener of the runtime that this is called in.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn listener(accept: T) -> Listener {
        Listener::new(AcceptInside { runtime: Handle::current(), accept })
    }

    /// What accepts, for who is in that runtime.
    pub fn get(&self) -> &T {
        &self.accept
    }
}

impl<T: Accept> Accept for AcceptInside<T> {
    fn info(&self) -> Info {
        self.accept.info()
    }

    async fn accept(&self) -> Result<Session> {
        let mut accept = pin!(self.accept.accept());
        poll_fn(|cx| {
            let _entered = self.runtime.enter();
            accept.as_mut().poll(cx)
        })
        .await
    }
}
