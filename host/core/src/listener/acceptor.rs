//! [`Acceptor`]: the way of one accepted session through the layers of its listener to what serves it.

use super::admission::Places;
use super::ended::{SessionLine, shown};
use super::room::RoomPlace;
use super::{ListenerShared, Service};
use crate::addr::Addr;
use crate::connection::{ConnectionCommand, Entered, Live, PeerInfo};
use crate::route::Served;
use crate::shutdown::Stopping;
use crate::work::{self, OpeningStep};
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Session};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Serves a session that was accepted, on a task of its own.
pub(super) fn start(
    shared: Arc<ListenerShared>,
    session: Session,
    place: RoomPlace,
    end: &Stopping,
) {
    let peer = PeerInfo::of(&session);
    let places = match shared.admit_transport(peer.addr.as_ref()) {
        Ok(places) => places,
        Err(error) => {
            let peer = shown(peer.addr.as_ref());
            tracing::info!(listener = &*shared.name, peer, %error, "peer refused");
            shared.counts.refused();
            return;
        }
    };
    let entered = match shared.acceptance.enter(peer) {
        Ok(entered) => entered,
        Err(error) => {
            tracing::warn!(listener = &*shared.name, %error, "connection refused");
            shared.counts.refused();
            return;
        }
    };
    shared.counts.accepted();
    let acceptor = Acceptor { shared, stopping: end.clone() };
    let admitting = acceptor.admitting(session, &entered);
    // Boxed: the memory of a task is in units of 128 bytes, and lies where those are.
    tokio::spawn(Box::pin(accepted(acceptor, admitting, entered, (places, place))));
}

/// The task of a connection: it is served, and leaves its places at its end. Not an `async fn`, which would keep room
/// for its arguments twice.
fn accepted(
    acceptor: Acceptor,
    admitting: Admitting,
    entered: Entered,
    places: (Places, RoomPlace),
) -> impl Future<Output = ()> + Send {
    let id = entered.id;
    async move {
        {
            let mut stage = AcceptedStage::Admitting(admitting);
            let mut overdue = std::pin::pin!(acceptor.stopping.overdue());
            let serving = std::pin::pin!(poll_fn(|cx| {
                match stage.poll(cx, &acceptor, &entered) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => overdue.as_mut().poll(cx),
                }
            }));
            work::under(id, serving).await;
        }
        drop((entered, places, acceptor));
    }
}

/// Serves what a listener has accepted, and hears when it is to stop.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) shared: Arc<ListenerShared>,
    pub(super) stopping: Stopping,
}

/// What comes of the layers of a listener.
pub(super) enum AdmittedSession {
    /// A session for the service, and its places among those of its address.
    One(Session, Places),
    /// A session whose streams are served one by one.
    Streams(Session, Places),
}

/// The way of a session through the layers. Boxed: a connection that is served keeps no room for it.
pub(super) enum Admitting {
    /// Nothing stands on its transport.
    Through(Option<Box<AdmittedSession>>),
    /// Its layers speak with the peer.
    Layers(Pin<Box<dyn Future<Output = Option<AdmittedSession>> + Send>>),
}

impl Admitting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<AdmittedSession>> {
        match self {
            Admitting::Through(admitted) => Poll::Ready(admitted.take().map(|admitted| *admitted)),
            Admitting::Layers(layers) => layers.as_mut().poll(cx),
        }
    }
}

/// A session that is served. Boxed, so that one future of the task leads to any service.
type Serving<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How far an accepted session is.
enum AcceptedStage<'a> {
    Admitting(Admitting),
    Serving(Serving<'a>),
}

impl<'a> AcceptedStage<'a> {
    /// Goes on; ready when the session was served, or did not come through the layers.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        acceptor: &'a Acceptor,
        entered: &'a Entered,
    ) -> Poll<()> {
        loop {
            match self {
                AcceptedStage::Admitting(admitting) => {
                    let admitted = ready!(admitting.poll(cx));
                    let Some(serving) = acceptor.serving(admitted, entered) else {
                        return Poll::Ready(());
                    };
                    *self = AcceptedStage::Serving(serving);
                }
                AcceptedStage::Serving(serving) => return serving.as_mut().poll(cx),
            }
        }
    }
}

impl Acceptor {
    /// Begins the way of a session that was accepted, or of a stream of one, through the layers.
    pub(super) fn admitting(&self, session: Session, entered: &Entered) -> Admitting {
        if !self.shared.target.stack().has_layers() {
            return Admitting::Through(self.shared.admit(session, entered).map(Box::new));
        }
        let (shared, live) = (Arc::clone(&self.shared), Arc::clone(entered.live()));
        Admitting::Layers(Box::pin(admit(shared, session, live)))
    }

    /// Serves a session that comes through the layers.
    pub(super) async fn serve(&self, admitting: Admitting, entered: &Entered) {
        let mut stage = AcceptedStage::Admitting(admitting);
        poll_fn(|cx| stage.poll(cx, self, entered)).await;
    }

    /// What serves a session, if it came through the layers. A frame of its own: else each poll of what is served had
    /// one that is large enough for this.
    #[inline(never)]
    fn serving<'a>(
        &'a self,
        admitted: Option<AdmittedSession>,
        entered: &'a Entered,
    ) -> Option<Serving<'a>> {
        let (serving, places) = match admitted? {
            AdmittedSession::One(session, places) => (self.join(session, entered), places),
            AdmittedSession::Streams(session, places) => {
                (Box::pin(self.serve_streams(session, entered)) as Serving<'a>, places)
            }
        };
        // Only who is behind a proxy has these.
        if places.iter().all(Option::is_none) {
            return Some(serving);
        }
        Some(Box::pin(async move {
            serving.await;
            drop(places);
        }))
    }

    /// Gives a session to the service.
    fn join<'a>(&'a self, session: Session, entered: &'a Entered) -> Serving<'a> {
        let shared = &self.shared;
        let mut line = SessionLine::new(entered, shared);
        let ended = move |served: Result<Served>| match served {
            Ok(served) => {
                match &served {
                    Served::Told(command) => entered.ended(command),
                    served => entered.served(served.end()),
                }
                line.ended(&served);
            }
            Err(error) => {
                entered.failed(&error);
                line.failed(&error);
            }
        };
        match &shared.service {
            Service::Route(route) => {
                Box::pin(route.serve(session, entered, &self.stopping).map(ended))
            }
            Service::Code { code, .. } => {
                Box::pin(code.serve(session, entered, &self.stopping).map(ended))
            }
        }
    }
}

/// Takes a session through the layers. Of one that does not get through, the reason is told here.
async fn admit(
    shared: Arc<ListenerShared>,
    session: Session,
    live: Arc<Live>,
) -> Option<AdmittedSession> {
    if shared.divides(&session, true) {
        live.shaken(&session, false);
        return shared.admitted(session, &live, Places::default(), true);
    }
    live.note_opening(OpeningStep::Handshaking);
    let session = match shake_hands(&shared, session, &live).await {
        Ok(session) => session,
        Err(error) => return shared.not_accepted(&live, &error),
    };
    live.shaken(&session, true);
    let places = shared.admit_client(&live)?;
    let divides = shared.divides(&session, false);
    shared.admitted(session, &live, places, divides)
}

impl ListenerShared {
    /// Admits a session on whose transport nothing stands.
    fn admit(&self, session: Session, live: &Live) -> Option<AdmittedSession> {
        if let Err(error) = self.target.stack().is_there() {
            return self.not_accepted(live, &error);
        }
        live.shaken(&session, false);
        let places = self.admit_client(live)?;
        let divides = self.divides(&session, false);
        self.admitted(session, live, places, divides)
    }

    /// A session that is through; `divides`: its streams are served one by one.
    fn admitted(
        &self,
        session: Session,
        live: &Live,
        places: Places,
        divides: bool,
    ) -> Option<AdmittedSession> {
        let peer = || shown(live.peer());
        if divides {
            tracing::debug!(
                listener = &*self.name,
                id = live.id,
                peer = peer(),
                "connected, with streams"
            );
            return Some(AdmittedSession::Streams(session, places));
        }
        tracing::debug!(listener = &*self.name, id = live.id, peer = peer(), "connected");
        Some(AdmittedSession::One(session, places))
    }

    /// Tells why a session did not come through the layers.
    fn not_accepted<T>(&self, live: &Live, error: &Error) -> Option<T> {
        let (name, id, peer) = (&*self.name, live.id, shown(live.peer()));
        if error.kind() == ErrorKind::Panicked {
            // The panic itself has a line of its own, which names the code.
            tracing::info!(listener = name, id, peer, %error, "panicked: peer not accepted");
        } else {
            tracing::info!(listener = name, id, peer, %error, "peer not accepted");
        }
        live.failed(error);
        None
    }

    /// Admits a peer that a transport has accepted; a client behind a proxy that names its clients, once that is
    /// known.
    fn admit_transport(&self, peer: Option<&Addr>) -> Result<Places> {
        if self.target.stack().tells_client() {
            return Ok(Places::default());
        }
        self.admission.admit(peer)
    }

    /// Admits the client that a proxy has named. Of one that is refused, the reason is told here.
    fn admit_client(&self, live: &Live) -> Option<Places> {
        if !self.target.stack().tells_client() {
            return Some(Places::default());
        }
        match self.admission.admit(live.peer()) {
            Ok(places) => Some(places),
            Err(error) => {
                let peer = shown(live.peer());
                tracing::info!(listener = &*self.name, id = live.id, peer, %error, "peer refused");
                live.failed(&error);
                None
            }
        }
    }

    /// Whether the streams of a session are served one by one: where there are `layers` to take each through,
    /// and where the route takes them so.
    fn divides(&self, session: &Session, layers: bool) -> bool {
        session.facets().contains(Facets::ACCEPT_STREAM)
            && match &self.service {
                Service::Route(route) => layers || route.takes_streams(),
                Service::Code { .. } => layers,
            }
    }
}

/// Takes a session through the layers, unless its connection is told to end meanwhile.
async fn shake_hands(shared: &ListenerShared, session: Session, live: &Live) -> Result<Session> {
    let deferred = matches!(&shared.service, Service::Route(route) if route.opens());
    let accepting = shared.target.stack().accept(session, shared.handshake_timeout, deferred);
    tokio::select! {
        accepted = accepting => accepted,
        command = live.told(&ConnectionCommand::Run) => {
            let text = format!("closed in its handshake: {command}");
            Err(Error::new(ErrorKind::Cancelled, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;

    fn size<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_is_relayed_keeps_little_room() {
        // Both are allocated for each connection, and most of what an idle one costs.
        let (task, serving) = (size(accepted), size(Route::serve));
        assert!(task <= 256, "the task has {task} bytes");
        assert!(serving <= 680, "what serves a route has {serving} bytes");
    }
}
