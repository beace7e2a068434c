//! [`Prepared`]: a driver, handler or interceptor with its options in place.

use super::health::FileHealth;
use jackfield_plugin_api::load::Endpoint;
use jackfield_plugin_api::op::{Op, Transfer};
use jackfield_plugin_api::{Call, Listener, Next, Request, Result, Session};
use serde_json::Value;
use std::sync::Arc;

/// A driver, handler or interceptor with its options in place, for any number of calls at once. All are cancel
/// safe: dropping one ends what it had begun.
#[derive(Debug)]
pub struct Prepared {
    endpoint: Endpoint,
    health: Arc<FileHealth>,
}

impl Prepared {
    pub(super) fn new(endpoint: Endpoint, health: Arc<FileHealth>) -> Self {
        Prepared { endpoint, health }
    }

    /// Connects.
    ///
    /// # Errors
    /// The driver's, or why its plugin is not used any more.
    pub async fn open(&self, request: Request) -> Result<Session> {
        self.call(|endpoint| endpoint.open(request)).await
    }

    /// A layer's passive side, over the request's carrier.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub async fn accept(&self, request: Request) -> Result<Session> {
        self.call(|endpoint| endpoint.accept(request)).await
    }

    /// A transport's passive side.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub async fn listen(&self, request: Request) -> Result<Listener> {
        self.call(|endpoint| endpoint.listen(request)).await
    }

    /// Gives a session to a handler; done when it has been served.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub async fn serve(&self, session: Session) -> Result<()> {
        self.call(|endpoint| endpoint.serve(session)).await
    }

    /// Runs an operation through an interceptor, which may pass it on to `next`.
    ///
    /// # Errors
    /// As [`Prepared::open`], or the operation's.
    pub async fn intercept(&self, call: &Call, next: Next) -> Result<Value> {
        let _trial = self.health.admit().await?;
        self.endpoint.intercept(call, next).await
    }

    async fn call<T: Transfer>(&self, start: impl FnOnce(&Endpoint) -> Op<T>) -> Result<T> {
        let _trial = self.health.admit().await?;
        start(&self.endpoint).await
    }
}
