//! Probing: is there somebody at the other end who speaks the whole stack?
//!
//! A TCP connection says little: a dead service behind a live port accepts it. A probe opens a session
//! by its own stack, all layers with their handshakes, pings the peer where the driver on top can,
//! and takes its leave.

use crate::connection::Target;
use futures_util::stream::{self, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Facets, Info, Result};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

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

/// The most that the leave-taking may take; the peer has answered before.
const LEAVE: Duration = Duration::from_secs(1);

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
    let probes = targets
        .into_iter()
        .enumerate()
        .map(|(at, (name, target))| async move { (at, probe(&name, &target, limit).await) });
    let mut done: Vec<_> = stream::iter(probes).buffer_unordered(parallel.max(1)).collect().await;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, probed)| probed).collect()
}

async fn ask(target: &Target, limit: Duration, probed: &mut Probed) -> Result<()> {
    let begun = Instant::now();
    let session = target.open(limit).await?;
    probed.open_ms = Some(milliseconds(begun.elapsed()));
    probed.info = Some(session.info());
    let pinged = if session.facets().has(Facets::PING) {
        let left = limit.saturating_sub(begun.elapsed());
        let late = || Error::new(ErrorKind::TimedOut, "no answer to a ping");
        timeout(left, session.ping()).await.unwrap_or_else(|_| Err(late())).map(Some)
    } else {
        Ok(None)
    };
    let _ = timeout(LEAVE, session.close(0, "probe")).await;
    probed.ping_ms = pinged?.map(milliseconds);
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are all that such a figure can mean.
    (time.as_secs_f64() * 1e6).round() / 1e3
}
