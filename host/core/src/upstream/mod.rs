//! Upstreams: named sets of targets. Which one serves, and what happens when it does not.
//!
//! ```text
//! open ─▶ attempt ─▶ balancer ─▶ rotation ─▶ strategy
//!            │           ▲
//!            ▼           │ how it went
//!          target ───────┘◀── checker
//! ```
//!
//! A [`Balancer`] is of targets of any kind, and a crate of its own (`jackfield-balancer`); [`Upstream`] is one of
//! connection targets, each with a pool of its own where the upstream has `pool`. The strategies are in
//! [`strategy::STRATEGIES`]. How targets fail and recover is told in [`health`], how sessions are pooled in
//! [`SessionPool`](crate::connection::SessionPool).

mod asked;
mod call;
mod key;
mod opened;
mod options;
mod post;
mod posts;
mod snapshot;
mod target;
mod told;

pub use call::CallsSnapshot;
pub use jackfield_balancer::{
    AttemptWatcher, Attempts, Balance, Balancer, Budget, CheckOptions, HealthOptions, InFlight,
    Need, OpenError, Opens, OutlierOptions, Pick, Probe, RetryOptions, STRATEGIES, Spec,
    StrategyInfo, TargetChange, TargetHandle, TargetStatus, Tried, Watcher, check, health,
    strategy,
};
pub use key::KeyFrom;
pub use opened::Opened;
pub use options::UpstreamOptions;
pub use snapshot::{PoolSnapshot, TargetSnapshot, UpstreamSnapshot};
pub use target::UpstreamTarget;

use crate::connection::{KeepAlive, Lives, Policy, PoolEvents, PooledLimit, Purpose, Target};
use crate::driver::DriverHandle;
use crate::events::Bus;
use crate::pool::PoolOptions;
use crate::traces::AttemptSpans;
use call::UpstreamCalls;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use target::PostOptions;
use tokio::time::Instant;
use told::{TargetEvents, ToldAttempts};

/// What an upstream shares with others of its host; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct UpstreamContext {
    /// What the pools of this and other upstreams have together at most; `None` is no limit.
    pub pooled: Option<PooledLimit>,
    /// Where it is told what happens to targets and their pools.
    pub events: Option<Bus>,
    /// The table that has the connections of its posts.
    pub lives: Option<Arc<Lives>>,
}

/// A named set of targets.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    driver: Option<Arc<DriverHandle>>,
    balancer: Arc<Balancer<UpstreamTarget>>,
    attempts: Attempts,
    pools: Pools,
    checks: Option<CheckOptions>,
    calls: UpstreamCalls,
    tells_client: AtomicBool,
}

/// What each target's sessions are kept in.
#[derive(Debug)]
struct Pools {
    options: Option<PoolOptions>,
    all: Option<PooledLimit>,
    keepalive: KeepAlive,
    /// For one session.
    limit: Duration,
    upstream: Arc<str>,
    events: Option<Bus>,
    lives: Option<Arc<Lives>>,
}

/// How long a session that posts go over may be unused.
const POSTS_IDLE: Duration = Duration::from_secs(60);

impl Upstream {
    /// An upstream over `targets`, of which there is at least one. Does not connect yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a target, for a name that is there twice, or for options of the
    /// pool that are out of range or that a target cannot bear.
    pub fn new(name: &str, targets: Vec<Spec<Target>>, options: UpstreamOptions) -> Result<Self> {
        Upstream::within(name, targets, options, UpstreamContext::default())
    }

    /// As [`Upstream::new`], in a host.
    ///
    /// # Errors
    /// As there.
    pub fn within(
        name: &str,
        targets: Vec<Spec<Target>>,
        options: UpstreamOptions,
        context: UpstreamContext,
    ) -> Result<Self> {
        if targets.is_empty() {
            let text = format!("upstream {name:?} has no targets");
            return Err(Error::new(ErrorKind::Config, text));
        }
        let tells_client = targets.iter().any(|spec| spec.target.stack().tells_client());
        let driver = targets.first().and_then(|spec| spec.target.stack().top().cloned());
        let health = options.health_options();
        let pools = Pools {
            limit: options.connect_limit(),
            options: options.pool,
            all: context.pooled,
            keepalive: options.keepalive,
            upstream: name.into(),
            events: context.events,
            lives: context.lives,
        };
        let balancer = Balancer::new(pools.targets_of(targets)?, options.balance.0, health)?;
        if let Some(events) = pools.events.clone() {
            let upstream = Arc::clone(&pools.upstream);
            balancer.watch(Arc::new(TargetEvents { upstream, events }));
        }
        Ok(Upstream {
            name: name.to_owned(),
            driver,
            balancer: Arc::new(balancer.on_rest(UpstreamTarget::rest)),
            attempts: Attempts::new(options.retry),
            pools,
            checks: options.health,
            calls: UpstreamCalls::new(options.call_timeout, options.call_timeouts),
            tells_client: AtomicBool::new(tells_client),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver on top of the first target it was made with, whose operations its sessions have.
    pub fn driver(&self) -> Option<&Arc<DriverHandle>> {
        self.driver.as_ref()
    }

    /// Its targets, for changes while it runs.
    pub fn balancer(&self) -> &Arc<Balancer<UpstreamTarget>> {
        &self.balancer
    }

    /// Its targets by name.
    pub fn targets(&self) -> Vec<(String, Arc<Target>)> {
        let named = |handle: &Arc<TargetHandle<UpstreamTarget>>| {
            (handle.name.clone(), Arc::clone(handle.target.target()))
        };
        self.balancer.handles().iter().map(named).collect()
    }

    /// A target as its balancer takes it under that name, with a pool if the upstream has them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where its sessions cannot be pooled as the options say.
    pub fn target_of(&self, name: &str, target: Target) -> Result<UpstreamTarget> {
        self.tells_client.fetch_or(target.stack().tells_client(), Ordering::Relaxed);
        self.pools.target_of(name, target)
    }

    /// Whether one of its targets is told who the client is.
    pub fn tells_client(&self) -> bool {
        self.tells_client.load(Ordering::Relaxed)
    }

    /// Closes the pools: unused sessions now, used ones as they come back.
    pub fn close_pools(&self) {
        self.balancer.handles().iter().for_each(|handle| handle.target.rest());
    }

    /// Makes the pools, so that `min_idle` sessions are opened before anybody asks. Has to be called
    /// inside a runtime; otherwise a pool is made when it is first needed.
    pub fn warm(&self) {
        self.balancer.each(|_, target| target.warm());
    }

    /// Opens `count` sessions of each target at once, as [`UpstreamTarget::warm_up`], and answers what became of each: so
    /// that a program that needs its workers knows which of them it has. That a target is ejected or drained does not
    /// matter.
    pub async fn warm_up(
        &self,
        count: usize,
        within: Duration,
    ) -> HashMap<String, Vec<Result<()>>> {
        let handles = self.balancer.handles();
        let opening = handles.iter().map(|handle| async move {
            (handle.name.clone(), handle.target.warm_up(count, within).await)
        });
        futures_util::future::join_all(opening).await.into_iter().collect()
    }

    /// Closes the pools, all at once, and waits until `deadline` for sessions in use; then those are
    /// closed too. Returns how many sessions those were.
    pub async fn drain_pools(&self, deadline: Instant) -> usize {
        let handles = self.balancer.handles();
        let drains = handles.iter().map(|handle| handle.target.drain(deadline));
        futures_util::future::join_all(drains).await.into_iter().sum()
    }

    /// Active checks, to be run by the caller; `None` if there are to be none. They end with the
    /// upstream.
    pub fn checks(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let options = self.checks.clone()?;
        Some(check(Arc::downgrade(&self.balancer), options))
    }

    /// Opens a session to the target that is picked, or to the next ones as long as they fail,
    /// each once, all within the connect timeout. Sessions with one key meet at one target where
    /// the strategy [looks at keys](Upstream::uses_key). With a pool, the session is a stream of one
    /// that is pooled, or one that was, within the acquire timeout. Cancel safe.
    ///
    /// # Errors
    /// The last target's with the reasons of those before; [`ErrorKind::Limit`] if none has room.
    pub async fn open(&self, key: Option<u64>) -> Result<Opened> {
        self.have(key, Purpose::Data, None).await
    }

    /// As [`Upstream::open`], for one request: a session that has answered another and was unused since
    /// then for less than `rested` will do. [`Opened::answered`] says that the answer has come whole.
    ///
    /// # Errors
    /// As there.
    pub async fn open_for_request(&self, key: Option<u64>, rested: Duration) -> Result<Opened> {
        self.have(key, Purpose::Request { rested }, None).await
    }

    /// As [`Upstream::open`], for calls only: a pooled session is given back when the result is
    /// dropped.
    ///
    /// # Errors
    /// As there.
    pub async fn borrow(&self, key: Option<u64>) -> Result<Opened> {
        self.have(key, Purpose::Calls, None).await
    }

    /// A session for what is said, with a span for each attempt where there are traces.
    pub(crate) async fn have(
        &self,
        key: Option<u64>,
        purpose: Purpose,
        spans: Option<&AttemptSpans<'_>>,
    ) -> Result<Opened> {
        let limit = self.pools.limit_of_all();
        let need = Need { purpose, ..Need::default() };
        let told = spans.map(|spans| ToldAttempts { upstream: &self.name, spans });
        let watcher = told.as_ref().map(|told| told as &dyn AttemptWatcher<UpstreamTarget>);
        let opened = self.attempts.open_watched(&self.balancer, key, need, limit, watcher).await;
        let (session, guard) = opened.map_err(|error| error.with("upstream", &self.name))?;
        Ok(Opened::new(session, guard))
    }

    /// Whether its strategy looks at keys.
    pub fn uses_key(&self) -> bool {
        self.balancer.strategy().uses_key
    }

    /// As it is now.
    pub fn snapshot(&self) -> UpstreamSnapshot {
        let mut pools = HashMap::new();
        self.balancer.each(|name, target| {
            pools.extend(target.stats().map(|stats| (name.to_owned(), PoolSnapshot::of(&stats))));
        });
        let with_pool = |status: TargetStatus| {
            let pool = pools.remove(&status.name);
            TargetSnapshot { status, pool }
        };
        let targets = self.balancer.snapshot(Instant::now()).into_iter().map(with_pool).collect();
        UpstreamSnapshot {
            name: self.name.clone(),
            balance: self.balancer.strategy().name,
            panic: self.balancer.is_panic(),
            retries_refused: self.attempts.refused(),
            calls: self.calls.snapshot(),
            targets,
        }
    }
}

impl Pools {
    /// From asking for a session to having one.
    fn limit_of_all(&self) -> Duration {
        self.options.as_ref().map_or(self.limit, |pool| pool.acquire_timeout.0)
    }

    fn target_of(&self, name: &str, target: Target) -> Result<UpstreamTarget> {
        let target = match &self.options {
            Some(options) => {
                UpstreamTarget::pooled(target, options.clone(), self.limit, self.all.clone())?
            }
            None => UpstreamTarget::keeping(target, self.keepalive, self.limit),
        };
        Ok(match &self.events {
            Some(events) => target.telling(PoolEvents::new(&self.upstream, name, events.clone())),
            None => target,
        })
    }

    /// The connection of posts to the target of that name.
    fn posts(&self, upstream: &str, target: &str) -> PostOptions {
        let policy = Policy {
            connect_timeout: Some(self.limit),
            idle_timeout: POSTS_IDLE,
            ..Policy::default()
        };
        let name = format!("upstreams.{upstream} {target}");
        PostOptions { name, policy, lives: self.lives.clone() }
    }

    fn targets_of(&self, specs: Vec<Spec<Target>>) -> Result<Vec<Spec<UpstreamTarget>>> {
        let target = |spec: Spec<Target>| {
            let Spec { name, target, weight, priority, max_connections, labels } = spec;
            let target = self.target_of(&name, target)?;
            Ok(Spec { name, target, weight, priority, max_connections, labels })
        };
        specs.into_iter().map(target).collect()
    }
}
