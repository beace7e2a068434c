//! [`AcceptingSlot`]: what a listener accepts from, which another generation of its transport may take the place of
//! while it accepts.

use crate::services::handed_over;
use crate::stack::Stack;
use jackfield_plugin_api::{ErrorKind, Info, Kept, Listener, Result, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A listener of a transport, and what each session that it accepts keeps.
type Accepting = (Listener, Kept);

/// How often an address is tried again that the listener before has not let go of yet.
const PAUSE: Duration = Duration::from_millis(5);

/// See the [module](self). Cheap to clone: the clones are one.
#[derive(Clone, Debug)]
pub(super) struct AcceptingSlot(Arc<watch::Sender<Option<Arc<Accepting>>>>);

/// Who accepts.
pub(super) struct Hearer(watch::Receiver<Option<Arc<Accepting>>>);

impl AcceptingSlot {
    pub(super) fn of(accepting: Accepting) -> Self {
        AcceptingSlot(Arc::new(watch::Sender::new(Some(Arc::new(accepting)))))
    }

    /// Where it listens.
    pub(super) fn info(&self) -> Info {
        let now = self.0.borrow().clone();
        now.map(|accepting| accepting.0.info()).unwrap_or_default()
    }

    /// Lets go of the address.
    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    pub(super) fn hearer(&self) -> Hearer {
        Hearer(self.0.subscribe())
    }

    /// Accepts from what `stack` listens with now, at the port that it has.
    ///
    /// # Errors
    /// What the transport says within `limit`.
    pub(super) async fn change(&self, stack: &Stack, limit: Duration) -> Result<()> {
        let local = self.info().local;
        let port = local.and_then(|local| local.rsplit_once(':')?.1.parse().ok());
        let listened = handed_over(stack.listen_at(limit, port)).await;
        let next = match listened {
            Err(error) if error.kind() == ErrorKind::InUse => {
                self.0.send_replace(None);
                again(stack, limit, port).await?
            }
            listened => listened?,
        };
        self.0.send_replace(Some(Arc::new(next)));
        Ok(())
    }
}

/// Listens as soon as the address is free, at most for `limit`.
async fn again(stack: &Stack, limit: Duration, port: Option<u16>) -> Result<Accepting> {
    let end = Instant::now() + limit;
    loop {
        match stack.listen_at(limit, port).await {
            Err(error) if error.kind() == ErrorKind::InUse && Instant::now() < end => {
                sleep(PAUSE).await;
            }
            listened => return listened,
        }
    }
}

impl Hearer {
    /// The next session, of whatever there is to accept from. Cancel safe.
    ///
    /// # Errors
    /// What the transport says.
    pub(super) async fn accept(&mut self) -> Result<Session> {
        loop {
            let now = self.0.borrow_and_update().clone();
            let accept = async {
                match &now {
                    Some(accepting) => {
                        let mut session = accepting.0.accept().await?;
                        session.keep(Arc::clone(&accepting.1));
                        Ok(session)
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                accepted = accept => return accepted,
                changed = self.0.changed() => {
                    // Without a sender nothing takes its place.
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}
