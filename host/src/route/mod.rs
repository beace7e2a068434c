//! Routes: what a listener's sessions are joined to.

mod access;
mod ask;
mod calls;
mod destination;
mod far;
mod fault;
mod fields;
mod forward;
mod forwarded;
mod handled;
mod interim;
mod leave;
mod lent;
mod near;
mod notice;
mod options;
mod parting;
mod sse;
mod tied;

use crate::connection::{Around, Caller, ConnectionCommand, Entered, PooledSession, Purpose};
use crate::relay::{
    self, End, Left, RelayEnd, RelayOptions, RelaySizes, RelayTimeouts, Side, Totals,
};
use crate::services::kernel::{cut_off, cutting};
use crate::session::POLITE_CLOSE;
use crate::shutdown::{LAST_WORDS, Stopping};
use crate::stack::opened_for;
pub use access::REQUESTS;
pub(crate) use access::RequestLine;
pub use destination::Destination;
use far::Far;
use forward::Forward;
use futures_util::future::OptionFuture;
use handled::handled;
use jackfield_plugin_api::{Error, Facets, Result, Session};
use near::Deferred;
use notice::Notice;
pub use options::RouteOptions;
use parting::Parting;
use scopeguard::{ScopeGuard, guard};
use serde_json::Value;
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
    pub relay: RelayOptions,
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
            return Box::pin(handled(handler, session, connection, stopping)).await;
        }
        // What is dropped before its end was not whole, and its peer must see that.
        let held = guard(Notice::of(session, self), cut_off::<(Session, Notice)>);
        let (session, notice) = &*held;
        let Joined { served, parting, left } = tokio::select! {
            joined = self.join_or_say(session, notice, connection, stopping) => joined,
            command = leave::EndOnCommand::new(session, connection) => Joined::told(command, session),
        };
        let (session, notice) = ScopeGuard::into_inner(held);
        if Box::pin(parting.tell(&session, limit_of(&parting))).await {
            cut_off((left, session, notice));
        }
        served
    }

    /// Whether it opens something for a session, whose answer can wait until that is there.
    pub(crate) fn opens(&self) -> bool {
        !matches!(self.destination, Destination::Handler(_)) && !self.options.sse
    }

    /// Joins a session to the destination. Its peer is told in words that the destination is in use.
    async fn join_or_say(
        &self,
        session: &Session,
        notice: &Notice,
        connection: &Entered,
        stopping: &mut Stopping,
    ) -> Joined {
        // Boxed, so that a relayed connection does not keep room for it.
        if !notice.is_silent() {
            Box::pin(notice.waits(&self.destination)).await;
        }
        let joined = self.join(session, connection, stopping).await;
        let Joined { served: Err(error), parting, left } = joined else { return joined };
        let (error, is_told) = Box::pin(notice.refused(error, &self.destination, connection)).await;
        let parting = match error.context().find(|(key, _)| *key == notice::HELD) {
            // Words that were sent must arrive.
            _ if is_told => Parting::WHOLE,
            Some((_, held)) if self.options.tell_busy => Parting::in_use(held),
            _ => parting,
        };
        Joined { served: Err(error), parting, left }
    }

    /// Joins a session to the destination until one of the two has ended.
    async fn join(
        &self,
        session: &Session,
        connection: &Entered,
        stopping: &mut Stopping,
    ) -> Joined {
        if forward::asks(session) {
            connection.joined();
            let forwarded = Box::pin(Forward::new(self, session, connection).run(stopping)).await;
            let served = forwarded.map(|()| Served::Forwarded);
            return Joined { served, parting: Parting::WHOLE, left: None };
        }
        // A block of its own: a relayed connection keeps no room for what opening it came to.
        let relaying = {
            match self.open(session, connection, stopping).await {
                Ok((far, ends)) => self.relayed(session, connection, far, ends, stopping),
                Err(error) => {
                    let parting = Parting::unserved(&error);
                    return Joined { served: Err(error), parting, left: None };
                }
            }
        };
        relaying.await
    }

    /// Opens the destination for a session, unless its peer goes meanwhile, and answers the peer if it still
    /// waits for that.
    async fn open(
        &self,
        session: &Session,
        connection: &Entered,
        stopping: &mut Stopping,
    ) -> Result<(Far, (End, End))> {
        if self.options.sse {
            return Err(Error::unsupported("server-sent events for a peer that sends no requests"));
        }
        let mut early = if self.options.abort_on_close { near::watched(session)? } else { None };
        let deferred = Deferred::of(session);
        let grace = self.relay.timeouts.drain;
        // Boxed, so that a relayed connection does not keep room for it.
        let far = Box::pin(async {
            let reaching = self.reach(session, connection, Purpose::Data);
            tokio::select! {
                far = Deferred::offering(deferred.as_ref(), reaching) => far,
                gone = near::gone(&mut early, grace) => Err(gone),
                () = stopping.ended() => Err(near::stopped()),
            }
        })
        .await?;
        if let Some(deferred) = deferred {
            deferred.answer(session, far.session()).await?;
        }
        let ends = match early {
            Some(near) => {
                let far = near.opposite(far.session())?;
                (near, far)
            }
            None => End::pair(session, far.session())?,
        };
        Ok((far, ends))
    }

    /// Relays until one of the two has ended. Not an `async fn`: that would keep room for its arguments beside what
    /// becomes of them.
    fn relayed<'a>(
        &'a self,
        session: &'a Session,
        connection: &'a Entered,
        far: Far,
        (a, b): (End, End),
        stopping: &'a mut Stopping,
    ) -> impl Future<Output = Joined> + Send + use<'a> {
        if let Far::Opened(opened) = &far {
            connection.note_target(opened.target());
        }
        connection.joined();
        let totals = Arc::clone(connection.totals());
        let mut options = self.relay.clone();
        options.half_close &= !self.destination.has_one_user();
        options.leave_messages_open = parting::ends_alike(session, far.session());
        let idle_timeout = options.timeouts.idle;
        let relaying = relay::relay(a, b, options, Arc::clone(&totals));
        let mut held = guard((relaying, far), cut_off::<(relay::Relay, Far)>);
        async move {
            let end = {
                let (relaying, far) = &mut *held;
                let far = &*far;
                // Boxed: most sessions never ask, and need no room for it.
                let asks = calls::may_ask(session);
                let around = asks.then(|| self.around(far)).flatten();
                let mut carrying = OptionFuture::from(
                    asks.then(|| Box::pin(calls::carry(session, far.session(), around))),
                );
                let watched = matches!(far, Far::Opened(opened) if opened.is_one_of_many());
                let mut gone = OptionFuture::from(watched.then(|| Box::pin(far.gone(&totals))));
                loop {
                    let end = tokio::select! {
                        end = &mut *relaying => end,
                        Some(error) = &mut gone, if watched => {
                            RelayEnd::Failed { side: Side::B, receiving: true, error }
                        }
                        Some(never) = &mut carrying, if asks => match never {},
                        () = stopping.ended() => RelayEnd::Shutdown,
                    };
                    match (&end, idle_timeout) {
                        (RelayEnd::IdleTimeout, Some(limit)) => {
                            match heard(session, far.session()).filter(|ago| *ago < limit) {
                                Some(ago) => relaying.heard(ago),
                                None => break end,
                            }
                        }
                        _ => break end,
                    }
                }
            };
            let (relaying, far) = ScopeGuard::into_inner(held);
            Box::pin(parted(session, far, relaying, end, &totals)).await
        }
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
                    .then(|| self.options.hash.key(connection.peer(), || session.info()));
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

/// A session of a route, its service and how its peer is left.
struct Joined {
    served: Result<Served>,
    parting: Parting,
    /// What is left of its end of the relay.
    left: Option<Left>,
}

impl Joined {
    fn told(command: ConnectionCommand, session: &Session) -> Self {
        // What can say why it ends has just done so.
        let is_whole = session.facets().contains(Facets::CLOSE_CODE)
            && matches!(command, ConnectionCommand::Close { .. });
        let parting = if is_whole { Parting::WHOLE } else { Parting::BROKEN };
        Joined { served: Ok(Served::Told(Box::new(command))), parting, left: None }
    }
}

/// Ends the far side after a relay; the near side is for its owner.
async fn parted(
    session: &Session,
    far: Far,
    relaying: relay::Relay,
    end: RelayEnd,
    totals: &Totals,
) -> Joined {
    let to_near = Parting::after(&end, Side::A, session, far.session());
    let to_far = Parting::after(&end, Side::B, far.session(), session);
    let (near_left, far_left) = relaying.into_ends();
    if to_far.tell(far.session(), limit_of(&to_far)).await {
        cutting(|| {
            drop(far_left);
            far.relayed(&end, totals);
        });
    } else {
        drop(far_left);
        far.relayed(&end, totals);
    }
    Joined { served: Ok(Served::Relayed(end)), parting: to_near, left: Some(near_left) }
}

/// How long telling a peer so may take.
fn limit_of(parting: &Parting) -> Duration {
    if parting.is_hasty() { LAST_WORDS / 2 } else { POLITE_CLOSE }
}

/// How long ago a peer last sent anything that is not data, such as a ping, if the driver tells.
fn heard(near: &Session, far: &Session) -> Option<Duration> {
    let idle = |session: &Session| {
        let facts = session.info().facts;
        facts.get("idle_ms").and_then(Value::as_u64).map(Duration::from_millis)
    };
    idle(near).into_iter().chain(idle(far)).min()
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
            Served::Stopped => RelayEnd::Shutdown.fmt(f),
            Served::Forwarded => f.write_str("the peer sends no more requests"),
            Served::Told(_) => f.write_str("it was told to end"),
        }
    }
}
