//! What is due: pings, and the end of waiting.

use super::Engine;
use crate::reason;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Role};
use std::time::Duration;

impl Engine {
    /// Time passes: what is due is done.
    pub(crate) fn tick(&mut self, now: Duration) {
        if self.ended.is_some() || !self.connected {
            return;
        }
        let late = |text: &str| Error::new(ErrorKind::TimedOut, text.to_owned());
        let limit = self.limits.answer_timeout;
        if self.role == Role::Client {
            if self.pinged.is_some_and(|since| now >= since + limit) && self.wants_read() {
                return self
                    .leave(reason::KEEPALIVE, Some(late("the server does not answer pings")));
            }
            if !self.keepalive.is_zero()
                && self.pinged.is_none()
                && now >= self.last_sent + self.keepalive
            {
                self.ping_now(now);
            }
        } else if !self.keepalive.is_zero()
            && now >= self.last_received + self.keepalive * 3 / 2
            && self.wants_read()
        {
            let error = late("the client is silent for longer than its keep alive time");
            return self.leave(reason::KEEPALIVE, Some(error.with_origin(Origin::Downstream)));
        }
        if self.outgoing.oldest().is_some_and(|since| now >= since + limit) && self.wants_read() {
            let error = late("the peer does not answer what was sent (option `answer_timeout`)");
            self.leave(reason::UNSPECIFIED, Some(error));
        }
    }

    /// When [`Engine::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        if self.ended.is_some() || !self.connected || !self.wants_read() {
            return None;
        }
        let limit = self.limits.answer_timeout;
        let keepalive = match (self.role, self.keepalive.is_zero(), self.pinged) {
            (_, true, None) => None,
            (Role::Client, _, Some(since)) => Some(since + limit),
            (Role::Client, _, None) => Some(self.last_sent + self.keepalive),
            (Role::Server, ..) => Some(self.last_received + self.keepalive * 3 / 2),
        };
        let oldest = self.outgoing.oldest().map(|since| since + limit);
        keepalive.into_iter().chain(oldest).min()
    }
}
