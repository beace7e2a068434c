//! [`Acceptor`]: the way of one accepted session through the layers of its listener to what serves it.

use super::admission::Places;
use super::ended::{SessionLine, shown};
use super::room::RoomPlace;
use super::{ListenerShared, Service};
use crate::addr::Addr;
use crate::connection::{ConnectionCommand, Entered};
use crate::route::Served;
use crate::shutdown::Stopping;
use crate::work::{self, OpeningStep};
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Session};
use std::sync::Arc;

/// Serves a session that was accepted, on a task of its own.
pub(super) fn start(
    shared: Arc<ListenerShared>,
    session: Session,
    place: RoomPlace,
    end: &Stopping,
) {
    let info = session.info();
    let places = match shared.admit_transport(info.peer.as_deref()) {
        Ok(places) => places,
        Err(error) => {
            let peer = info.peer.as_deref().unwrap_or("-");
            tracing::info!(listener = &*shared.name, peer, %error, "peer refused");
            shared.counts.refused();
            return;
        }
    };
    let entered = match shared.acceptance.enter(info) {
        Ok(entered) => entered,
        Err(error) => {
            tracing::warn!(listener = &*shared.name, %error, "connection refused");
            shared.counts.refused();
            return;
        }
    };
    shared.counts.accepted();
    let acceptor = Acceptor { shared, stopping: end.clone() };
    tokio::spawn(async move {
        {
            let serving = std::pin::pin!(async {
                tokio::select! {
                    () = acceptor.serve(session, &entered) => {}
                    () = acceptor.stopping.overdue() => {}
                }
            });
            work::under(entered.id, serving).await;
        }
        drop((entered, places, place, acceptor));
    });
}

/// Serves what a listener has accepted, and hears when it is to stop.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<ListenerShared>,
    pub(super) stopping: Stopping,
}

/// What comes of the layers of a listener.
enum AdmittedSession {
    /// A session for the service, and its places among those of its address.
    One(Session, Places),
    /// A session whose streams are served one by one.
    Streams(Session, Places),
}

impl Acceptor {
    /// Takes a session that was accepted, or a stream of one, through the layers and serves it. Not an `async fn`,
    /// and the way through the layers in a box: a connection that is served keeps no room for that.
    pub(super) fn serve<'a>(
        &'a self,
        session: Session,
        entered: &'a Entered,
    ) -> impl Future<Output = ()> + Send + use<'a> {
        let admitting = Box::pin(self.admit(session, entered));
        async move {
            match admitting.await {
                Some(AdmittedSession::One(session, places)) => {
                    self.join(session, entered).await;
                    drop(places);
                }
                Some(AdmittedSession::Streams(session, places)) => {
                    Box::pin(self.serve_streams(session, entered)).await;
                    drop(places);
                }
                None => {}
            }
        }
    }

    /// Takes a session through the layers. Of one that does not get through, the reason is told here.
    async fn admit(&self, session: Session, entered: &Entered) -> Option<AdmittedSession> {
        let (shared, name, id) = (&self.shared, &*self.shared.name, entered.id);
        let peer = || shown(entered.peer());
        let layers = shared.target.stack().has_layers();
        if shared.divides(&session, layers) {
            tracing::debug!(listener = name, id, peer = peer(), "connected, with streams");
            entered.shaken(&session, false);
            return Some(AdmittedSession::Streams(session, Places::default()));
        }
        if layers {
            entered.note_opening(OpeningStep::Handshaking);
        }
        let session = match shake_hands(shared, session, entered).await {
            Ok(session) => session,
            Err(error) => {
                if error.kind() == ErrorKind::Panicked {
                    // The panic itself has a line of its own, which names the code.
                    tracing::info!(listener = name, id, peer = peer(), %error, "panicked: peer not accepted");
                } else {
                    tracing::info!(listener = name, id, peer = peer(), %error, "peer not accepted");
                }
                entered.failed(&error);
                return None;
            }
        };
        let places = match shared.admit_client(entered.peer()) {
            Ok(places) => places,
            Err(error) => {
                tracing::info!(listener = name, id, peer = peer(), %error, "peer refused");
                entered.failed(&error);
                return None;
            }
        };
        tracing::debug!(listener = name, id, peer = peer(), "connected");
        if layers && shared.divides(&session, false) {
            return Some(AdmittedSession::Streams(session, places));
        }
        Some(AdmittedSession::One(session, places))
    }

    /// Gives a session to the service.
    async fn join(&self, session: Session, entered: &Entered) {
        let shared = &self.shared;
        let mut line = SessionLine::new(entered, &shared.service, &shared.counts);
        let served = match &shared.service {
            Service::Route(route) => route.serve(session, entered, &self.stopping).await,
            Service::Code { code, .. } => {
                // Boxed, so that a relayed connection does not keep room for it.
                Box::pin(code.serve(session, entered, &self.stopping)).await
            }
        };
        match served {
            Ok(served) => {
                line.ended(&served);
                match served {
                    Served::Told(command) => entered.ended(&command),
                    served => entered.served(served.into_end()),
                }
            }
            Err(error) => {
                line.failed(&error);
                entered.failed(&error);
            }
        }
    }
}

impl ListenerShared {
    /// Admits a peer that a transport has accepted; a client behind a proxy that names its clients, once that is
    /// known.
    fn admit_transport(&self, peer: Option<&str>) -> Result<Places> {
        if self.target.stack().tells_client() {
            return Ok(Places::default());
        }
        self.admission.admit(peer.map(Addr::from).as_ref())
    }

    /// Admits the client that a proxy has named.
    fn admit_client(&self, peer: Option<&Addr>) -> Result<Places> {
        if self.target.stack().tells_client() {
            return self.admission.admit(peer);
        }
        Ok(Places::default())
    }

    /// Whether the streams of a session are served one by one: where there are `layers` to take each through,
    /// and where the route takes them so.
    fn divides(&self, session: &Session, layers: bool) -> bool {
        let takes = match &self.service {
            Service::Route(route) => layers || route.takes_streams(),
            Service::Code { .. } => layers,
        };
        takes && session.facets().contains(Facets::ACCEPT_STREAM)
    }
}

/// Takes a session through the layers, unless its connection is told to end meanwhile.
async fn shake_hands(
    shared: &ListenerShared,
    session: Session,
    entered: &Entered,
) -> Result<Session> {
    let deferred = matches!(&shared.service, Service::Route(route) if route.opens());
    let accepting = shared.target.stack().accept(session, shared.handshake_timeout, deferred);
    let session = tokio::select! {
        accepted = accepting => accepted?,
        command = entered.told(&ConnectionCommand::Run) => {
            let text = format!("closed in its handshake: {command}");
            return Err(Error::new(ErrorKind::Cancelled, text));
        }
    };
    entered.shaken(&session, shared.target.stack().has_layers());
    Ok(session)
}
