//! [`SessionSource`]: where the sessions of a program's own targets come from, without a driver.

use jackfield_plugin_api::{Result, Session};
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

/// What opening through a [`SessionSource`] gives.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Session>> + Send + 'a>>;

/// Opens sessions inside this program: an in-process peer, or a transport that an embedding program
/// has of its own. Any `Fn(Duration) -> Future` is one.
pub trait SessionSource: Send + Sync + 'static {
    /// Opens one session within `limit`, after which the future is dropped.
    fn open(&self, limit: Duration) -> Opening<'_>;
}

impl<F, Fut> SessionSource for F
where
    F: Fn(Duration) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Session>> + Send + 'static,
{
    fn open(&self, limit: Duration) -> Opening<'_> {
        Box::pin(self(limit))
    }
}

pub(super) struct OwnSource(pub(super) Box<dyn SessionSource>);

impl fmt::Debug for OwnSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
