//! The end of a host that another process has taken over from.

use super::Manager;
use super::listen::{CUT, RunningListener};
use crate::config::DrainOptions;
use std::time::Duration;

/// How long handshakes that have begun here may take when another process reads the socket.
const BEGUN: Duration = Duration::from_secs(1);

impl Manager {
    /// Accepts no more, anywhere; what was accepted has `drain.within` to end, and is closed one after the other within
    /// `drain.spread` then. Completes when nothing of it is left. Cancel safe: it goes on by itself.
    pub async fn drain_listeners(&self, drain: DrainOptions) {
        let running = self.core.listeners.running();
        let all = running.iter().map(|running| async move {
            if self.is_read_elsewhere(running) {
                jackfield_timers::sleep(BEGUN).await;
            }
            running.drain(drain, &self.core.named.lives).await;
        });
        futures_util::future::join_all(all).await;
        let limit = drain.within.0.saturating_add(drain.spread.0).saturating_add(CUT);
        // What is left then is ended with the rest.
        let _ = jackfield_timers::timeout(limit, self.served(0)).await;
    }

    /// Whether another process reads the socket of a listener whose transport sorts what comes by itself.
    fn is_read_elsewhere(&self, running: &RunningListener) -> bool {
        let (target, handover) = (running.target(), self.core.common.handover());
        let transport = target.stack().transport();
        transport.is_some_and(|transport| handover.has_given_of(&transport.plugin_name))
    }
}
