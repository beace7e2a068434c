//! The admin API: a running host looked at and changed from outside, by HTTP/1.1 and JSON over a Unix socket.
//!
//! ```text
//! socket ─▶ who connects (roles) ─▶ endpoint (table) ─▶ verbs and snapshots of the manager
//!                                                          │
//! events of the host ─▶ ring ─▶ readers of /v1/events ◀────┘
//! ```
//!
//! - **Sockets.** [`AdminSockets::bind`] takes the places that `[admin] listen` names, before anything else of the host
//!   begins; [`AdminSockets::serve`] answers there. The file of a socket never has more permissions than it is to have.
//! - **Roles.** The kernel tells the user who connects; `[admin]` says which users and groups may look, which may run
//!   verbs, and which may define and remove. Over TCP, which listens only on
//!   this machine, a token says who asks; web pages are kept out before. From elsewhere routes with `to = "admin"` bring
//!   encrypted sessions, whose certificates have roles, too.
//! - **Endpoints** are one table, of which the router and `/v1/openapi.json` are made. Lists are pages, errors are
//!   `application/problem+json` with the place in the body and the nearest name.
//! - **Events** are kept in a ring; a reader has no queue of its own, so that a slow one costs nothing.
//! - **Tags**: each definition, and the configuration, has an `ETag` that changes with it; `If-Match` holds a change to it.
//! - **Streams** are WebSockets at connections and paths, let in by a ticket, that go on where they were cut off; **leases**
//!   are held without one.
//! - **Changes** of `[admin]` are taken over with the configuration: places come and go, roles and limits hold at once.
//! - **Limits**: connections, readers of events, streams, leases, size and time of a request, each with a key.

mod caller;
mod calls;
mod changes;
mod conditions;
mod configuration;
mod definitions;
mod endpoints;
mod events;
mod exposition;
mod fields;
mod gate;
mod leases;
mod lists;
mod log;
mod log_levels;
mod metrics;
mod nouns;
mod openapi;
mod places;
mod probes;
mod problem;
mod query;
mod remote;
mod render;
mod request;
mod request_rates;
mod ring;
mod roles;
mod server;
mod socket;
mod status;
mod streams;
mod target_series;
mod tokens;
mod upgrade;
mod verbs;
mod weights;

pub use log_levels::{LevelChange, LogLevels};
pub use roles::{AdminPeer, AdminRole};
pub use socket::usual_place;
pub use upgrade::UpgradeControl;

use crate::reload::Reloader;
use std::sync::Arc;

pub use places::{AdminServer, AdminSockets};

/// What of a host is changed beside its manager; what is missing is refused.
#[derive(Clone, Default)]
pub struct AdminControls {
    /// Changes the level of the log.
    pub log: Option<Arc<dyn LogLevels>>,
    /// Reads the configuration again.
    pub reloader: Option<Reloader>,
    /// Has a new process take over.
    pub upgrade: Option<Arc<dyn UpgradeControl>>,
}

impl std::fmt::Debug for AdminControls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminControls")
            .field("log", &self.log.is_some())
            .field("reloader", &self.reloader.is_some())
            .field("upgrade", &self.upgrade.is_some())
            .finish()
    }
}
