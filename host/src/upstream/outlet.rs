//! [`Outlet`]: a target of an upstream, and its pool if it has one.
//!
//! # With a pool
//!
//! | what the session can do, and what it is for | who has it | afterwards |
//! |---|---|---|
//! | open streams; a stream is wanted | up to `share` callers, each a stream of its own on it | the place is given back when the stream's session is dropped |
//! | anything; only calls are made | up to `share` callers | given back |
//! | one stream or messages; these are wanted | one caller, who uses it up | dropped; the pool opens another when one is wanted |
//!
//! A stream is never given to a second caller. What calls leave behind in a session is taken back before the
//! next caller has it, where its driver can (`reset`) and one caller at a time has it (`share = 1`): within
//! `test_timeout`, and a session that cannot be reset is closed. And nobody gets a session that was opened for others: a pool belongs to one target, with its
//! options, credentials and what it goes via; callers of two upstreams never share one.
//!
//! In the last case the pool is what `maxconn` with a queue is elsewhere: used sessions count towards
//! `max_size`, callers beyond it wait in order, and `min_idle` keeps sessions open in advance.
//!
//! A session is looked at before it is handed out. An end that it has told of, or that has arrived
//! on its stream, is seen without asking; one unused for longer than `test_idle` is asked by a ping
//! where its driver has one. Without a ping, and where a session has messages only, a peer that has
//! gone away in silence is found out in use.

use super::attempt::{Need, OpenError, Opens};
use super::checker::Probe;
use super::kept;
use super::member::{Dial, Member, PooledLimit};
use crate::connection::{Asker, Rested, Target};
use crate::dialogue;
use crate::pool::{AcquireError, Pool, PoolOptions, Pooled, Stats};
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Session};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// A target and, where it has one, the pool of its sessions.
#[derive(Debug)]
pub struct Outlet {
    target: Arc<Target>,
    pooling: Option<Pooling>,
}

#[derive(Debug)]
struct Pooling {
    options: PoolOptions,
    /// For one session, over all its layers.
    connect_limit: Duration,
    /// Of the pools of all targets.
    all: Option<PooledLimit>,
    /// Made when first needed; taken away while the target rests.
    pool: Mutex<Option<Pool<Dial>>>,
}

/// A session that was had, and its place in the pool if it came from one. The place is free again
/// when this is dropped.
#[derive(Debug)]
pub struct Taken {
    pub(super) session: Session,
    /// What asks on it, if it has answered requests before.
    pub(super) asker: Option<Asker>,
    /// Where it may wait for the next request.
    pub(super) home: Option<Arc<Target>>,
    pub(super) seat: Option<Seat>,
}

/// A place in a pool.
#[derive(Debug)]
pub(super) struct Seat {
    pooled: Option<Pooled<Dial>>,
    used_up: bool,
}

impl Seat {
    fn of(pooled: Pooled<Dial>, used_up: bool) -> Option<Self> {
        Some(Seat { pooled: Some(pooled), used_up })
    }

    /// One step of a dialogue: on a stream of its own where sessions open streams, else with the stream of
    /// the session, which goes on with what the last step has left.
    pub(super) async fn converse(&self, operation: &str, params: &Value) -> Result<Value> {
        let gone = || Error::new(ErrorKind::Closed, "the session was given back");
        let member: &Arc<Member> = self.pooled.as_ref().ok_or_else(gone)?.member();
        if !member.opens_streams() {
            return member.converse(operation, params).await;
        }
        // Null asks for the stream that the target's options describe.
        let session = member.session().open_stream(&Value::Null).await?;
        dialogue::converse(&session, operation, params).await
    }

    /// The session is of no use to others.
    pub(super) fn spoil(&mut self) {
        self.used_up = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        match self.pooled.take() {
            Some(pooled) if self.used_up => pooled.discard(),
            pooled => drop(pooled),
        }
    }
}

impl From<Target> for Outlet {
    /// Without a pool.
    fn from(target: Target) -> Self {
        Outlet { target: Arc::new(target), pooling: None }
    }
}

impl Outlet {
    /// A target with a pool, which is made when it is first needed; each session gets
    /// `connect_limit` to be opened, at most. The pool is no larger than what the target's drivers declare
    /// that it bears, and all pools with a clone of `all` together no larger than that.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an option out of range, or for a `share` that its sessions cannot
    /// bear.
    pub fn pooled(
        target: Target,
        mut options: PoolOptions,
        connect_limit: Duration,
        all: Option<PooledLimit>,
    ) -> Result<Self> {
        options.check()?;
        if let Some(most) = target.stack().max_sessions() {
            options.max_size = options.max_size.min(most.max(1));
            options.min_idle = options.min_idle.min(options.max_size);
        }
        if !target.is_open_to_all() {
            // More would only wait for the first one to go.
            (options.max_size, options.min_idle) = (1, options.min_idle.min(1));
        }
        if options.share > 1 && !shares(&target) {
            let name = target.stack().top().map_or("this target", |driver| driver.name());
            let text = format!("expected 1: sessions of {name} carry one conversation each");
            return Err(Error::option("share", text));
        }
        let pooling = Pooling { options, connect_limit, all, pool: Mutex::default() };
        Ok(Outlet { target: Arc::new(target), pooling: Some(pooling) })
    }

    /// The target.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Makes its pool, so that `min_idle` sessions are opened before anybody asks. Has to be called
    /// inside a runtime.
    pub fn warm(&self) {
        if let Err(error) = self.pool() {
            tracing::warn!(target = self.target.stack().display(), %error, "no pool");
        }
    }

    /// Its pool at this moment; `None` without one, or while none was needed.
    pub fn stats(&self) -> Option<Stats> {
        self.pooling.as_ref()?.pool().as_ref().map(Pool::stats)
    }

    /// The target gets no new sessions: unused ones of its pool are closed, used ones when they come
    /// back. If it serves again, it gets a new pool.
    pub fn rest(&self) {
        let Some(pool) = self.pooling.as_ref().and_then(|pooling| pooling.pool().take()) else {
            return;
        };
        pool.close();
    }

    /// Closes its pool and waits until `deadline` for what is in use; then that is closed too.
    /// Answers how many of those there were.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let pool = self.pooling.as_ref().and_then(|pooling| pooling.pool().take());
        let Some(pool) = pool else { return 0 };
        let drained = pool.drain(deadline).await;
        pool.connect().closed(deadline).await;
        drained.abandoned
    }

    fn pool(&self) -> Result<Option<Pool<Dial>>> {
        let Some(pooling) = &self.pooling else { return Ok(None) };
        let mut slot = pooling.pool();
        if slot.is_none() {
            let runtime = Handle::try_current()
                .map_err(|_| Error::unsupported("making a pool outside a runtime"))?;
            let (target, all) = (Arc::clone(&self.target), pooling.all.clone());
            let shared = pooling.options.share > 1;
            let dial = Dial::new(target, pooling.connect_limit, all, shared, runtime);
            *slot = Some(Pool::new(dial, &pooling.options)?);
        }
        Ok(slot.clone())
    }
}

impl Pooling {
    fn pool(&self) -> MutexGuard<'_, Option<Pool<Dial>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether sessions of `target` carry several conversations, as far as its driver declares.
pub fn shares(target: &Target) -> bool {
    target.stack().top().is_some_and(|driver| driver.manifest.facets.contains(Facets::OPEN_STREAM))
}

impl Opens for Outlet {
    type Session = Taken;

    async fn open(&self, need: Need, limit: Duration) -> Result<Taken, OpenError> {
        let Some(pool) = self.pool()? else {
            let home = self.target.is_open_to_all().then(|| Arc::clone(&self.target));
            if let Some(Rested { session, asker }) =
                need.rested.and_then(|within| self.target.rested(within))
            {
                return Ok(Taken { session, asker: Some(asker), home, seat: None });
            }
            let session = self.target.open(limit).await?;
            return Ok(Taken { session, asker: None, home, seat: None });
        };
        if !need.waits && !pool.has_room() {
            let text = "every session of the pool is in use";
            return Err(OpenError::Busy(Error::new(ErrorKind::Limit, text)));
        }
        let longest = self.pooling.as_ref().map_or(limit, |own| own.options.acquire_timeout.0);
        let deadline = Instant::now() + limit.min(longest);
        loop {
            let pooled = pool.get_by(deadline).await.map_err(OpenError::from)?;
            let fresh = pooled.is_fresh();
            match take(pooled, need, deadline).await {
                // It had ended unnoticed. The next is tested or new.
                Err(error) if error.is_closed() && !fresh => {}
                taken => return taken,
            }
        }
    }
}

/// What is needed of a member.
async fn take(pooled: Pooled<Dial>, need: Need, deadline: Instant) -> Result<Taken, OpenError> {
    let member: &Arc<Member> = pooled.member();
    if need.calls_only {
        let session = kept::calls_of(Arc::clone(member.session()));
        return Ok(Taken { session, asker: None, home: None, seat: Seat::of(pooled, false) });
    }
    if !member.opens_streams() {
        let parts = member.give_all();
        let session = kept::whole(Arc::clone(member.session()), parts, ());
        return Ok(Taken { session, asker: None, home: None, seat: Seat::of(pooled, true) });
    }
    // Null asks for the stream that the target's options describe.
    let opening = member.session().open_stream(&Value::Null);
    let late = || Error::new(ErrorKind::TimedOut, "no answer to opening a stream");
    match timeout_at(deadline, opening).await.unwrap_or_else(|_| Err(late())) {
        Ok(session) => {
            Ok(Taken { session, asker: None, home: None, seat: Seat::of(pooled, false) })
        }
        // The session is well, it only has no room.
        Err(error) if error.kind() == ErrorKind::Limit => Err(OpenError::Busy(error)),
        Err(error) => {
            if matches!(error.kind(), ErrorKind::Closed | ErrorKind::TimedOut) {
                pooled.discard();
            }
            Err(OpenError::Failed(error))
        }
    }
}

impl From<AcquireError> for OpenError {
    /// Full is not broken: only what could not be opened, or not in time although there was room,
    /// speaks against the target.
    fn from(error: AcquireError) -> Self {
        match &error {
            AcquireError::TimedOut { in_use, max_size, .. } if in_use < max_size => {
                OpenError::Failed(error.into())
            }
            AcquireError::Open(cause) if cause.kind() == ErrorKind::Limit => {
                OpenError::Busy(error.into())
            }
            AcquireError::Open(_) => OpenError::Failed(error.into()),
            _ => OpenError::Busy(error.into()),
        }
    }
}

impl Probe for Outlet {
    /// By its own stack, beside its pool: the layers agree with the peer, and if the top one can
    /// ping, it does.
    async fn probe(&self, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let session = self.target.open(limit).await?;
        if session.facets().contains(Facets::PING) {
            session.ping().await?;
        }
        let took = begin.elapsed();
        // The answer was had; a peer that does not take leave in time is not dead for that.
        let leave = session.close(0, "check");
        let _ = tokio::time::timeout(limit.saturating_sub(took) / 2, leave).await;
        Ok(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_does_not_speak_against_its_target() {
        let late = |in_use, opening| AcquireError::TimedOut {
            waited: Duration::from_secs(1),
            in_use,
            opening,
            waiting: 3,
            max_size: 2,
        };
        let full = AcquireError::TooManyWaiters { waiting: 1, in_use: 2, max_size: 2 };
        for error in [late(2, 0), full, AcquireError::Closed] {
            assert!(matches!(OpenError::from(error), OpenError::Busy(_)));
        }
        let refused = Error::new(ErrorKind::Unreachable, "refused");
        // There was room, but nothing could be opened in that time.
        for error in [late(1, 1), late(0, 2), AcquireError::Open(refused)] {
            assert!(matches!(OpenError::from(error), OpenError::Failed(_)));
        }
    }
}
