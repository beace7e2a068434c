//! [`Destination`]: where something leads to: a route with the sessions it accepts, a
//! program with a call, a command.

use super::AdminSlot;
use crate::connection::{Caller, Held, Managed, Payload, Receipt, Target};
use crate::device::Observers;
use crate::dialogue;
use crate::driver::{DriverHandle, Prepared};
use crate::upstream::{Opened, Upstream};
use jackfield_plugin_api::{Error, Facets, Operation, Result, Session};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Where something leads.
#[derive(Clone, Debug)]
pub enum Destination {
    /// One of an upstream's targets.
    Upstream(Arc<Upstream>),
    /// A named connection, a path of a device, or what a URI says.
    Connection(Arc<Managed>),
    /// What others do on an exclusive path of a device, to watch.
    Observe(Arc<Observers>),
    /// Code of a plugin.
    Handler(Arc<Prepared>),
    /// The admin API of this host.
    Admin(Arc<AdminSlot>),
}

impl Destination {
    /// The driver on top, whose operations its sessions have; an upstream's is its first target's.
    pub fn driver(&self) -> Option<Arc<DriverHandle>> {
        match self {
            Destination::Upstream(upstream) => upstream.driver().map(DriverHandle::current),
            Destination::Connection(managed) => {
                managed.target().stack().top().map(DriverHandle::current)
            }
            Destination::Observe(_) | Destination::Handler(_) | Destination::Admin(_) => None,
        }
    }

    /// Whether one session of it is open at a time: an exclusive path, or a driver that has but one.
    pub fn has_one_user(&self) -> bool {
        matches!(self, Destination::Connection(managed) if managed.has_one_user())
    }

    /// Who has the lease of an exclusive path at this moment.
    pub fn held(&self) -> Option<Held> {
        let Destination::Connection(managed) = self else { return None };
        managed.target().held()
    }

    /// The operation of that name: the driver's own, or one that any stream has.
    pub fn operation(&self, name: &str) -> Option<Operation> {
        let own = self.driver().and_then(|driver| driver.operation(name).cloned());
        own.or_else(|| dialogue::operation(name).cloned())
    }

    /// All operations that its sessions have.
    pub fn operations(&self) -> Vec<Operation> {
        let driver = self.driver();
        let own = driver.as_ref().map_or(&[][..], |driver| &driver.manifest.operations);
        let has_stream =
            |driver: &Arc<DriverHandle>| driver.manifest.facets.contains(Facets::STREAM);
        let streams = driver.as_ref().is_none_or(has_stream);
        let more = if streams { dialogue::operations() } else { &[] };
        own.iter().chain(more).cloned().collect()
    }

    /// The targets behind it: one by `name`, or each of an upstream by its own.
    pub fn targets(&self, name: &str) -> Vec<(String, Arc<Target>)> {
        match self {
            Destination::Upstream(upstream) => upstream.targets(),
            Destination::Connection(managed) => vec![(name.to_owned(), managed.target())],
            Destination::Observe(_) | Destination::Handler(_) | Destination::Admin(_) => Vec::new(),
        }
    }

    /// Opens a session of one's own for `caller`, within its `connect_timeout`; an exclusive path is waited
    /// for by its own rules before. One of an upstream counts as in flight at its target, and in its pool
    /// as in use, for as long as it is kept. Cancel safe: what was open is dropped.
    ///
    /// # Errors
    /// The first layer's that fails, or the last target's;
    /// [`ErrorKind::Unsupported`](jackfield_plugin_api::ErrorKind::Unsupported) for a handler, which answers sessions.
    pub async fn open(&self, caller: &Caller) -> Result<Session> {
        match self {
            Destination::Upstream(upstream) => upstream.open(None).await.map(Opened::into_session),
            Destination::Connection(managed) => {
                let (target, limit) = managed.target_and_limit();
                target.open_for(caller, limit).await
            }
            Destination::Observe(observers) => Ok(observers.observe()?.into_session()),
            Destination::Handler(_) => Err(Error::unsupported("connecting to a handler")),
            Destination::Admin(_) => Err(Error::unsupported("connecting to the admin API")),
        }
    }

    /// Runs an operation on the session that a connection shares, which is opened if there is none, or on
    /// a pooled one of an upstream: through its interceptors, within its `call_timeout` for that
    /// operation, and counted there. Cancel safe as far as the operation is.
    ///
    /// # Errors
    /// What opening or the operation says;
    /// [`ErrorKind::TimedOut`](jackfield_plugin_api::ErrorKind::TimedOut).
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        match self {
            Destination::Upstream(upstream) => upstream.call(None, operation, params).await,
            Destination::Connection(managed) => managed.call(operation, params).await,
            _ => Err(self.has_no_operations()),
        }
    }

    /// As [`Destination::call`], within `limit`.
    ///
    /// # Errors
    /// As there.
    pub async fn call_within(
        &self,
        limit: Duration,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        match self {
            Destination::Upstream(upstream) => {
                upstream.call_within(limit, None, operation, params).await
            }
            Destination::Connection(managed) => {
                managed.live().call_within(limit, operation, params).await
            }
            _ => Err(self.has_no_operations()),
        }
    }

    /// Queues a payload for the session that a connection shares, see
    /// [`Live::post`](crate::connection::Live::post), or for a target of an upstream, see [`Upstream::post`].
    ///
    /// # Errors
    /// As there; [`ErrorKind::Closed`](jackfield_plugin_api::ErrorKind::Closed) if it is not connected;
    /// [`ErrorKind::Unsupported`](jackfield_plugin_api::ErrorKind::Unsupported) for what shares no session.
    pub fn post(&self, payload: impl Into<Payload>) -> Result<Receipt> {
        match self {
            Destination::Connection(managed) => managed.post(payload),
            Destination::Upstream(upstream) => upstream.post(None, payload),
            _ => Err(self.has_no_operations()),
        }
    }

    fn has_no_operations(&self) -> Error {
        Error::unsupported(match self {
            Destination::Handler(_) => "calling an operation of a handler",
            Destination::Admin(_) => "calling an operation of the admin API",
            _ => "calling an operation of a path that is only observed",
        })
    }
}
