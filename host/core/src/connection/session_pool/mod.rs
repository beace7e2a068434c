//! [`SessionPool`]: the sessions of one target between their uses.
//!
//! Each target has one for the requests that are forwarded to it; with `pool = { … }` all that is done at an
//! upstream's target goes through one.
//!
//! | what the session can do, and what it is for | who has it | afterwards |
//! |---|---|---|
//! | requests; one is forwarded | one caller, until the answer has come whole | given back |
//! | open streams; a stream is wanted | up to `share` callers, each a stream of its own on it | the place is given back when the peer has closed the stream too |
//! | anything; only calls are made | up to `share` callers | given back |
//! | one stream or messages; these are wanted | one caller, who uses it up | dropped; the pool opens another when one is wanted |
//!
//! A stream is never given to a second caller. What calls leave behind in a session is taken back before the
//! next caller has it, where its driver can (`reset`) and one caller at a time has it (`share = 1`): within
//! `test_timeout`, and a session that cannot be reset is closed. A session that several have at once cannot
//! be made as new for one of them, so with `share` above 1 nothing is reset. And no caller gets a session that
//! was opened for others: a pool belongs to one target, with its options, credentials and what it goes via;
//! callers of two upstreams never share one.
//!
//! In the last case the pool is what `maxconn` with a queue is elsewhere: used sessions count towards
//! `max_size`, callers beyond it wait in order, and `min_idle` keeps sessions open in advance.
//!
//! A session is looked at before it is handed out. An end that it has told of, or that has arrived
//! on its stream, is seen without asking; one unused for longer than `test_idle` is asked by a ping
//! where its driver has one. One whose user got no answer is pinged before another user gets it
//! ([`PooledSession::test`]). Without a ping, and where a session has messages only, a peer that has
//! gone away in silence is found out in use.

mod member;
mod pooled;
mod told;

pub use jackfield_balancer::OpenError;
pub use member::{Dial, Member, PooledLimit};
pub use pooled::PooledSession;
pub use told::PoolEvents;

use super::keepalive::KeepAlive;
use super::target::Target;
use crate::lock::IgnorePoison;
use crate::pool::{AcquireError, Pool, PoolOptions, Pooled, Stats};
use crate::session::{DataParts, calls_of, guarded};
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result};
use jackfield_timers::timeout_at;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// What a session is needed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Its data: a stream, messages or datagrams.
    #[default]
    Data,
    /// Operations.
    Calls,
    /// One request.
    Request {
        /// The session may have answered another one, and been unused since then for less than that. A
        /// peer whose close is still on its way cannot be told from one that has begun to work, so what
        /// must not be asked twice needs a session that was in use a moment ago, or a new one.
        rested: Duration,
    },
}

/// Why a pool has no session. Full is not broken: only what could not be opened, or not in time although there
/// was room, counts against the target.
fn not_acquired(error: AcquireError) -> OpenError {
    let is_failure = match &error {
        AcquireError::TimedOut { in_use, max_size, .. } => in_use < max_size,
        AcquireError::Open(cause) => cause.kind() != ErrorKind::Limit,
        _ => false,
    };
    if is_failure { OpenError::Failed(error.into()) } else { OpenError::Busy(error.into()) }
}

/// The sessions of one target between their uses.
#[derive(Debug)]
pub struct SessionPool {
    keeps: Keeps,
    /// For one session, over all its layers; `None`: as long as the first caller has.
    connect_limit: Option<Duration>,
    /// Made when first needed; taken away while the target rests.
    pool: Mutex<Option<Pool<Dial>>>,
    events: Option<Arc<PoolEvents>>,
}

#[derive(Debug)]
enum Keeps {
    /// Only requests take their sessions from here; all else has sessions of its own.
    Requests(KeepAlive),
    /// All sessions are taken from here, with a limit for the pools of all targets.
    All(PoolOptions, Option<PooledLimit>),
}

impl SessionPool {
    /// Of which only requests take sessions, as many as they need; without a limit for connecting each
    /// opening may take what time its first caller has.
    pub fn between_requests(keepalive: KeepAlive, connect_limit: Option<Duration>) -> Self {
        let keeps = Keeps::Requests(keepalive);
        SessionPool { keeps, connect_limit, pool: Mutex::default(), events: None }
    }

    /// Tells what happens to it.
    #[must_use]
    pub fn telling(mut self, events: PoolEvents) -> Self {
        self.events = Some(Arc::new(events));
        self
    }

    /// Of which every use of `target` takes its session; each session gets `connect_limit` to be opened,
    /// at most. It is no larger than what the target's drivers declare that it bears, and all pools with a
    /// clone of `all` together no larger than that.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an option out of range, or for a `share` that its sessions cannot
    /// bear.
    pub fn of_all(
        target: &Target,
        mut options: PoolOptions,
        connect_limit: Duration,
        all: Option<PooledLimit>,
    ) -> Result<Self> {
        options.check()?;
        if target.stack().tells_client() {
            let text = "a target that is told who the client is has no pool: each session is for one client";
            return Err(Error::new(ErrorKind::Config, text));
        }
        if let Some(most) = target.stack().max_sessions() {
            options.max_size = options.max_size.min(most.max(1));
            options.min_idle = options.min_idle.min(options.max_size);
        }
        if !target.is_open_to_all() {
            // More would only wait for the first one to go.
            (options.max_size, options.min_idle) = (1, options.min_idle.min(1));
        }
        if options.share > 1 && !shares(target) {
            let name = target.stack().top().map_or("this target", |driver| driver.name());
            let text = format!("expected 1: sessions of {name} carry one conversation each");
            return Err(Error::option("share", text));
        }
        let (keeps, connect_limit) = (Keeps::All(options, all), Some(connect_limit));
        Ok(SessionPool { keeps, connect_limit, pool: Mutex::default(), events: None })
    }

    /// Makes the pool, so that `min_idle` sessions are opened before anybody asks. Has to be called
    /// inside a runtime.
    pub fn warm(&self, target: &Arc<Target>) {
        if let (Keeps::All(..), Some(limit)) = (&self.keeps, self.connect_limit)
            && let Err(error) = self.made(target, limit)
        {
            tracing::warn!(target = target.stack().display(), %error, "no pool");
        }
    }

    /// The pool at this moment; `None` while none was needed.
    pub fn stats(&self) -> Option<Stats> {
        self.pool().as_ref().map(Pool::stats)
    }

    /// The target gets no new sessions: unused ones are closed, used ones when they come back. If it
    /// serves again, it gets a new pool.
    pub fn rest(&self) {
        let pool = self.pool().take();
        if let Some(pool) = pool {
            pool.close();
        }
    }

    /// Closes the pool and waits until `deadline` for what is in use; then that is closed too. Answers
    /// how many of those there were.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let pool = self.pool().take();
        let Some(pool) = pool else { return 0 };
        let drained = pool.drain(deadline).await;
        pool.connect().closed(deadline).await;
        drained.abandoned
    }

    /// A session of `target`, the one that this belongs to, within `limit`. If all places are taken it is
    /// waited for one only if the caller `waits`. Cancel safe.
    ///
    /// # Errors
    /// What opening one says, or that there is no place.
    pub async fn checkout(
        &self,
        target: &Arc<Target>,
        purpose: Purpose,
        waits: bool,
        limit: Duration,
    ) -> Result<PooledSession, OpenError> {
        if !self.serves(target, purpose) {
            let session = target.open(limit).await?;
            return Ok(PooledSession::own(session, purpose));
        }
        let pool = self.made(target, limit)?;
        if !waits && !pool.has_room() {
            let text = "every session of the pool is in use";
            return Err(OpenError::Busy(Error::new(ErrorKind::Limit, text)));
        }
        let longest = match &self.keeps {
            Keeps::All(options, _) => options.acquire_timeout.0,
            Keeps::Requests(_) => limit,
        };
        let deadline = Instant::now() + limit.min(longest);
        let fits = |member: &Member| match purpose {
            Purpose::Request { rested } => member.has_rested_less_than(rested),
            Purpose::Data | Purpose::Calls => true,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let pooled = pool.get_where(deadline, fits).await.map_err(not_acquired)?;
            let fresh = pooled.is_fresh();
            match take(pooled, purpose, deadline).await {
                // It ended unnoticed. The next is tested or new.
                Err(error) if error.is_closed() && !fresh => {}
                // The pool has a place and the peer has none: it counts a stream that has ended for a little
                // longer, or lets us have fewer than `share`.
                Err(OpenError::Busy(_)) if waits && Instant::now() + pause < deadline => {
                    jackfield_timers::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                taken => return taken,
            }
        }
    }

    /// Whether sessions for that are taken from here. Where each session needs leave of its own, none may
    /// wait for the next peer.
    fn serves(&self, target: &Target, purpose: Purpose) -> bool {
        match self.keeps {
            Keeps::All(..) => true,
            Keeps::Requests(_) => {
                matches!(purpose, Purpose::Request { .. }) && target.is_open_to_all()
            }
        }
    }

    /// The pool; where there is none, one whose sessions get `limit` to be opened unless that was set.
    fn made(&self, target: &Arc<Target>, limit: Duration) -> Result<Pool<Dial>> {
        let mut slot = self.pool();
        if let Some(pool) = &*slot {
            return Ok(pool.clone());
        }
        let runtime = Handle::try_current()
            .map_err(|_| Error::unsupported("making a pool outside a runtime"))?;
        let limit = self.connect_limit.unwrap_or(limit);
        let (options, all) = match &self.keeps {
            Keeps::All(options, all) => (options.clone(), all.clone()),
            Keeps::Requests(keepalive) => (keepalive.pool_options(limit), None),
        };
        let dial = Dial::new(target, limit, all, options.share > 1, runtime);
        let dial = dial.telling(self.events.clone());
        let pool = Pool::new(dial, &options)?;
        *slot = Some(pool.clone());
        Ok(pool)
    }

    fn pool(&self) -> MutexGuard<'_, Option<Pool<Dial>>> {
        self.pool.lock().ignore_poison()
    }
}

/// How long a caller waits at first before it asks a peer again that has no room for another stream.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How long at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Whether sessions of `target` carry several conversations, as far as its driver declares.
pub fn shares(target: &Target) -> bool {
    target.stack().top().is_some_and(|driver| driver.manifest.facets.contains(Facets::OPEN_STREAM))
}

/// Hands out a member in the form that it is needed in.
async fn take(
    pooled: Pooled<Dial>,
    purpose: Purpose,
    deadline: Instant,
) -> Result<PooledSession, OpenError> {
    let member: &Arc<Member> = pooled.member();
    let session = Arc::clone(member.session());
    match purpose {
        Purpose::Calls => Ok(PooledSession::for_calls(calls_of(session), pooled)),
        Purpose::Request { .. } if member.takes_requests() => {
            Ok(PooledSession::for_request(session, pooled))
        }
        Purpose::Request { .. } => {
            let text = "forwarding requests to a session without requests";
            Err(OpenError::Failed(Error::unsupported(text)))
        }
        Purpose::Data if member.opens_streams() => open_stream(pooled, deadline).await,
        Purpose::Data => {
            let parts: DataParts = member.give_all();
            Ok(PooledSession::used_up(guarded(session, parts, ()), pooled))
        }
    }
}

async fn open_stream(pooled: Pooled<Dial>, deadline: Instant) -> Result<PooledSession, OpenError> {
    // Null asks for the stream that the target's options describe.
    let opening = pooled.member().session().open_stream(&Value::Null);
    let late = || Error::new(ErrorKind::TimedOut, "no answer to opening a stream");
    match timeout_at(deadline, opening).await.unwrap_or_else(|_| Err(late())) {
        Ok(session) => Ok(PooledSession::with_stream(session, pooled)),
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

#[cfg(test)]
mod tests;
