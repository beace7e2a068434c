//! Routes: what a listener's sessions are joined to.

mod access;
mod calls;
mod destination;
mod far;
mod fields;
mod forward;
mod leave;
mod lent;
mod notice;
mod sse;

use crate::connection::{Around, Caller, Entered, PooledSession, Purpose, Wish};
use crate::driver::Prepared;
use crate::relay::{self, End, RelayEnd, RelayOptions, Side};
use crate::session::shared;
use crate::shutdown::Stopping;
use crate::stack::opened_for;
use crate::upstream::KeyFrom;
pub use access::REQUESTS;
pub(crate) use access::RequestLine;
pub use destination::Destination;
use far::Far;
use forward::Forward;
use futures_util::future::OptionFuture;
use jackfield_plugin_api::{Error, Facets, Result, Session};
use notice::Notice;
use std::sync::Arc;

/// A destination and how to join a session to it.
#[derive(Clone, Debug)]
pub struct Route {
    /// As it is written in the configuration.
    pub name: Arc<str>,
    /// Where it leads.
    pub destination: Destination,
    /// What of a session decides which target it meets, where the upstream looks at that.
    pub hash: KeyFrom,
    /// How the two are joined.
    pub relay: RelayOptions,
    /// Whether requests are answered with what the destination sends, as server-sent events.
    pub sse: bool,
    /// Whether a peer is told in words that its destination, which one uses at a time, is in use. Default: true.
    pub tell_busy: bool,
}

/// How a session's service ended.
#[derive(Debug)]
pub enum Served {
    /// The relay's end.
    Relayed(RelayEnd),
    /// The handler has finished.
    Handled,
    /// The peer sends no more requests.
    Forwarded,
    /// Its connection was told to end, and its peer was told so.
    Told(Box<Wish>),
}

impl Route {
    /// Its only target, where it leads to no upstream.
    pub fn target(&self) -> Option<&str> {
        match &self.destination {
            Destination::Connection(managed) => Some(managed.name()),
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
    ///
    /// # Errors
    /// What reaching the destination says, the handler's own, or
    /// [`jackfield_plugin_api::ErrorKind::Unsupported`] when the two have no facet that fits.
    pub async fn serve(
        &self,
        session: Session,
        connection: &Entered,
        stopping: &mut Stopping,
    ) -> Result<Served> {
        if let Destination::Handler(handler) = &self.destination {
            connection.joined();
            let session = self.observed(session, connection.live());
            let mut handled = Box::pin(handled(handler, session, stopping));
            return Box::pin(leave::unless_told(handled.as_mut(), connection)).await;
        }
        let (session, notice) = Notice::of(session, self);
        let joining = async {
            // Boxed, so that a relayed connection does not keep room for it.
            if !notice.is_silent() {
                Box::pin(notice.waits(&self.destination)).await;
            }
            match self.join(&session, connection, stopping).await {
                Ok(served) => Ok(served),
                Err(error) => {
                    Err(Box::pin(notice.refused(error, &self.destination, connection)).await)
                }
            }
        };
        tokio::select! {
            served = joining => served,
            wish = leave::ToldToLeave::new(&session, connection) => Ok(Served::Told(Box::new(wish))),
        }
    }

    /// Joins a session to the destination until one of the two has ended.
    async fn join(
        &self,
        session: &Session,
        connection: &Entered,
        stopping: &mut Stopping,
    ) -> Result<Served> {
        if forward::asks(session) {
            connection.joined();
            Box::pin(Forward::new(self, session, connection).run(stopping)).await?;
            return Ok(Served::Forwarded);
        }
        if self.sse {
            return Err(Error::unsupported("server-sent events for a peer that sends no requests"));
        }
        let far = self.reach(session, connection, Purpose::Data).await?;
        if let Far::Opened(opened) = &far {
            connection.note_target(opened.target());
        }
        connection.joined();
        let (a, b) = End::pair(session, far.session())?;
        let totals = Arc::clone(connection.totals());
        let relaying = relay::relay(a, b, self.relay.clone(), Arc::clone(&totals));
        // Boxed: most sessions never ask, and need no room for it.
        let asks = calls::may_ask(session);
        let around = asks.then(|| self.around(&far)).flatten();
        let carrying = asks.then(|| Box::pin(calls::carry(session, far.session(), around)));
        let watched = matches!(&far, Far::Opened(opened) if opened.is_one_of_many());
        let gone = watched.then(|| Box::pin(far.gone(&totals)));
        let end = tokio::select! {
            end = relaying => end,
            Some(error) = OptionFuture::from(gone) => {
                RelayEnd::Failed { side: Side::B, receiving: true, error }
            }
            Some(never) = OptionFuture::from(carrying) => match never {},
        };
        far.relayed(&end, &totals);
        Ok(Served::Relayed(end))
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
    ) -> Result<Far> {
        let reaching = self.reach_target(session, connection, purpose);
        if !self.destination.tells_client() {
            return reaching.await;
        }
        let mut client = session.info();
        client.peer = connection.peer().map(ToString::to_string);
        // Boxed: most sessions need no room for it.
        Box::pin(opened_for(client, reaching)).await
    }

    async fn reach_target(
        &self,
        session: &Session,
        connection: &Entered,
        purpose: Purpose,
    ) -> Result<Far> {
        // Boxed, so that a relayed connection does not keep room for being opened.
        Ok(match &self.destination {
            Destination::Handler(_) => return Err(Error::unsupported("opening a handler")),
            Destination::Upstream(upstream) => {
                let key = upstream
                    .uses_key()
                    .then(|| self.hash.key(connection.peer(), || session.info()));
                let key = key.flatten();
                let opened = match purpose {
                    Purpose::Request { rested } => {
                        Box::pin(upstream.open_for_request(key, rested)).await?
                    }
                    Purpose::Data | Purpose::Calls => Box::pin(upstream.open(key)).await?,
                };
                Far::Opened(opened)
            }
            Destination::Connection(managed) => {
                let peer = connection.peer().map(ToString::to_string);
                let peer = peer.unwrap_or_else(|| "a peer without an address".to_owned());
                let caller = Caller::new(peer, connection.listener().map_or("", |name| name));
                let (target, limit) = (managed.target(), managed.policy().connect_limit());
                Far::Own(match purpose {
                    Purpose::Request { rested } => {
                        Box::pin(async move { target.for_request(&caller, limit, rested).await })
                            .await?
                    }
                    Purpose::Data | Purpose::Calls => {
                        Box::pin(async move { target.for_data(&caller, limit).await }).await?
                    }
                })
            }
            Destination::Observe(observers) => {
                Far::Own(PooledSession::own(observers.observe()?.into_session(), purpose))
            }
        })
    }
}

/// Serves a session by a handler. Told to stop, a session that can drain does.
async fn handled(handler: &Prepared, session: Session, stopping: &mut Stopping) -> Result<()> {
    if !session.facets().contains(Facets::DRAIN) {
        return handler.serve(session).await;
    }
    let (session, drain) = shared(session);
    let draining = async {
        stopping.told().await;
        // It says when the last answer is out; the handler then sees the end.
        let _ = drain.drain().await;
        std::future::pending().await
    };
    tokio::select! {
        served = handler.serve(session) => served,
        never = draining => never,
    }
}

impl Served {
    /// As an end in words, or the error that the relay ended with.
    pub(crate) fn into_end(self) -> Result<String> {
        match self {
            Served::Relayed(RelayEnd::Failed { error, .. }) => Err(error),
            served => Ok(served.to_string()),
        }
    }
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Served::Relayed(end) => end.fmt(f),
            Served::Handled => f.write_str("the handler has finished"),
            Served::Forwarded => f.write_str("the peer sends no more requests"),
            Served::Told(_) => f.write_str("it was told to end"),
        }
    }
}
