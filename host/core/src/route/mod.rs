//! Routes: what a listener's sessions are joined to.

mod access;
mod admin_slot;
mod ask;
mod attempt;
mod calls;
mod destination;
mod far;
mod fault;
mod fields;
mod forward;
mod forwarded;
mod handled;
mod interim;
mod join;
mod leave;
mod lent;
mod near;
mod notice;
mod options;
mod parting;
mod sse;
mod tied;

use crate::connection::{
    Around, Caller, ConnectionCommand, Entered, PooledSession, Purpose, Target,
};
use crate::phase::{PhaseFuture, phase};
use crate::relay::cut_off;
use crate::relay::{RelayEnd, RelayOptions, RelaySizes, RelayTimeouts};
use crate::shutdown::Stopping;
use crate::stack::opened_for;
use crate::traces::AttemptSpans;
pub use access::REQUESTS;
pub(crate) use access::RequestLine;
pub use admin_slot::{AdminService, AdminSlot, ServedSession};
use attempt::AttemptAt;
pub use destination::Destination;
use far::Far;
use futures_util::future::Either;
use handled::{SessionServer, handled};
use jackfield_plugin_api::{Error, Facets, Info, Result, Session};
use join::{Joined, Joining};
use notice::Notice;
pub use options::RouteOptions;
use scopeguard::{ScopeGuard, guard};
use std::sync::Arc;
use std::time::Duration;

/// A destination and how to join a session to it.
#[derive(Clone, Debug)]
pub struct Route {
    /// As it is written in the configuration.
    pub name: Arc<str>,
    /// Where it leads.
    pub destination: Destination,
    /// How it joins sessions to that.
    pub options: RouteOptions,
    /// How its relays do, with the limits of the host where it sets none.
    pub relay: Arc<RelayOptions>,
}

/// How a session's service ended.
#[derive(Debug)]
pub enum Served {
    /// The relay's end.
    Relayed(RelayEnd),
    /// The handler has finished.
    Handled,
    /// The host has stopped before the handler has finished.
    Stopped,
    /// The peer sends no more requests.
    Forwarded,
    /// Its connection was told to end, and its peer was told so.
    Told(Box<ConnectionCommand>),
}

impl Route {
    /// A route to `destination`; limits that `options` do not set are those of `host`.
    pub fn new(
        name: Arc<str>,
        destination: Destination,
        options: RouteOptions,
        host: &RelayTimeouts,
        sizes: RelaySizes,
    ) -> Self {
        let timeouts = options.timeouts(host);
        let relay =
            RelayOptions { timeouts, sizes, frames: options.frames, ..RelayOptions::default() };
        let half_close = !destination.has_one_user();
        let relay = Arc::new(RelayOptions { half_close, ..relay });
        Route { name, destination, options, relay }
    }

    /// Its only target as people read it, where it leads to no upstream.
    pub fn target(&self) -> Option<String> {
        match &self.destination {
            Destination::Connection(managed) => Some(managed.target().stack().display().to_owned()),
            _ => None,
        }
    }

    /// Whether each stream of a session that carries several is for a session of its own at the
    /// destination: not where that knows nothing but datagrams, which belong to the whole.
    pub fn takes_streams(&self) -> bool {
        self.destination.driver().is_none_or(|driver| {
            let data = driver.manifest.facets.intersection(Facets::DATA);
            data != Facets::DATAGRAMS
        })
    }

    /// Serves an accepted session to its end, or until its connection is told to end. Dropping the future
    /// closes both sides. Told to stop, a session of requests answers those that are here and takes no more.
    /// Not an `async fn`: that would keep room for the session beside what becomes of it.
    ///
    /// # Errors
    /// What reaching the destination says, the handler's own, or
    /// [`jackfield_plugin_api::ErrorKind::Unsupported`] when the two have no facet that fits.
    pub fn serve<'a>(
        &'a self,
        session: Session,
        connection: &'a Entered,
        stopping: &'a Stopping,
    ) -> impl Future<Output = Result<Served>> + Send + use<'a> {
        if let Some(server) = SessionServer::of(&self.destination) {
            connection.joined();
            let session = self.observed(session, connection.live());
            return Either::Left(Box::pin(handled(server, session, connection, stopping)));
        }
        // What is dropped before its end was not whole, and its peer must see that.
        let held = guard(Notice::of(session, self), cut_off::<(Session, Notice)>);
        Either::Right(async move {
            let Joined { served, parting, left } = {
                let (session, notice) = &*held;
                let joining = Joining { route: self, session, notice, connection, stopping };
                tokio::select! {
                    biased;
                    joined = joining.join_or_say() => joined,
                    command = leave::EndOnCommand::new(session, connection) => Joined::told(command, session),
                }
            };
            let (session, notice) = ScopeGuard::into_inner(held);
            if parting.tell(&session).await {
                cut_off((left, session, notice));
            }
            served
        })
    }

    /// Whether it opens something for a session, whose answer can wait until that is there.
    pub(crate) fn opens(&self) -> bool {
        SessionServer::of(&self.destination).is_none() && !self.options.sse
    }

    /// What stands around operations on `far`.
    fn around(&self, far: &Far) -> Option<Around> {
        match (far, &self.destination) {
            (Far::Opened(opened), _) => Some(opened.around(&self.name)),
            (Far::Own(_), Destination::Connection(managed)) => Some(managed.around()),
            (Far::Own(_), _) => None,
        }
    }

    /// A session of the destination, which is told who the client is if it wants to know.
    async fn reach(
        &self,
        session: &Session,
        connection: &Entered,
        purpose: Purpose,
        spans: Option<&AttemptSpans<'_>>,
    ) -> Result<Far> {
        // Boxed, so that a relayed connection does not keep room for being opened.
        Ok(match &self.destination {
            Destination::Handler(_) => return Err(Error::unsupported("opening a handler")),
            Destination::Admin(_) => return Err(Error::unsupported("opening the admin API")),
            Destination::Upstream(upstream) => {
                let key = upstream
                    .uses_key()
                    .then(|| self.options.hash.key(connection.peer(), || session.info()));
                let having = phase(upstream.have(key.flatten(), purpose, spans));
                Far::Opened(match upstream.tells_client() {
                    true => phase(opened_for(client_of(session, connection), having)).await?,
                    false => having.await?,
                })
            }
            Destination::Connection(managed) => {
                let (target, limit) = managed.target_and_limit();
                let attempt = spans.map(|spans| AttemptAt::new(spans, managed.name(), &target));
                let opening = Self::opening(&target, connection, purpose, limit);
                let opened = match target.stack().tells_client() {
                    true => phase(opened_for(client_of(session, connection), opening)).await,
                    false => opening.await,
                };
                attempt.into_iter().for_each(|attempt| attempt.over(&opened));
                Far::Own(opened?)
            }
            Destination::Observe(observers) => {
                Far::Own(PooledSession::own(observers.observe()?.into_session(), purpose))
            }
        })
    }

    /// Opens a session of a connection's target. Each purpose has a future of its own: that of requests is the larger one.
    fn opening<'a>(
        target: &'a Arc<Target>,
        connection: &'a Entered,
        purpose: Purpose,
        limit: Duration,
    ) -> PhaseFuture<'a, Result<PooledSession>> {
        let caller = || {
            let peer = connection.peer().map(ToString::to_string);
            let peer = peer.unwrap_or_else(|| "a peer without an address".to_owned());
            Caller::new(peer, connection.listener().map_or("", |name| name))
        };
        match purpose {
            Purpose::Request { rested } => phase(target.for_request(caller, limit, rested)),
            Purpose::Data | Purpose::Calls => phase(target.for_data(caller, limit)),
        }
    }
}

/// Who the client of a session is, for a destination that is told.
fn client_of(session: &Session, connection: &Entered) -> Info {
    let mut client = session.info();
    client.peer = connection.peer().map(ToString::to_string);
    client
}

impl Served {
    /// As an end in words, or the error that the relay ended with.
    pub(crate) fn end(&self) -> Result<String> {
        match self {
            Served::Relayed(RelayEnd::Failed { error, .. }) => Err(error.clone()),
            Served::Relayed(RelayEnd::Closed { first }) => Ok(first.closed().to_owned()),
            served => Ok(served.to_string()),
        }
    }
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Served::Relayed(end) => end.fmt(f),
            Served::Handled => f.write_str("the handler has finished"),
            Served::Stopped => RelayEnd::Shutdown.fmt(f),
            Served::Forwarded => f.write_str("the peer sends no more requests"),
            Served::Told(_) => f.write_str("it was told to end"),
        }
    }
}
