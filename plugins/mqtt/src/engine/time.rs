//! What is due: pings, and the end of waiting.

use super::Engine;
use crate::reason;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Role};
use std::time::Duration;

impl Engine {
    /// Time passes: what is due is done. Nobody is late while nothing is read from him.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.ended.is_some() || !self.connected {
            return;
        }
        if !self.wants_read() {
            self.paused = true;
            return;
        }
        if std::mem::take(&mut self.paused) {
            self.resumed = now;
        }
        let late = |text: &str| Error::new(ErrorKind::TimedOut, text.to_owned());
        if self.role == Role::Server && self.silent_at().is_some_and(|at| now >= at) {
            let error = late("the client is silent for longer than its keep alive time");
            return self.leave(reason::KEEPALIVE, Some(error.with_origin(Origin::Downstream)));
        }
        if self.role == Role::Client && self.silent_at().is_some_and(|at| now >= at) {
            return self.leave(reason::KEEPALIVE, Some(late("the server does not answer pings")));
        }
        if self.ping_at().is_some_and(|at| now >= at) {
            self.ping_now(now);
        }
        if self.late_at().is_some_and(|at| now >= at) {
            let error = late("the peer does not answer what was sent (option `answer_timeout`)");
            self.leave(reason::UNSPECIFIED, Some(error));
        }
    }

    /// When [`Engine::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        if self.ended.is_some() || !self.connected || !self.wants_read() {
            return None;
        }
        [self.silent_at(), self.ping_at(), self.late_at()].into_iter().flatten().min()
    }

    /// When a peer that says nothing is taken for gone: a server that owes a PINGRESP, a client that has been silent
    /// for one and a half times its keep alive time (§3.1.2.10).
    fn silent_at(&self) -> Option<Duration> {
        match self.role {
            Role::Client => Some(self.pinged?.max(self.resumed) + self.limits.answer_timeout),
            Role::Server if self.keepalive.is_zero() => None,
            Role::Server => Some(self.last_received.max(self.resumed) + self.keepalive * 3 / 2),
        }
    }

    /// When a client that says nothing is to send a ping.
    fn ping_at(&self) -> Option<Duration> {
        let pings = self.role == Role::Client && !self.keepalive.is_zero() && self.pinged.is_none();
        pings.then(|| self.last_sent + self.keepalive)
    }

    /// When the oldest packet has waited too long for its answer.
    fn late_at(&self) -> Option<Duration> {
        Some(self.outgoing.oldest()?.max(self.resumed) + self.limits.answer_timeout)
    }
}
