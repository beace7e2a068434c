//! The limit of open files: raised as far as a host needs it and may, and a warning where that does not suffice.

use crate::config::model::HostConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors of a connection at the most: its own socket, and that of what it is joined to.
const EACH: u64 = 2;

/// What the process needs beside its connections: files, listeners, pipes of relays, programs.
const BESIDE: u64 = 512;

/// Raises the soft limit to what `host.max_connections` needs, as far as the hard limit allows. Not further: a
/// program that the host starts inherits the limit, and old ones close as many descriptors one by one. Where that
/// does not suffice there is a warning if it `warns`: not for a command that a person has started for one route.
pub(super) fn raise_limit(host: &HostConfig, warns: bool) {
    let needed = u64::from(host.max_connections) * EACH + BESIDE;
    let before = getrlimit(Resource::Nofile);
    let Some(soft) = before.current else { return };
    let wanted = before.maximum.map_or(needed, |hard| hard.min(needed));
    let mut now = soft;
    if wanted > soft {
        let raised = Rlimit { current: Some(wanted), maximum: before.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => {
                now = wanted;
                tracing::info!(from = soft, to = now, "limit of open files raised");
            }
            Err(error) => tracing::warn!(%error, limit = soft, "limit of open files not raised"),
        }
    }
    if now < needed && warns {
        let enough_for = now.saturating_sub(BESIDE) / EACH;
        tracing::warn!(
            limit = now,
            needed,
            max_connections = host.max_connections,
            "open files: the limit of descriptors is enough for about {enough_for} connections; raise the \
             hard limit (LimitNOFILE of systemd, ulimit -Hn) or lower host.max_connections"
        );
    }
}
