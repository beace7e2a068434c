//! [`HealthMonitor`]: asks a connection at intervals whether it is well, and says so.

use super::live::Live;
use super::state::State;
use crate::session::SessionExt;
use jackfield_timers::sleep_until;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Whether it is connected and, where its driver can ask, its peer has answered.
    pub healthy: bool,
    /// `connecting`, `connected`, …
    pub state: &'static str,
    /// Milliseconds of the round trip; `None` if there was none.
    pub round_trip_ms: Option<f64>,
    /// What was wrong; empty when healthy.
    pub because: String,
}

/// Checks of one connection, one after the other. Dropping it ends them.
#[derive(Debug)]
pub struct HealthMonitor {
    live: Arc<Live>,
    interval: Duration,
    limit: Duration,
    next: Instant,
}

impl HealthMonitor {
    /// The next check's result: the first at once, each further one an interval later; `None` when
    /// the connection has ended. A change of mind is also an event of the connection, and a peer
    /// that does not answer makes it unhealthy in its flags. Cancel safe.
    pub async fn next(&mut self) -> Option<Health> {
        tokio::select! {
            () = sleep_until(self.next) => {}
            () = self.live.wait_closed() => return None,
        }
        let health = self.live.check(self.limit).await;
        self.next = Instant::now() + self.interval;
        (!self.live.state().is_final()).then_some(health)
    }
}

impl Live {
    /// Checks at intervals, each check within `limit`. An interval of zero counts as 1 ms.
    pub fn monitor_health(self: &Arc<Self>, interval: Duration, limit: Duration) -> HealthMonitor {
        let interval = interval.max(Duration::from_millis(1));
        HealthMonitor { live: Arc::clone(self), interval, limit, next: Instant::now() }
    }

    /// Asks the peer once, by a real round trip where the driver has one. Cancel safe.
    pub async fn check(&self, limit: Duration) -> Health {
        let session = self.session.load_full();
        let Some(session) = session.filter(|_| self.state() == State::Connected) else {
            return self.health(None, format!("it is {}", self.state()));
        };
        let Some(answer) = session.ping_within(limit).await else {
            return self.health(None, String::new());
        };
        self.note_round_trip(&answer);
        match answer {
            Ok(round_trip) => self.health(Some(round_trip), String::new()),
            Err(error) => self.health(None, error.to_string()),
        }
    }

    fn health(&self, round_trip: Option<Duration>, because: String) -> Health {
        Health {
            healthy: because.is_empty(),
            state: self.state().as_str(),
            round_trip_ms: round_trip.map(|time| time.as_secs_f64() * 1e3),
            because,
        }
    }
}
