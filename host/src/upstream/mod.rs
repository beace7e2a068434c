//! Upstreams: named sets of targets. Which one serves, and what happens when it does not.
//!
//! ```text
//! open ─▶ attempt ─▶ balancer ─▶ rotation ─▶ strategy
//!            │           ▲
//!            ▼           │ how it went
//!          target ───────┘◀── checker
//! ```
//!
//! A [`Balancer`] is of targets of any kind; [`Upstream`] is one of connection targets. The strategies
//! are in [`strategy::STRATEGIES`]. How targets fail and recover is told in [`health`].

mod attempt;
mod balancer;
mod checker;
pub mod health;
mod load;
mod retry;
mod rotation;
mod snapshot;
pub mod strategy;
mod target_set;

pub use attempt::{Attempts, Opens};
pub use balancer::{Balancer, InFlight, Ticket, Tried};
pub use checker::{CheckOptions, Probe, check};
pub use health::HealthOptions;
pub use retry::{Budget, RetryOptions};
pub use snapshot::{TargetSnapshot, UpstreamSnapshot};
pub use strategy::{STRATEGIES, StrategyInfo};
pub use target_set::Spec;

use crate::connection::Target;
use crate::driver::DriverHandle;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Session};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How an upstream serves.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Which target is next. Default: the first of [`STRATEGIES`].
    pub strategy: &'static StrategyInfo,
    /// From asking for a session to having one, over all attempts. Default: 20 s.
    pub connect_timeout: Duration,
    /// When targets are passed over. Default: see there.
    pub health: HealthOptions,
    /// Active checks; `None` is none. Default: none.
    pub checks: Option<CheckOptions>,
    /// How often further targets are tried. Default: see there.
    pub retry: RetryOptions,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        UpstreamOptions {
            strategy: &STRATEGIES[0],
            connect_timeout: Duration::from_secs(20),
            health: HealthOptions::default(),
            checks: None,
            retry: RetryOptions::default(),
        }
    }
}

/// A named set of targets.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    driver: Option<Arc<DriverHandle>>,
    balancer: Arc<Balancer<Target>>,
    attempts: Attempts,
    connect_timeout: Duration,
    checks: Option<CheckOptions>,
}

/// A session and its place at its target. The session counts as in flight there until the guard is
/// dropped: keep both together.
#[derive(Debug)]
pub struct Opened {
    /// The session.
    pub session: Session,
    /// Its place.
    pub guard: InFlight<Target>,
}

impl Upstream {
    /// An upstream over `targets`, of which there is at least one. Does not connect yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a target, or for a name that is there twice.
    pub fn new(name: &str, targets: Vec<Spec<Target>>, options: UpstreamOptions) -> Result<Self> {
        if targets.is_empty() {
            let text = format!("upstream {name:?} has no targets");
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(Upstream {
            name: name.to_owned(),
            driver: targets.first().and_then(|spec| spec.target.stack().top().cloned()),
            balancer: Arc::new(Balancer::new(targets, options.strategy, options.health)?),
            attempts: Attempts::new(options.retry),
            connect_timeout: options.connect_timeout,
            checks: options.checks,
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
    pub fn balancer(&self) -> &Arc<Balancer<Target>> {
        &self.balancer
    }

    /// Active checks, to be run by the caller; `None` if there are to be none. They end with the
    /// upstream.
    pub fn checks(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let options = self.checks.clone()?;
        Some(check(Arc::downgrade(&self.balancer), options))
    }

    /// Opens a session to the target whose turn it is, or to the next ones as long as they fail,
    /// each once, all within the connect timeout. Sessions with one key meet at one target where
    /// the strategy looks at keys; see [`Upstream::key_of`]. Cancel safe.
    ///
    /// # Errors
    /// The last target's with the reasons of those before; [`ErrorKind::Limit`] if none has room.
    pub async fn open(&self, key: Option<u64>) -> Result<Opened> {
        let opened = self.attempts.open(&self.balancer, key, self.connect_timeout).await;
        let (session, guard) = opened.map_err(|error| error.with("upstream", &self.name))?;
        Ok(Opened { session, guard })
    }

    /// The key of a peer, by its address without the port, so that all connections of one peer meet
    /// at one target; `None` where the strategy does not look at keys.
    pub fn key_of(&self, peer: Option<&str>) -> Option<u64> {
        peer.filter(|_| self.balancer.strategy().uses_key).map(key_of_address)
    }

    /// As it is now.
    pub fn snapshot(&self) -> UpstreamSnapshot {
        UpstreamSnapshot {
            name: self.name.clone(),
            balance: self.balancer.strategy().name,
            panic: self.balancer.is_panic(),
            retries_refused: self.attempts.refused(),
            targets: self.balancer.snapshot(Instant::now()),
        }
    }
}

/// Of the address without its port, if it is one; else of the whole text.
fn key_of_address(peer: &str) -> u64 {
    let hash = match peer.parse::<SocketAddr>() {
        Ok(address) => Sha256::digest(address.ip().to_string()),
        Err(_) => Sha256::digest(peer),
    };
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

impl Opens for Target {
    type Session = Session;

    async fn open(&self, limit: Duration) -> Result<Session> {
        Target::open(self, limit).await
    }
}

impl Probe for Target {
    /// By its own stack: the layers agree with the peer, and if the top one can ping, it does.
    async fn probe(&self, limit: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let session = Target::open(self, limit).await?;
        if session.facets().has(Facets::PING) {
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
    use super::key_of_address;

    #[test]
    fn a_key_is_of_the_address_whatever_its_family_and_port() {
        for (first, second) in [("10.0.0.1:5", "10.0.0.1:6"), ("[::1]:5", "[0::1]:6")] {
            assert_eq!(key_of_address(first), key_of_address(second));
        }
        let others = ["10.0.0.1:5", "10.0.0.2:5", "[::1]:5", "[::2]:5", "/run/a.sock"];
        let keys: std::collections::BTreeSet<u64> = others.map(key_of_address).into();
        assert_eq!(keys.len(), others.len());
    }
}
