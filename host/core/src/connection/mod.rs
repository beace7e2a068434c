//! Connections: the host's managed view of sessions, accepted and dialled alike. Each has an id that is
//! never used again, a state, events, statistics and its place in the table of what lives.

mod accepted;
mod attempts;
mod calls;
mod carried;
mod command;
mod counted;
mod counted_more;
mod data;
mod diagnose;
mod dispatcher;
mod handler;
mod health;
mod inbox;
mod info;
mod intercept;
mod keepalive;
mod live;
mod lives;
mod machinery;
mod managed;
mod outbox;
mod peers;
mod plugged;
mod policy;
mod record;
mod session_pool;
mod spec;
mod state;
mod steps;
mod supervisor;
mod target;
mod watch;

pub use accepted::{AcceptOptions, Acceptance, Entered, PeerInfo};
pub use attempts::{Connected, connect_many, connect_with_retry, ensure_connection};
pub use command::ConnectionCommand;
pub use counted::{CountedMessages, CountedStream};
pub(crate) use counted_more::{counted, counted_session};
pub use data::{Data, MAX_TEXT, MAX_TEXTS};
pub use diagnose::{Diagnosis, DiagnosisRule, Finding, RULES, Timer};
pub use handler::{Delivery, ErrorHook, ForAllConnections, SessionHandler};
pub use health::{Health, HealthMonitor};
pub use info::{ConnectionInfo, Flags, LiveSnapshot};
pub(crate) use intercept::Innermost;
pub use intercept::{Around, Call, Calling, Interception, Interceptor, MAX_INTERCEPTORS, Next};
pub use keepalive::KeepAlive;
pub use live::Live;
pub use lives::{Lives, LivesCount};
pub use machinery::Machinery;
pub use managed::{Managed, ManagedSnapshot};
pub use outbox::{Payload, Receipt};
pub use peers::{PeerCounts, PeerPlace};
pub use plugged::Plugged;
pub use policy::{Policy, Reconnect};
pub use record::{Decider, Transition};
pub use session_pool::{
    Dial, Member, OpenError, PoolEvents, PooledLimit, PooledSession, Purpose, SessionPool, shares,
};
pub use state::{IllegalStep, STATES, State, StateCell};
pub(crate) use supervisor::{Lasting, attend};
pub use target::{Caller, Entering, Gate, Held, Leave, Target};

use std::sync::atomic::{AtomicU64, Ordering};

/// Ids of accepted and of named connections alike.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
