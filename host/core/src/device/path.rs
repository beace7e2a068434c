//! [`Path`]: one way to a device.

use super::exclusive::Exclusive;
use super::lease::LeaseSnapshot;
use super::observe::Observers;
use crate::connection::{
    Caller, Entering, Gate, Held, Leave, Lives, Managed, ManagedSnapshot, Payload, Policy, Receipt,
    Target,
};
use jackfield_plugin_api::{Result, Session};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// One way to a device.
#[derive(Clone, Debug)]
pub struct Path {
    name: Arc<str>,
    managed: Arc<Managed>,
    console: Option<Arc<Console>>,
}

/// What makes a path exclusive.
#[derive(Debug)]
struct Console {
    exclusive: Arc<Exclusive>,
    observers: Arc<Observers>,
}

/// A path as others read it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PathSnapshot {
    /// Its name.
    pub name: String,
    /// Where it goes, and the session that it shares.
    #[serde(flatten)]
    pub connection: ManagedSnapshot,
    /// Who has it and who waits, of an exclusive path.
    pub lease: Option<LeaseSnapshot>,
    /// How many watch it.
    pub observers: usize,
}

impl Path {
    /// A path that any number of sessions may use at a time. `name` is `PATH` of a device `device`.
    pub fn shared(device: &str, name: &str, target: Target, policy: Policy) -> Self {
        let full = format!("devices.{device}.{name}");
        let managed = Arc::new(Managed::new(&full, Arc::new(target), policy));
        Path { name: name.into(), managed, console: None }
    }

    /// A path with one session at a time, by the rules of `exclusive`, watched by `observers`.
    pub fn exclusive(
        device: &str,
        name: &str,
        target: Target,
        policy: Policy,
        exclusive: Arc<Exclusive>,
        observers: Arc<Observers>,
    ) -> Self {
        let console = Arc::new(Console { exclusive, observers });
        let target = target.behind(Arc::clone(&console) as Arc<dyn Gate>);
        Path { console: Some(console), ..Path::shared(device, name, target, policy) }
    }

    /// The same, with the session that all share counted in `lives` and held to its limit. To be called
    /// before it is used.
    #[must_use]
    pub fn counted(self, lives: &Arc<Lives>) -> Self {
        let Path { name, managed, console } = self;
        let (target, policy, labels) = (managed.target(), managed.policy(), managed.labels());
        let managed = Managed::counted(managed.name(), target, policy, labels, Arc::clone(lives));
        Path { name, managed: Arc::new(managed), console }
    }

    /// The same, known as `managed`, which has become what it is.
    #[must_use]
    pub fn on(self, managed: Arc<Managed>) -> Self {
        Path { managed, ..self }
    }

    /// Its name within the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The named connection that it is: one session for all that connect it or go via it.
    pub fn managed(&self) -> &Arc<Managed> {
        &self.managed
    }

    /// Runs an operation on the session that it shares, which is opened if there is none and stays open; of
    /// an exclusive path that session holds the lease, until it is disconnected or idle for too long. See
    /// [`Live::call`](crate::connection::Live::call).
    ///
    /// # Errors
    /// As there.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        self.managed.call(operation, params).await
    }

    /// Queues a payload for the session that it shares. See [`Live::post`](crate::connection::Live::post).
    ///
    /// # Errors
    /// As there; [`ErrorKind::Closed`](jackfield_plugin_api::ErrorKind::Closed) if it is not connected.
    pub fn post(&self, payload: impl Into<Payload>) -> Result<Receipt> {
        self.managed.post(payload)
    }

    /// Opens a session of one's own.
    ///
    /// # Errors
    /// As [`Target::open_for`].
    pub async fn open(&self, caller: &Caller, limit: Duration) -> Result<Session> {
        self.managed.target().open_for(caller, limit).await
    }

    /// Who has it and who waits; `None` if it is not exclusive.
    pub fn lease(&self) -> Option<&Arc<Exclusive>> {
        self.console.as_ref().map(|console| &console.exclusive)
    }

    /// Where what the device says can be watched; `None` if the path is not exclusive.
    pub fn observers(&self) -> Option<&Arc<Observers>> {
        self.console.as_ref().map(|console| &console.observers)
    }

    /// As others read it.
    pub fn snapshot(&self) -> PathSnapshot {
        PathSnapshot {
            name: self.name.to_string(),
            connection: self.managed.snapshot(),
            lease: self.lease().map(|exclusive| exclusive.snapshot()),
            observers: self.observers().map_or(0, |observers| observers.len()),
        }
    }
}

impl Gate for Console {
    fn enter<'a>(&'a self, caller: &'a Caller) -> Entering<'a> {
        Box::pin(async move {
            let lease = self.exclusive.acquire(caller.clone()).await?;
            let leave = Box::new(ConsoleLeave { lease, observers: Arc::clone(&self.observers) });
            Ok(leave as Box<dyn Leave>)
        })
    }

    fn held(&self) -> Option<Held> {
        let lease = self.exclusive.snapshot();
        let waiting = lease.waiters.len();
        let held = lease.holder?;
        Some(Held { by: held.caller, time: Duration::from_millis(held.held_ms), waiting })
    }
}

struct ConsoleLeave {
    lease: super::Lease,
    observers: Arc<Observers>,
}

impl Leave for ConsoleLeave {
    fn bind(self: Box<Self>, session: Session) -> Session {
        super::leased::lend(session, self.lease, Some(self.observers))
    }
}
