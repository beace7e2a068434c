//! [`PooledSession`]: a session for one use, and its place in a pool if it has one.

use super::Purpose;
use super::member::{Dial, Member};
use crate::dialogue;
use crate::pool::Pooled;
use crate::session::SessionExt;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Answer, Envelope, Error, ErrorKind, Exchange, Facets, Result, Session};
use serde_json::Value;
use std::sync::Arc;

/// A session for one use. Dropped, it goes back to its pool if the next caller can use it, and ends
/// otherwise.
#[derive(Debug)]
pub struct PooledSession {
    // Dropped in this order: what was taken of a session does not outlive it.
    /// Of a session that has no place in a pool.
    exchange: Option<Exchange>,
    session: Arc<Session>,
    seat: Option<Seat>,
}

/// A place in a pool.
#[derive(Debug)]
struct Seat {
    pooled: Option<Pooled<Dial>>,
    after: AfterUse,
}

/// What becomes of a member after this use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterUse {
    /// It is given back.
    Keep,
    /// It is given back when the peer has closed the stream too: until then that counts among those
    /// that the peer lets us have.
    KeepOnceClosed,
    /// It is of no use to others.
    Discard,
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.pooled.take() {
            Some(pooled) if self.after == AfterUse::Discard => pooled.discard(),
            pooled => drop(pooled),
        }
    }
}

impl Seat {
    fn member(&self) -> Option<&Arc<Member>> {
        self.pooled.as_ref().map(Pooled::member)
    }
}

impl PooledSession {
    /// A session that has no place in a pool.
    pub(crate) fn own(session: Session, purpose: Purpose) -> Self {
        let asks = matches!(purpose, Purpose::Request { .. });
        let exchange = if asks { session.take_exchange() } else { None };
        PooledSession { exchange, session: Arc::new(session), seat: None }
    }

    fn of(session: Arc<Session>, pooled: Pooled<Dial>, after: AfterUse) -> Self {
        let seat = Some(Seat { pooled: Some(pooled), after });
        PooledSession { exchange: None, session, seat }
    }

    pub(super) fn for_calls(session: Session, pooled: Pooled<Dial>) -> Self {
        PooledSession::of(Arc::new(session), pooled, AfterUse::Keep)
    }

    /// What is not [answered](PooledSession::answered) may have an answer on its way.
    pub(super) fn for_request(session: Arc<Session>, pooled: Pooled<Dial>) -> Self {
        PooledSession::of(session, pooled, AfterUse::Discard)
    }

    pub(super) fn with_stream(session: Session, pooled: Pooled<Dial>) -> Self {
        PooledSession::of(Arc::new(session), pooled, AfterUse::KeepOnceClosed)
    }

    pub(super) fn used_up(session: Session, pooled: Pooled<Dial>) -> Self {
        PooledSession::of(Arc::new(session), pooled, AfterUse::Discard)
    }

    /// The session. What is taken from it does not keep its place: keep both.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether it has a place in a pool.
    pub fn is_pooled(&self) -> bool {
        self.seat.is_some()
    }

    /// Whether it is a stream of a session that is for others too, now or later.
    pub fn is_one_of_many(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.after == AfterUse::KeepOnceClosed)
    }

    /// Pings the peer while the session stays in use, as a caller may who has waited for long. Meanwhile the session
    /// is given to no other caller, and without an answer it is closed.
    ///
    /// # Errors
    /// The peer is not there.
    pub async fn check(&self) -> Result<()> {
        let Some(pooled) = self.seat.as_ref().and_then(|seat| seat.pooled.as_ref()) else {
            return Ok(());
        };
        if pooled.check().await { Ok(()) } else { Err(silent()) }
    }

    fn member(&self) -> Option<&Arc<Member>> {
        self.seat.as_ref().and_then(Seat::member)
    }

    /// Sends the request that it was opened for, as [`Exchange::send_telling`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a session that takes none.
    pub fn send(&self, request: Envelope, interim: Answer) -> Result<Op<Envelope>> {
        let sent = match (&self.exchange, self.member()) {
            (Some(exchange), _) => Some(exchange.send_telling(request, interim)),
            (None, Some(member)) => member.send(request, interim),
            (None, None) => None,
        };
        sent.ok_or_else(|| Error::unsupported("forwarding requests to a session without requests"))
    }

    /// One step of a dialogue: on a stream of its own where a pooled session opens streams, else with the
    /// stream of the session, which goes on with what the last step has left.
    ///
    /// # Errors
    /// What the step says, or [`ErrorKind::Unsupported`] without a stream.
    pub async fn converse(&self, operation: &str, params: &Value) -> Result<Value> {
        match self.member() {
            None => dialogue::converse(&self.session, operation, params).await,
            Some(member) if !member.opens_streams() => member.converse(operation, params).await,
            Some(member) => {
                // Null asks for the stream that the target's options describe.
                let session = member.session().open_stream(&Value::Null).await?;
                dialogue::converse(&session, operation, params).await
            }
        }
    }

    /// Whether it has answered a request before.
    pub fn is_reused(&self) -> bool {
        self.member().is_some_and(|member| member.has_answered())
    }

    /// The answer has come whole: the next caller may have it.
    pub fn answered(mut self) {
        if let Some(seat) = &mut self.seat {
            seat.after = AfterUse::Keep;
            if let Some(member) = seat.member() {
                member.note_answer();
            }
        }
    }

    /// It is of no use to others.
    pub fn spoil(&mut self) {
        if let Some(seat) = &mut self.seat {
            seat.after = AfterUse::Discard;
        }
    }

    /// Gives it back after a use without an answer: the peer is pinged before anyone
    /// else gets the session, and what does not answer is closed. A session that cannot be asked is closed.
    /// Cancelled, it closes the session.
    ///
    /// # Errors
    /// The peer is not there.
    pub async fn test(mut self) -> Result<()> {
        let asks = |member: &Arc<Member>| member.session().facets().contains(Facets::PING);
        let kept = self.seat.as_ref().is_some_and(|seat| seat.after != AfterUse::Discard);
        if !kept || !self.member().is_some_and(asks) {
            self.spoil();
            return Ok(());
        }
        let pooled = self.seat.take().and_then(|mut seat| seat.pooled.take());
        drop(self);
        let Some(pooled) = pooled else { return Ok(()) };
        if pooled.test().await {
            return Ok(());
        }
        Err(silent())
    }
}

fn silent() -> Error {
    Error::new(ErrorKind::TimedOut, "neither the request nor a ping was answered")
}

impl Drop for PooledSession {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take_if(|seat| seat.after == AfterUse::KeepOnceClosed) else {
            return;
        };
        let Some(runtime) = seat.member().map(|member| member.runtime().clone()) else { return };
        let session = Arc::clone(&self.session);
        drop(runtime.spawn(async move {
            session.close_politely(0, "").await;
            drop((session, seat));
        }));
    }
}
