//! Routes: what a listener's sessions are joined to.

mod calls;
mod destination;
mod fields;
mod forward;
mod leave;
mod lent;
mod sse;

use crate::connection::{Around, Asker, Caller, Entered, Wish};
use crate::driver::Prepared;
use crate::relay::{self, End, RelayEnd, RelayOptions, Side};
use crate::shutdown::Stopping;
use crate::upstream::{KeyFrom, Opened, shared};
pub use destination::Destination;
use forward::Forward;
use futures_util::future::OptionFuture;
use jackfield_plugin_api::{Error, Facets, Result, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A destination and how to join a session to it.
#[derive(Debug)]
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
            let mut handled = Box::pin(handled(handler, session, stopping));
            return Box::pin(leave::unless_told(handled.as_mut(), connection)).await;
        }
        tokio::select! {
            served = self.join(&session, connection, stopping) => served,
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
        let (far, _) = self.reach(session, connection, None).await?;
        connection.joined();
        let (a, b) = End::pair(session, far.session())?;
        let totals = Arc::clone(connection.totals());
        let relaying = relay::relay(a, b, self.relay.clone(), Arc::clone(&totals));
        // Boxed: most sessions never ask, and need no room for it.
        let asks = calls::may_ask(session);
        let around = asks.then(|| self.around(&far)).flatten();
        let carrying = asks.then(|| Box::pin(calls::carry(session, far.session(), around)));
        let end = tokio::select! {
            end = relaying => end,
            Some(never) = OptionFuture::from(carrying) => match never {},
        };
        if let (Far::Opened(opened), RelayEnd::Failed { side: Side::B, error, .. }) = (&far, &end)
            && totals.bytes_to_a() == 0
        {
            // Nothing ever came from it: it accepts, but does not serve.
            opened.failed(error, Instant::now());
        }
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

    /// A session of the destination. For a request one will do that has waited since the last one for
    /// at most `within`, with what asks on it.
    async fn reach(
        &self,
        session: &Session,
        connection: &Entered,
        within: Option<Duration>,
    ) -> Result<(Far, Option<Asker>)> {
        // Boxed, so that a relayed connection does not keep room for being opened.
        let far = match &self.destination {
            Destination::Upstream(upstream) => {
                let key = upstream
                    .uses_key()
                    .then(|| self.hash.key(connection.peer(), || session.info()));
                let opening = upstream.open_for_request(key.flatten(), within);
                let mut opened = Box::pin(opening).await?;
                let asker = opened.is_rested().then(|| opened.take_asker()).flatten();
                return Ok((Far::Opened(opened), asker));
            }
            to => {
                if let (Destination::Connection(managed), Some(within)) = (to, within)
                    && let Some(rested) = managed.target().rested(within)
                {
                    return Ok((Far::Own(rested.session), Some(rested.asker)));
                }
                let peer = connection.peer().unwrap_or("a peer without an address");
                let caller = Caller::new(peer, connection.listener().map_or("", |name| name));
                Far::Own(Box::pin(async move { to.open(&caller).await }).await?)
            }
        };
        Ok((far, None))
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

/// The session at the other side.
enum Far {
    Own(Session),
    /// Of an upstream, with its place there.
    Opened(Opened),
}

impl Far {
    fn session(&self) -> &Session {
        match self {
            Far::Own(session) => session,
            Far::Opened(opened) => opened.session(),
        }
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
