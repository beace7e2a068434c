//! Testing a driver without a host: [`host`] gives it services on the test's own tokio runtime, and
//! [`carriers`] joins two layers in memory.
//!
//! ```
//! use jackfield_plugin_api::{Address, Driver, Request, Role, testing};
//! # async fn joined<D: Driver>(client: D::Options, server: D::Options)
//! # -> jackfield_plugin_api::Result<()> {
//! let driver = D::new(testing::host())?;
//! let client = driver.configure(client, Role::Client)?;
//! let server = driver.configure(server, Role::Server)?;
//! let (near, far) = testing::carriers(64 * 1024);
//! let request = || Request::new(Address::new("localhost", 80), testing::DEADLINE);
//! let (near, far) = (request().with_carrier(near), request().with_carrier(far));
//! let (opened, accepted) = tokio::join!(driver.open(&client, near), driver.accept(&server, far));
//! # let _ = (opened?, accepted?);
//! # Ok(())
//! # }
//! ```

mod services;

use crate::info::Info;
use crate::services::{Host, export_services};
use crate::session::Session;
use crate::stream::Stream;
use services::TokioServices;
use std::sync::Arc;
use std::time::Duration;

/// How long a step of a test may take; generous, it only bounds a test that has failed already.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The services behind [`host`], for a plugin that is loaded.
pub fn services() -> Arc<dyn crate::services::Services> {
    Arc::new(TokioServices::default())
}

/// A host on the tokio runtime that the test runs in: tasks, timers (a paused clock holds them),
/// blocking work, TCP and Unix streams, watched descriptors, names. Everything else is unsupported, and logs go nowhere.
pub fn host() -> Host {
    let (table, context) = export_services(services());
    // SAFETY: both come from the call above.
    unsafe { Host::new(table, context) }
}

/// Two sessions with a byte stream each, joined in memory; `capacity` bytes may be on the way in
/// each direction.
pub fn carriers(capacity: usize) -> (Session, Session) {
    let (one, other) = tokio::io::duplex(capacity);
    let session = |local: &str, peer: &str, io| {
        let info =
            Info { local: Some(local.to_owned()), peer: Some(peer.to_owned()), ..Info::default() };
        Session::of_stream(info, Stream::new(io))
    };
    (session("memory:1", "memory:2", one), session("memory:2", "memory:1", other))
}
