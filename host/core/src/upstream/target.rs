//! [`UpstreamTarget`]: a target of an upstream together with its pool, or the sessions kept between two requests:
//! what gRPC calls a subchannel and Envoy a host of a cluster.

use super::posts::Posts;
use crate::connection::{
    KeepAlive, Lives, Managed, Policy, PoolEvents, PooledLimit, PooledSession, Purpose,
    SessionPool, Target,
};
use crate::pool::{PoolOptions, Stats};
use crate::session::SessionExt;
use jackfield_balancer::{Need, OpenError, Opens, Probe};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::{timeout, timeout_at};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// The connection that posts go over.
pub(super) struct PostOptions {
    pub(super) name: String,
    pub(super) policy: Policy,
    pub(super) lives: Option<Arc<Lives>>,
}

/// A target and its sessions.
#[derive(Debug)]
pub struct UpstreamTarget {
    target: Arc<Target>,
    sessions: SessionPool,
    posts: OnceLock<Posts>,
}

impl From<Target> for UpstreamTarget {
    /// Without a pool: only between requests are sessions kept, by the defaults.
    fn from(target: Target) -> Self {
        let sessions = SessionPool::between_requests(KeepAlive::default(), None);
        UpstreamTarget { target: Arc::new(target), sessions, posts: OnceLock::new() }
    }
}

impl UpstreamTarget {
    /// A target without a pool, whose sessions are kept between requests as `keepalive` says.
    pub fn keeping(target: Target, keepalive: KeepAlive, connect_limit: Duration) -> Self {
        let sessions = SessionPool::between_requests(keepalive, Some(connect_limit));
        UpstreamTarget { target: Arc::new(target), sessions, posts: OnceLock::new() }
    }

    /// A target with a pool, as [`SessionPool::of_all`].
    ///
    /// # Errors
    /// As there.
    pub fn pooled(
        target: Target,
        options: PoolOptions,
        connect_limit: Duration,
        all: Option<PooledLimit>,
    ) -> Result<Self> {
        let sessions = SessionPool::of_all(&target, options, connect_limit, all)?;
        Ok(UpstreamTarget { target: Arc::new(target), sessions, posts: OnceLock::new() })
    }

    /// Tells what happens to its pool.
    #[must_use]
    pub fn telling(mut self, events: PoolEvents) -> Self {
        self.sessions = self.sessions.telling(events);
        self
    }

    /// What posts go over; its connection is made as `make` says when it is first needed.
    pub(super) fn posts(&self, make: impl FnOnce() -> PostOptions) -> &Posts {
        self.posts.get_or_init(|| {
            let PostOptions { name, policy, lives } = make();
            let target = Arc::clone(&self.target);
            Posts::new(match lives {
                Some(lives) => Managed::counted(&name, target, policy, BTreeMap::new(), lives),
                None => Managed::new(&name, target, policy),
            })
        })
    }

    /// The target.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Makes its pool, so that `min_idle` sessions are opened before anybody asks. Has to be called
    /// inside a runtime.
    pub fn warm(&self) {
        self.sessions.warm(&self.target);
    }

    /// Opens `count` sessions at once and puts them into its pool; answers what became of each. They are in use together,
    /// so that no two are the same, unless sessions are shared; a pool of fewer sessions has as many wait for a place.
    /// Without a pool each is closed again. Cancel safe.
    pub async fn warm_up(&self, count: usize, within: Duration) -> Vec<Result<()>> {
        let deadline = Instant::now() + within;
        let open = |_| async move {
            let opening = self.sessions.checkout(&self.target, Purpose::Calls, true, within);
            match timeout_at(deadline, opening).await {
                Ok(opened) => opened.map_err(Error::from),
                Err(_) => {
                    let text = format!("the session was not open within {within:?}");
                    Err(Error::new(ErrorKind::TimedOut, text))
                }
            }
        };
        let opened = futures_util::future::join_all((0..count).map(open)).await;
        opened.into_iter().map(|opened| opened.map(drop)).collect()
    }

    /// Its pool at this moment; `None` while none was needed.
    pub fn stats(&self) -> Option<Stats> {
        self.sessions.stats()
    }

    /// The target gets no new sessions: unused ones of its pool are closed, used ones when they come
    /// back. If it serves again, it gets a new pool.
    pub fn rest(&self) {
        self.sessions.rest();
    }

    /// Closes its pool and waits until `deadline` for sessions in use; then those are closed too.
    /// Answers how many of those there were.
    pub async fn drain(&self, deadline: Instant) -> usize {
        self.sessions.drain(deadline).await
    }
}

impl Opens for UpstreamTarget {
    type Session = PooledSession;
    type Purpose = Purpose;

    async fn open(&self, need: Need<Purpose>, limit: Duration) -> Result<PooledSession, OpenError> {
        self.sessions.checkout(&self.target, need.purpose, need.waits, limit).await
    }
}

impl Probe for UpstreamTarget {
    /// By its own stack, beside its pool: the layers agree with the peer, and if the top one can
    /// ping, it does.
    async fn probe(&self, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let session = self.target.open(limit).await?;
        let left = limit.saturating_sub(begin.elapsed());
        session.ping_within(left).await.transpose()?;
        let took = begin.elapsed();
        // The probe has succeeded; a peer that does not close in time is not dead for that.
        let leave = session.close(0, "check");
        let _ = timeout(limit.saturating_sub(took) / 2, leave).await;
        Ok(took)
    }
}
