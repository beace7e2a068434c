//! A configured driver, handler or interceptor, its type forgotten.

use crate::driver::{Driver, Handler};
use crate::error::{Error, Result};
use crate::health::Health;
use crate::interceptor::{Call, Interceptor, Next, json};
use crate::listener::Listener;
use crate::op::Op;
use crate::request::Request;
use crate::services::{Host, Level, Socket};
use crate::session::Session;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What can be done with one; each kind does some of it.
pub(super) trait Endpoint: Send + Sync {
    fn open(self: Arc<Self>, _: Request) -> Op<Session> {
        unsupported("connecting")
    }
    fn accept(self: Arc<Self>, _: Request) -> Op<Session> {
        unsupported("accepting")
    }
    fn listen(self: Arc<Self>, _: Request) -> Op<Listener> {
        unsupported("listening")
    }
    fn socket(&self) -> Option<Socket> {
        None
    }
    fn serve(self: Arc<Self>, _: Session) -> Op<()> {
        unsupported("serving sessions")
    }
    fn intercept(self: Arc<Self>, _: Call, _: Next) -> Op<Bytes> {
        unsupported("intercepting")
    }
    /// Its own state; `None` for one that shares it with others.
    fn health(&self) -> Option<Health> {
        None
    }
    fn drain(self: Arc<Self>) -> Op<()> {
        Op::ready(Ok(()))
    }
}

fn unsupported<T: crate::op::Transfer>(what: &str) -> Op<T> {
    Op::ready(Err(Error::unsupported(what)))
}

/// A driver that was made, with what its endpoints share.
pub(super) struct Made<D> {
    pub(super) driver: D,
    host: Host,
    /// Whether it was said that a session has facets that the constants do not name.
    told: AtomicBool,
}

impl<D: Driver> Made<D> {
    pub(super) fn new(driver: D, host: Host) -> Self {
        Made { driver, host, told: AtomicBool::new(false) }
    }

    /// What a configuration is checked with must hold for sessions.
    fn checked(&self, session: Result<Session>) -> Result<Session> {
        let session = session?;
        let more = session.facets().difference(D::INFO.facets);
        if !more.is_empty() && !self.told.swap(true, Ordering::Relaxed) {
            let names: Vec<_> = more.names().collect();
            let text = format!("sessions have facets that INFO does not name: {}", names.join(" "));
            self.host.log(Level::Warn, D::INFO.name, &text);
        }
        Ok(session)
    }
}

pub(super) struct DriverEndpoint<D: Driver> {
    pub(super) made: Arc<Made<D>>,
    pub(super) endpoint: D::Endpoint,
}

impl<D: Driver> Endpoint for DriverEndpoint<D> {
    fn open(self: Arc<Self>, request: Request) -> Op<Session> {
        Op::new(async move {
            let opened = self.made.driver.open(&self.endpoint, request).await;
            self.made.checked(opened)
        })
    }
    fn accept(self: Arc<Self>, request: Request) -> Op<Session> {
        Op::new(async move {
            let accepted = self.made.driver.accept(&self.endpoint, request).await;
            self.made.checked(accepted)
        })
    }
    fn listen(self: Arc<Self>, request: Request) -> Op<Listener> {
        Op::new(async move { self.made.driver.listen(&self.endpoint, request).await })
    }
    fn socket(&self) -> Option<Socket> {
        D::socket(&self.endpoint).cloned()
    }
}

pub(super) struct HandlerEndpoint<H: Handler>(pub(super) H);

impl<H: Handler> Endpoint for HandlerEndpoint<H> {
    fn serve(self: Arc<Self>, session: Session) -> Op<()> {
        Op::new(async move { self.0.serve(session).await })
    }
    fn health(&self) -> Option<Health> {
        Some(self.0.health())
    }
    fn drain(self: Arc<Self>) -> Op<()> {
        Op::new(async move { self.0.drain().await })
    }
}

pub(super) struct InterceptorEndpoint<I: Interceptor>(pub(super) I);

impl<I: Interceptor> Endpoint for InterceptorEndpoint<I> {
    fn intercept(self: Arc<Self>, call: Call, next: Next) -> Op<Bytes> {
        Op::new(async move {
            let result: Result<_> = self.0.call(call, next).await;
            Ok(Bytes::from(json(&result?)?))
        })
    }
}
