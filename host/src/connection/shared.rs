//! [`SharedSession`]: a named connection that carries others (`via`): opened when first needed, one
//! session for all, opened anew after it was lost.

use super::target::Target;
use jackfield_plugin_api::{Address, Error, ErrorKind, Facets, Result, Session};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

/// A target whose one session several users share.
#[derive(Debug)]
pub struct SharedSession {
    name: String,
    target: Arc<Target>,
    session: Mutex<Option<Arc<Session>>>,
}

impl SharedSession {
    /// Shares a session to `target` under a name; does not connect yet.
    pub fn new(name: &str, target: Arc<Target>) -> Self {
        SharedSession { name: name.to_owned(), target, session: Mutex::new(None) }
    }

    /// Connects onward from its far end within `limit`. A session that turns out to be lost is
    /// opened anew once. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if its sessions cannot dial; else what opening or dialling says.
    pub fn dial<'a>(
        &'a self,
        address: &'a Address,
        limit: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Session>> + Send + 'a>> {
        // A via of a via: without the box the future would contain itself.
        Box::pin(self.dial_unboxed(address, limit))
    }

    async fn dial_unboxed(&self, address: &Address, limit: Duration) -> Result<Session> {
        let deadline = Instant::now() + limit;
        let (session, fresh) = self.get(deadline).await?;
        match self.dial_on(&session, address, deadline).await {
            Err(error) if !fresh && error.kind() == ErrorKind::Closed => {
                self.forget(&session).await;
                let (session, _) = self.get(deadline).await?;
                self.dial_on(&session, address, deadline).await
            }
            result => result,
        }
        .map_err(|error| error.with("via", &self.name))
    }

    async fn dial_on(
        &self,
        session: &Arc<Session>,
        address: &Address,
        deadline: Instant,
    ) -> Result<Session> {
        if !session.facets().has(Facets::DIAL) {
            return Err(Error::unsupported("carrying other connections: this connection"));
        }
        let dialled = timeout_at(deadline, session.dial(address)).await;
        dialled.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "no answer to a dial")))
    }

    /// The session, and whether it was opened by this call.
    async fn get(&self, deadline: Instant) -> Result<(Arc<Session>, bool)> {
        let late = |_| Error::new(ErrorKind::TimedOut, "no carrying session in time");
        let mut slot = timeout_at(deadline, self.session.lock()).await.map_err(late)?;
        if let Some(session) = &*slot {
            return Ok((Arc::clone(session), false));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let session = Arc::new(self.target.open(left).await?);
        *slot = Some(Arc::clone(&session));
        Ok((session, true))
    }

    async fn forget(&self, lost: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|session| Arc::ptr_eq(session, lost)) {
            *slot = None;
        }
    }
}
