//! [`Managed`]: a named connection: what it is, and the life it has now, if any. It carries other
//! connections (`via`), one session for all.

use super::live::{Live, LiveSnapshot};
use super::policy::Policy;
use super::target::Target;
use jackfield_plugin_api::{Address, Error, ErrorKind, Facets, Result, Session};
use serde::Serialize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A named connection, defined whether or not it is connected.
#[derive(Debug)]
pub struct Managed {
    name: Arc<str>,
    target: Arc<Target>,
    policy: Policy,
    live: Mutex<Option<Arc<Live>>>,
}

/// A named connection as others read it.
#[derive(Clone, Debug, Serialize)]
pub struct ManagedSnapshot {
    /// Its name.
    pub name: String,
    /// Where it goes, without a password.
    pub uri: String,
    /// Its present or last life; `None` if it never had one.
    pub life: Option<LiveSnapshot>,
}

impl Managed {
    /// Defines a connection; it does not connect yet.
    pub fn new(name: &str, target: Arc<Target>, policy: Policy) -> Self {
        Managed { name: name.into(), target, policy, live: Mutex::default() }
    }

    /// Its target, for sessions of one's own.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Its present life, or a new one if there is none or it has ended. Callers at the same time get
    /// the same.
    pub fn live(&self) -> Arc<Live> {
        let mut slot = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = slot.as_ref().filter(|live| !live.state().is_final()) {
            return Arc::clone(live);
        }
        let (name, target) = (Arc::clone(&self.name), Arc::clone(&self.target));
        let live = Live::begin(name, target, self.policy.clone());
        *slot = Some(Arc::clone(&live));
        live
    }

    /// Its present or last life; begins none.
    pub fn last(&self) -> Option<Arc<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connects onward from its far end within `limit`, over the session it has or a new one. A
    /// session that turns out to be lost is replaced once. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if its sessions cannot dial; else what opening or dialling says.
    pub fn dial<'a>(
        &'a self,
        address: &'a Address,
        limit: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Session>> + Send + 'a>> {
        // A via of a via: without the box the future would contain itself.
        Box::pin(async move {
            let deadline = Instant::now() + limit;
            let first = self.dial_once(address, deadline).await;
            let result = match first {
                Err((error, true)) if error.kind() == ErrorKind::Closed => {
                    self.dial_once(address, deadline).await
                }
                other => other,
            };
            result.map_err(|(error, _)| error.with("via", &self.name))
        })
    }

    /// On failure also tells whether the session was used, and not just missing.
    async fn dial_once(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> Result<Session, (Error, bool)> {
        let live = self.live();
        let left = deadline.saturating_duration_since(Instant::now());
        let session = live.wait_ready(left).await.map_err(|error| (error, false))?;
        let generation = live.generation();
        if !session.facets().has(Facets::DIAL) {
            return Err((Error::unsupported("carrying other connections"), false));
        }
        let dialled = timeout_at(deadline, session.dial(address)).await;
        let late = || Error::new(ErrorKind::TimedOut, "no answer to a dial");
        let result = dialled.unwrap_or_else(|_| Err(late()));
        live.record_activity();
        let error = match result {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        live.report(generation, &error);
        if error.kind() == ErrorKind::Closed {
            // Its supervisor takes note first, so that the next call does not meet it again.
            let _ = timeout_at(deadline, live.left(generation)).await;
        }
        Err((error, true))
    }

    /// As others read it.
    pub fn snapshot(&self) -> ManagedSnapshot {
        ManagedSnapshot {
            name: self.name.to_string(),
            uri: self.target.stack().display().to_owned(),
            life: self.last().map(|live| live.snapshot()),
        }
    }
}
