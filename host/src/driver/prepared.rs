//! [`Prepared`]: a driver or handler with its options in place.

use super::health::Health;
use jackfield_plugin_api::load::Endpoint;
use jackfield_plugin_api::op::{Op, Transfer};
use jackfield_plugin_api::{Listener, Request, Result, Session};
use std::sync::Arc;

/// A driver or handler with its options in place, for any number of calls at once. All are cancel
/// safe: dropping one ends what it had begun.
#[derive(Debug)]
pub struct Prepared {
    endpoint: Endpoint,
    health: Arc<Health>,
}

impl Prepared {
    pub(super) fn new(endpoint: Endpoint, health: Arc<Health>) -> Self {
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

    async fn call<T: Transfer>(&self, start: impl FnOnce(&Endpoint) -> Op<T>) -> Result<T> {
        let _trial = self.health.admit().await?;
        start(&self.endpoint).await
    }
}
