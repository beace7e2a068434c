//! How a session is joined to the destination of its route, and how both are left.

use super::far::Far;
use super::forward::{self, Forward};
use super::near::{self, Deferred};
use super::notice::{self, Notice};
use super::parting::{self, Parting};
use super::{Route, Served, calls};
use crate::connection::{ConnectionCommand, Entered, Purpose};
use crate::phase::{PhaseFuture, phase};
use crate::relay::{self, End, Left, RelayEnd, Side, Totals};
use crate::relay::{cut_off, cutting};
use crate::shutdown::Stopping;
use futures_util::future::Either;
use jackfield_plugin_api::{Error, Facets, Result, Session};
use scopeguard::{ScopeGuard, guard};
use serde_json::Value;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A session that a route serves, and all that has a say in it. Borrowed as one: each async function that took
/// these by themselves would keep room for them twice, for as long as a relayed connection lives.
pub(super) struct Joining<'a> {
    pub(super) route: &'a Route,
    pub(super) session: &'a Session,
    pub(super) notice: &'a Notice,
    pub(super) connection: &'a Entered,
    pub(super) stopping: &'a Stopping,
}

impl<'a> Joining<'a> {
    /// Joins a session to the destination. Its peer is told in words that the destination is in use.
    pub(super) async fn join_or_say(&self) -> Joined {
        if !self.notice.is_silent() {
            phase(self.notice.waits(&self.route.destination)).await;
        }
        // A block of its own, as below.
        let refused = {
            let Joined { served, parting, left } = self.join().await;
            match served {
                Ok(_) => return Joined { served, parting, left },
                Err(error) => phase(self.refused(error, parting, left)),
            }
        };
        refused.await
    }

    /// Tells the peer of a session why it could not be joined, if it can be told.
    async fn refused(&self, error: Error, parting: Parting, left: Option<Box<Left>>) -> Joined {
        let (notice, destination) = (self.notice, &self.route.destination);
        let (error, is_told) = notice.refused(error, destination, self.connection).await;
        let parting = match error.context().find(|(key, _)| *key == notice::HELD) {
            // Words that were sent must arrive.
            _ if is_told => Parting::WHOLE,
            Some((_, held)) if self.route.options.tell_busy => Parting::in_use(held),
            _ => parting,
        };
        Joined { served: Err(error), parting, left }
    }

    /// Joins a session to the destination until one of the two has ended.
    async fn join(&self) -> Joined {
        if forward::asks(self.session) {
            let served = phase(self.forwarded()).await.map(|()| Served::Forwarded);
            return Joined { served, parting: Parting::WHOLE, left: None };
        }
        // A block of its own: a relayed connection keeps no room for what opening it came to.
        let relaying = {
            match phase(self.open()).await {
                Ok((far, ends)) => self.relayed(far, ends),
                Err(error) => {
                    let parting = Parting::unserved(&error);
                    return Joined { served: Err(error), parting, left: None };
                }
            }
        };
        relaying.await
    }

    /// Passes the requests of a session on until it sends no more.
    async fn forwarded(&self) -> Result<()> {
        self.connection.joined();
        let forward = Forward::new(self.route, self.session, self.connection);
        forward.run(self.stopping).await
    }

    /// Opens the destination for a session, unless its peer goes meanwhile, and answers the peer if it still
    /// waits for that.
    async fn open(&self) -> Result<(Far, (End, End))> {
        let (route, session) = (self.route, self.session);
        if route.options.sse {
            return Err(Error::unsupported("server-sent events for a peer that sends no requests"));
        }
        let mut early = if route.options.abort_on_close { near::watched(session)? } else { None };
        let deferred = Deferred::of(session);
        let grace = route.relay.timeouts.drain;
        let spans = self.connection.attempt_spans();
        let reaching = route.reach(session, self.connection, Purpose::Data, spans.as_deref());
        let far = tokio::select! {
            biased;
            far = Deferred::offering(deferred.as_ref(), reaching) => far,
            gone = near::gone(&mut early, grace) => Err(gone),
            () = self.stopping.ended() => Err(near::stopped()),
        }?;
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
    /// becomes of them. A frame of its own, as what is a [`phase`] has.
    #[inline(never)]
    fn relayed(&self, far: Far, (a, b): (End, End)) -> impl Future<Output = Joined> + Send {
        let Joining { route, session, connection, .. } = *self;
        if let Far::Opened(opened) = &far {
            connection.note_target(opened.target());
        }
        connection.joined();
        let mut options = Arc::clone(&route.relay);
        if parting::ends_alike(session, far.session()) {
            Arc::make_mut(&mut options).leave_messages_open = true;
        }
        let relaying = relay::relay(a, b, options, Arc::clone(connection.totals()));
        let mut held = guard((relaying, far), cut_off::<(relay::Relay, Far)>);
        async move {
            let end = {
                let (relaying, far) = &mut *held;
                let far = &*far;
                let (mut beside, mut ended) = (self.beside(far), self.stopping.ended());
                poll_fn(move |cx| {
                    if let Poll::Ready(end) = self.poll_relay(cx, relaying, far) {
                        return Poll::Ready(end);
                    }
                    if let Some(beside) = &mut beside
                        && let Poll::Ready(error) = beside.as_mut().poll(cx)
                    {
                        return Poll::Ready(RelayEnd::Failed {
                            side: Side::B,
                            receiving: true,
                            error,
                        });
                    }
                    Pin::new(&mut ended).poll(cx).map(|()| RelayEnd::Shutdown)
                })
                .await
            };
            // A block of its own: most far ends are told nothing, and need no room for that.
            let telling = {
                let (relaying, far) = ScopeGuard::into_inner(held);
                match Parted::told(self.session, far, relaying, end, self.connection.totals()) {
                    Either::Left(joined) => return joined,
                    Either::Right(telling) => telling,
                }
            };
            telling.await
        }
    }

    /// Relays on. Nothing that moves is no end where a peer shows in another way that it is there.
    fn poll_relay(
        &self,
        cx: &mut Context<'_>,
        relaying: &mut relay::Relay,
        far: &Far,
    ) -> Poll<RelayEnd> {
        loop {
            let end = ready!(Pin::new(&mut *relaying).poll(cx));
            let idle_limit = self.route.relay.timeouts.idle;
            let limit = idle_limit.filter(|_| matches!(end, RelayEnd::IdleTimeout));
            let ago = limit
                .and_then(|limit| heard(self.session, far.session()).filter(|ago| *ago < limit));
            match ago {
                Some(ago) => relaying.heard(ago),
                None => return Poll::Ready(end),
            }
        }
    }

    /// What goes on beside a relay, and fails when the far side is there no more. Boxed: most sessions have nothing
    /// of it, and need no room for it.
    fn beside<'b>(&'b self, far: &'b Far) -> Option<Beside<'b>> {
        let (session, totals) = (self.session, self.connection.totals());
        let asks = calls::may_ask(session);
        let watched = matches!(far, Far::Opened(opened) if opened.is_one_of_many());
        let around = asks.then(|| self.route.around(far)).flatten();
        (asks || watched).then(|| {
            let beside = async move {
                tokio::select! {
                    error = far.gone(totals), if watched => error,
                    never = calls::carry(session, far.session(), around), if asks => match never {},
                    // One of them there is.
                    else => std::future::pending().await,
                }
            };
            phase(beside)
        })
    }
}

/// Completes with what the far side has failed with.
type Beside<'a> = PhaseFuture<'a, Error>;

/// A session of a route, its service and how its peer is left.
pub(super) struct Joined {
    pub(super) served: Result<Served>,
    pub(super) parting: Parting,
    /// What is left of its end of the relay. Boxed: a connection that is relayed needs no room for it.
    pub(super) left: Option<Box<Left>>,
}

impl Joined {
    pub(super) fn told(command: ConnectionCommand, session: &Session) -> Self {
        // What can say why it ends has just done so.
        let is_whole = session.facets().contains(Facets::CLOSE_CODE)
            && matches!(command, ConnectionCommand::Close { .. });
        let parting = if is_whole { Parting::WHOLE } else { Parting::BROKEN };
        Joined { served: Ok(Served::Told(Box::new(command))), parting, left: None }
    }
}

/// What a relay has left behind.
struct Parted {
    far: Far,
    end: RelayEnd,
    to_near: Parting,
    to_far: Parting,
    near_left: Left,
    far_left: Left,
}

impl Parted {
    /// Leaves the far side, which is told why first if it can be.
    #[inline(never)]
    fn told<'a>(
        session: &Session,
        far: Far,
        relaying: relay::Relay,
        end: RelayEnd,
        totals: &'a Totals,
    ) -> Either<Joined, PhaseFuture<'a, Joined>> {
        let parted = Parted::new(session, far, relaying, end);
        match parted.to_far.untold(parted.far.session()) {
            Some(is_cut) => Either::Left(parted.leave(is_cut, totals)),
            None => Either::Right(phase(async move {
                let is_cut = parted.to_far.tell(parted.far.session()).await;
                parted.leave(is_cut, totals)
            })),
        }
    }

    fn new(session: &Session, far: Far, relaying: relay::Relay, end: RelayEnd) -> Self {
        let to_near = Parting::after(&end, Side::A, session, far.session());
        let to_far = Parting::after(&end, Side::B, far.session(), session);
        let (near_left, far_left) = relaying.into_ends();
        Parted { far, end, to_near, to_far, near_left, far_left }
    }

    /// Ends the far side, which was told why if it could be; the near side is for its owner.
    fn leave(self, is_cut: bool, totals: &Totals) -> Joined {
        let Parted { far, end, to_near, near_left, far_left, .. } = self;
        let leave = || {
            drop(far_left);
            far.relayed(&end, totals);
        };
        if is_cut {
            cutting(leave);
        } else {
            leave();
        }
        Joined {
            served: Ok(Served::Relayed(end)),
            parting: to_near,
            left: Some(Box::new(near_left)),
        }
    }
}

/// How long ago a peer last sent anything that is not data, such as a ping, if the driver tells.
fn heard(near: &Session, far: &Session) -> Option<Duration> {
    let idle = |session: &Session| {
        let facts = session.info().facts;
        facts.get("idle_ms").and_then(Value::as_u64).map(Duration::from_millis)
    };
    idle(near).into_iter().chain(idle(far)).min()
}
