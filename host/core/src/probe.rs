//! Probing: is there somebody at the other end who speaks the whole stack?
//!
//! A TCP connection says little: a dead service behind a live port accepts it. A probe opens a session
//! by its own stack, all layers with their handshakes, pings the peer where the driver on top can,
//! and takes its leave.

use crate::connection::Target;
use crate::parallel::in_order;
use crate::session::SessionExt;
use jackfield_plugin_api::{Error, Info, Result};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a probe has found.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    /// What was probed, as it was given.
    pub name: String,
    /// Where that is, without a password.
    pub uri: String,
    /// Whether all layers and the ping, if there was one, succeeded.
    pub ok: bool,
    /// Milliseconds until the session was open.
    pub open_ms: Option<f64>,
    /// Milliseconds of the ping's round trip; `None` where the driver has none.
    pub ping_ms: Option<f64>,
    /// Facts of the session: addresses, what was agreed on, who the peer is.
    pub info: Option<Info>,
    /// Why it failed.
    pub error: Option<ProbeError>,
}

/// Why a probe failed.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeError {
    /// What can be done about it: `unreachable`, `denied`, `untrusted`, …
    pub kind: &'static str,
    /// Whether trying again can help: `never`, `now`, `if_reused`.
    pub retry: &'static str,
    /// One line for people.
    pub text: String,
}

impl From<&Error> for ProbeError {
    fn from(error: &Error) -> Self {
        ProbeError {
            kind: error.kind().as_str(),
            retry: error.retry().as_str(),
            text: error.to_string(),
        }
    }
}

/// Probes one target within `limit`. Cancel safe.
pub async fn probe(name: &str, target: &Target, limit: Duration) -> Probed {
    let mut probed = Probed {
        name: name.to_owned(),
        uri: target.stack().display().to_owned(),
        ok: false,
        open_ms: None,
        ping_ms: None,
        info: None,
        error: None,
    };
    match ask(target, limit, &mut probed).await {
        Ok(()) => probed.ok = true,
        Err(error) => probed.error = Some(ProbeError::from(&error)),
    }
    probed
}

/// Probes all targets, at most `parallel` at a time (at least 1), each within `limit`. The answers are
/// in the order of the targets. Cancel safe.
pub async fn probe_many(
    targets: Vec<(String, Arc<Target>)>,
    parallel: usize,
    limit: Duration,
) -> Vec<Probed> {
    let probes =
        targets.into_iter().map(|(name, target)| async move { probe(&name, &target, limit).await });
    in_order(probes, parallel).await
}

async fn ask(target: &Target, limit: Duration, probed: &mut Probed) -> Result<()> {
    let begun = Instant::now();
    let session = target.open(limit).await?;
    probed.open_ms = Some(milliseconds(begun.elapsed()));
    probed.info = Some(session.info());
    let left = limit.saturating_sub(begun.elapsed());
    let pinged = session.ping_within(left).await.transpose();
    session.close_politely(0, "probe").await;
    probed.ping_ms = pinged?.map(milliseconds);
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are all that such a figure can mean.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::POLITE_CLOSE;
    use crate::stack::Stack;
    use jackfield_plugin_api::{Control, Facets, Session};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// A peer whose ping takes so long; for ever without a time.
    struct Answers(Option<Duration>);

    impl Control for Answers {
        async fn ping(&self) -> Result<Duration> {
            match self.0 {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
            Ok(self.0.unwrap_or_default())
        }
        async fn close(&self, _: u64, _: String) -> Result<()> {
            // A peer that does not let one go.
            std::future::pending().await
        }
    }

    fn target(ping: Option<u64>, opening: &Arc<(AtomicUsize, AtomicUsize)>) -> Arc<Target> {
        let opening = Arc::clone(opening);
        let stack = Stack::of_source("test:", move |_| {
            let opening = Arc::clone(&opening);
            async move {
                opening.1.fetch_max(opening.0.fetch_add(1, Relaxed) + 1, Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                opening.0.fetch_sub(1, Relaxed);
                Ok(Session::builder(Answers(ping.map(Duration::from_millis)))
                    .facets(Facets::PING)
                    .build())
            }
        });
        Arc::new(Target::new(stack, None))
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_probed_in_parallel_each_within_its_limit_and_answer_in_their_order() {
        let opening = Arc::default();
        let targets: Vec<_> = (0..9)
            .map(|at| {
                let ping = (at != 3).then_some(at * 10);
                (format!("t{at}"), target(ping, &opening))
            })
            .collect();
        let begun = Instant::now();
        let probed = probe_many(targets, 3, Duration::from_secs(2)).await;
        assert_eq!(opening.1.load(Relaxed), 3, "at a time");
        let names: Vec<_> = probed.iter().map(|one| one.name.clone()).collect();
        assert_eq!(names, (0..9).map(|at| format!("t{at}")).collect::<Vec<_>>());
        let failed: Vec<_> = probed.iter().filter(|one| !one.ok).collect();
        assert_eq!((failed.len(), failed[0].name.as_str()), (1, "t3"));
        let error = failed[0].error.as_ref().unwrap();
        assert_eq!((error.kind, error.text.as_str()), ("timed_out", "no answer to a ping in 1.9s"));
        assert_eq!((failed[0].open_ms, failed[0].ping_ms), (Some(100.0), None), "it was open");
        assert_eq!(probed[8].ping_ms, Some(80.0));
        // Three after each other at most, each with its time to take leave.
        let leave = 3 * POLITE_CLOSE;
        assert!(begun.elapsed() <= Duration::from_secs(2 + 1 + 1) + leave, "{:?}", begun.elapsed());
    }
}
