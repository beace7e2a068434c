//! [`AdminSlot`]: the way of sessions to the admin API, for routes with `to = "admin"`. That API stands above all routes
//! and comes when they listen already, so it is handed down.

use crate::shutdown::Stopping;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use jackfield_timers::timeout;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How long a session waits for an admin API that is not there yet: as long as a host may take from its first accepted
/// session to the end of its start.
const START: Duration = Duration::from_secs(5);

/// A session that is being served.
pub type ServedSession = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What answers requests on sessions.
pub trait AdminService: Send + Sync {
    /// Answers on `session` until it ends; once told to stop, no longer than for the answer under way.
    fn serve(self: Arc<Self>, session: Session, stopping: Stopping) -> ServedSession;
}

/// The admin API of a host, once it is there.
pub struct AdminSlot(watch::Sender<Option<Weak<dyn AdminService>>>);

impl Default for AdminSlot {
    fn default() -> Self {
        AdminSlot(watch::Sender::new(None))
    }
}

impl fmt::Debug for AdminSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdminSlot").field(&self.0.borrow().is_some()).finish()
    }
}

impl AdminSlot {
    /// From now on `service` answers, for as long as something else keeps it.
    pub fn fill(&self, service: Weak<dyn AdminService>) {
        self.0.send_replace(Some(service));
    }

    /// Answers on a session to its end.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] where the admin API has ended; [`ErrorKind::TimedOut`] where there is none 5 s after the
    /// session was accepted, as in a program without one.
    pub(super) async fn serve(&self, session: Session, stopping: &Stopping) -> Result<()> {
        let mut filled = self.0.subscribe();
        let waiting = timeout(START, filled.wait_for(Option::is_some)).await;
        let service = waiting.ok().and_then(|there| there.ok()?.clone()).ok_or_else(|| {
            Error::new(
                ErrorKind::TimedOut,
                "this program has no admin API for the route to lead to",
            )
        })?;
        let ended = || Error::new(ErrorKind::Closed, "the admin API has ended");
        service.upgrade().ok_or_else(ended)?.serve(session, stopping.clone()).await
    }
}
