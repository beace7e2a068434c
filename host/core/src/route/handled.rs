//! A session that is answered here: by a handler, or by the admin API.

use super::parting::Parting;
use super::{AdminSlot, Destination, Served, leave};
use crate::connection::{ConnectionCommand, Entered};
use crate::driver::Prepared;
use crate::relay::cut_off;
use crate::session::{SessionExt, shared};
use crate::shutdown::Stopping;
use jackfield_plugin_api::{Facets, Result, Session};
use scopeguard::{ScopeGuard, guard};
use std::pin::Pin;
use std::sync::Arc;

/// A handler that has not finished, and its session.
type Unfinished<F> = (Pin<Box<F>>, Arc<Session>);

/// What answers sessions itself.
#[derive(Clone, Copy)]
pub(super) enum SessionServer<'a> {
    /// Code of a plugin.
    Handler(&'a Prepared),
    /// The host's own.
    Admin(&'a AdminSlot),
}

impl<'a> SessionServer<'a> {
    /// Of a destination that sessions are not joined to.
    pub(super) fn of(destination: &'a Destination) -> Option<Self> {
        match destination {
            Destination::Handler(handler) => Some(SessionServer::Handler(handler)),
            Destination::Admin(slot) => Some(SessionServer::Admin(slot)),
            _ => None,
        }
    }

    async fn serve(self, session: Session, stopping: &Stopping) -> Result<()> {
        match self {
            SessionServer::Handler(handler) => handler.serve(session).await,
            SessionServer::Admin(slot) => slot.serve(session, stopping).await,
        }
    }
}

/// Serves a session by a handler to its end, or until its connection or the host ends. Then its peer is told so, or
/// sees a failure: what was served was not whole. Dropping the future does the same.
///
/// # Errors
/// The handler's own.
pub(super) async fn handled(
    server: SessionServer<'_>,
    session: Session,
    connection: &Entered,
    stopping: &Stopping,
) -> Result<Served> {
    let (session, kept) = shared(session);
    let serving = Box::pin(serve(server, session, Arc::clone(&kept), stopping));
    let mut held = guard((serving, kept), cut_off::<Unfinished<_>>);
    let served = tokio::select! {
        served = leave::unless_told(held.0.as_mut(), connection) => served,
        () = stopping.ended() => Ok(Served::Stopped),
    };
    let is_cut = match &served {
        Ok(Served::Stopped) => {
            let (serving, kept) = &mut *held;
            let parting = Parting::stopped();
            tokio::select! {
                is_cut = parting.tell(kept) => is_cut,
                // It has heard of the end that its peer was told of.
                _ = serving => false,
            }
        }
        Ok(Served::Told(command)) => {
            let (serving, kept) = &mut *held;
            tokio::select! {
                is_cut = told(command, kept, connection) => is_cut,
                _ = serving => false,
            }
        }
        _ => false,
    };
    let unfinished = ScopeGuard::into_inner(held);
    if is_cut {
        cut_off(unfinished);
    }
    served
}

/// Tells a peer that its connection was told to end; answers whether it must see a failure.
async fn told(command: &ConnectionCommand, session: &Session, connection: &Entered) -> bool {
    let ConnectionCommand::Close { code, reason } = command else { return true };
    connection.closing(*code, reason);
    session.close_politely(*code, reason).await;
    !session.facets().contains(Facets::CLOSE_CODE)
}

/// Told to stop, a session that can drain does.
async fn serve(
    server: SessionServer<'_>,
    session: Session,
    drain: Arc<Session>,
    stopping: &Stopping,
) -> Result<()> {
    if !session.facets().contains(Facets::DRAIN) {
        return server.serve(session, stopping).await;
    }
    let draining = async {
        stopping.told().await;
        // It says when the last answer is out; the handler then sees the end.
        let _ = drain.drain().await;
        std::future::pending().await
    };
    tokio::select! {
        served = server.serve(session, stopping) => served,
        never = draining => never,
    }
}
