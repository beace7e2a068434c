//! The answer to a client that waits, and the time that a message may take.

use super::{Phase, Socket};
use crate::close::AWAY;
use crate::failure::Failure;
use crate::server::refusal;
use jackfield_plugin_api::{Error, ErrorKind, Result, Timer};
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

impl Socket {
    /// Whether the client still waits for our answer.
    pub(crate) fn is_held(&self) -> bool {
        self.ws.get_ref().is_held()
    }

    /// How long ago the peer was heard.
    pub(crate) fn silence(&self) -> Duration {
        self.ws.get_ref().silence()
    }

    /// Lets the answer to the client go, with the subprotocol that was chosen of its offer.
    ///
    /// # Errors
    /// No answer waits, or that was not offered.
    pub(crate) fn accept(&mut self, protocol: Option<&str>) -> Result<()> {
        let Some(promise) = self.promise.take() else {
            return Err(Error::unsupported("an answer to a client that does not wait for one"));
        };
        if let Some(protocol) = protocol.filter(|name| !promise.offered.iter().any(|o| o == name)) {
            let text = format!("{protocol:?} was not offered");
            self.promise = Some(promise);
            return Err(Error::new(ErrorKind::Config, text));
        }
        self.ws.get_mut().open(promise.kept(protocol));
        self.news = true;
        Ok(())
    }

    /// Refuses a client that waits for our answer, if it does.
    pub(super) fn refuse(&mut self, code: u16, reason: &str) {
        if self.promise.take().is_none() {
            return;
        }
        let status =
            if code == AWAY { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
        self.ws.get_mut().open(refusal(status, reason));
        let error = Error::new(ErrorKind::Closed, "the client was refused");
        self.phase = Phase::Failing(error, self.host.timer(self.limits.close_timeout));
        self.news = true;
    }

    /// Whether a message takes too long, which ends it.
    pub(super) fn check_late(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.ws.get_ref().begun();
        let (Some(limit), Some(begun), Phase::Open) =
            (self.limits.message_timeout, begun, &self.phase)
        else {
            self.late = None;
            return false;
        };
        let fits = |late: &(Duration, Timer)| late.0 == begun;
        if !self.late.as_ref().is_some_and(fits) {
            let left = (begun + limit).saturating_sub(self.host.now());
            self.late = Some((begun, self.host.timer(left)));
        }
        let Some((_, timer)) = &mut self.late else { return false };
        if Pin::new(timer).poll(cx).is_pending() {
            return false;
        }
        let text = format!("the peer has begun a message and not ended it within {limit:?}");
        let error = Error::new(ErrorKind::TimedOut, text);
        self.fail(Failure { error, tell: Some(CloseCode::Policy) });
        true
    }
}
