//! Connections: the host's managed view of sessions. Each has an id that is never used again, a
//! state, statistics and its place in the table of what lives.

mod attempts;
mod calls;
mod counted;
mod courier;
mod data;
mod diagnose;
mod handler;
mod health;
mod info;
mod intercept;
mod keepalive;
mod live;
mod lives;
mod managed;
mod outbox;
mod plugged;
mod policy;
mod record;
mod session_pool;
mod spec;
mod state;
mod supervisor;
mod target;
mod traffic;
mod watch;

pub use attempts::{Connected, connect_many, connect_with_retry, ensure_connection};
pub use counted::{CountedMessages, CountedStream};
pub use data::{Data, MAX_TEXT, MAX_TEXTS};
pub use diagnose::{Diagnosis, Finding, RULES, Rule, Timer};
pub use handler::{Delivery, SessionHandler};
pub use health::{Health, HealthMonitor};
pub use info::{ConnectionInfo, Flags, LiveSnapshot};
pub(crate) use intercept::Innermost;
pub use intercept::{Around, Call, Calling, Interception, Interceptor, MAX_INTERCEPTORS, Next};
pub use keepalive::KeepAlive;
pub use live::Live;
pub use lives::{Lives, LivesCount};
pub use managed::{Managed, ManagedSnapshot};
pub use outbox::{Payload, Receipt};
pub use plugged::Plugged;
pub use policy::{Policy, Reconnect};
pub use record::{Decider, Step};
pub use session_pool::{
    Dial, Member, OpenError, PooledLimit, PooledSession, Purpose, SessionPool, shares,
};
pub use state::{IllegalStep, STATES, State, StateCell};
pub use target::{Caller, Entering, Gate, Leave, Target};

use crate::relay::Totals;
use crate::work;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Ids of accepted and of named connections alike.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// One connection that lives: a peer that a listener accepted, joined to where its route leads.
#[derive(Debug)]
pub struct Connection {
    /// Never used again in this process.
    pub id: u64,
    /// Where it came in, as the listener is written.
    pub listener: Arc<str>,
    /// What the route joins it to.
    pub to: Arc<str>,
    /// The peer's address; `None` if its transport has none.
    pub peer: Option<String>,
    /// Who the peer has proven to be.
    pub identity: Option<String>,
    /// Whether its bytes are encrypted on their way here.
    pub is_encrypted: bool,
    /// Where it is in its life.
    pub state: StateCell,
    /// What has passed so far.
    pub totals: Arc<Totals>,
    since: Instant,
    since_unix: Duration,
}

/// A connection as others read it.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionSnapshot {
    /// Its id.
    pub id: u64,
    /// Where it came in.
    pub listener: String,
    /// What it is joined to.
    pub to: String,
    /// The peer's address.
    pub peer: Option<String>,
    /// Who the peer has proven to be.
    pub identity: Option<String>,
    /// `connecting`, `connected`, …
    pub state: &'static str,
    /// What it is and does.
    pub flags: Flags,
    /// Bytes from the peer to where the route leads.
    pub bytes_in: u64,
    /// Bytes back to the peer.
    pub bytes_out: u64,
    /// Messages from the peer.
    pub messages_in: u64,
    /// Messages to the peer.
    pub messages_out: u64,
    /// Seconds since 1970 when it came in.
    pub since: u64,
    /// Milliseconds that it has lived.
    pub age_ms: u64,
}

impl Connection {
    /// As others read it.
    pub fn snapshot(&self) -> ConnectionSnapshot {
        let state = self.state.get();
        ConnectionSnapshot {
            id: self.id,
            listener: self.listener.to_string(),
            to: self.to.to_string(),
            peer: self.peer.clone(),
            identity: self.identity.clone(),
            state: state.as_str(),
            flags: Flags { is_encrypted: self.is_encrypted, is_healthy: true, ..Flags::of(state) },
            bytes_in: self.totals.bytes_to_b(),
            bytes_out: self.totals.bytes_to_a(),
            messages_in: self.totals.messages_to_b(),
            messages_out: self.totals.messages_to_a(),
            since: self.since_unix.as_secs(),
            age_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// All connections that live, at most so many.
#[derive(Debug)]
pub struct Connections {
    total: AtomicU64,
    max: usize,
    live: Mutex<HashMap<u64, Arc<Connection>>>,
    left: Notify,
}

impl Connections {
    /// A table for at most `max` connections at once.
    pub fn new(max: usize) -> Arc<Self> {
        let table = Arc::new(Connections {
            total: AtomicU64::new(0),
            max,
            live: Mutex::default(),
            left: Notify::new(),
        });
        let weak: Weak<Self> = Arc::downgrade(&table);
        work::register(weak);
        table
    }

    /// Enters the connection of a session; it stays until the answer is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when `max` connections live.
    pub fn enter(
        self: &Arc<Self>,
        listener: &Arc<str>,
        to: &Arc<str>,
        session: Info,
    ) -> Result<Entered> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.len() >= self.max {
            let text = format!("{} connections live, no more are taken", self.max);
            return Err(Error::new(ErrorKind::Limit, text).with("key", "host.max_connections"));
        }
        let connection = Arc::new(Connection {
            id: next_id(),
            listener: Arc::clone(listener),
            to: Arc::clone(to),
            peer: session.peer,
            identity: session.identity,
            is_encrypted: session.encrypted,
            state: StateCell::new(State::Connecting),
            totals: Arc::default(),
            since: Instant::now(),
            since_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        });
        live.insert(connection.id, Arc::clone(&connection));
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Entered { connection, table: Arc::clone(self) })
    }

    /// How many live now.
    pub fn len(&self) -> usize {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Completes when there have been `count` connections and none lives. Cancel safe.
    pub async fn idle_after(&self, count: u64) {
        loop {
            // Enabled before the look, so that nobody who leaves in between is missed.
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.total() >= count && self.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// All that live, by id.
    pub fn snapshot(&self) -> Vec<ConnectionSnapshot> {
        let live: Vec<Arc<Connection>> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.values().cloned().collect()
        };
        let mut list: Vec<_> = live.iter().map(|connection| connection.snapshot()).collect();
        list.sort_by_key(|connection| connection.id);
        list
    }
}

impl work::Names for Connections {
    fn named(&self, id: u64) -> Option<work::Named> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&id).map(|connection| work::Named {
            name: None,
            listener: Some(connection.listener.to_string()),
            peer: connection.peer.clone(),
        })
    }
}

/// A place in the table; dropping it leaves the table.
#[derive(Debug)]
pub struct Entered {
    connection: Arc<Connection>,
    table: Arc<Connections>,
}

impl std::ops::Deref for Entered {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut live = self.table.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&self.connection.id);
        drop(live);
        self.table.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod table_tests {
    use super::*;

    #[test]
    fn the_table_counts_exactly_and_never_reuses_an_id() -> Result<()> {
        let table = Connections::new(2);
        let (listener, to) = (Arc::from("tcp://:1"), Arc::from("handlers.echo"));
        let first = table.enter(&listener, &to, Info::default())?;
        let peer = Info::new().peer("peer").encrypted();
        let second = table.enter(&listener, &to, peer)?;
        let flags = second.snapshot().flags;
        assert!(flags.is_encrypted && flags.is_connecting && !flags.is_client);
        let refused = table.enter(&listener, &to, Info::default()).map(|entered| entered.id);
        assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Limit));
        let first_id = first.id;
        drop(first);
        assert_eq!(table.len(), 1);
        let third = table.enter(&listener, &to, Info::default())?;
        assert!(third.id > second.id && second.id > first_id);
        assert_eq!(table.total(), 3);
        assert_eq!(table.snapshot().len(), 2);
        Ok(())
    }
}
