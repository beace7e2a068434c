//! [`Opened`]: a session of an upstream in use, and what the target and its pool hear of how it went.

use super::asked::StreamUse;
use super::target::UpstreamTarget;
use crate::connection::{Around, Calling, Innermost, PooledSession};
use crate::session::{DataParts, SessionExt, guarded};
use jackfield_balancer::InFlight;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Address, Answer, Envelope, Error, ErrorKind, Origin, Result, Session};
use serde_json::Value;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A session and its place at its target. The session counts as in flight there, and in its pool as
/// in use, until the whole is dropped.
#[derive(Debug)]
pub struct Opened {
    // Dropped in this order.
    session: PooledSession,
    guard: InFlight<UpstreamTarget>,
}

impl Opened {
    pub(super) fn new(session: PooledSession, guard: InFlight<UpstreamTarget>) -> Self {
        Opened { session, guard }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        self.session.session()
    }

    /// The name of its target.
    pub fn target(&self) -> &str {
        self.guard.target()
    }

    /// Where its target is.
    pub fn address(&self) -> &Address {
        self.guard.at().target().stack().address()
    }

    /// What stands around operations on it, for calls in the name of `connection`.
    pub fn around(&self, connection: &str) -> Around {
        self.guard.at().target().around_as(connection)
    }

    /// Sends the request that it was opened for, with a place for interim responses.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a session that takes none.
    pub fn send(&self, request: Envelope, interim: Answer) -> Result<Op<Envelope>> {
        self.session.send(request, interim)
    }

    /// Whether it has answered a request before.
    pub fn is_reused(&self) -> bool {
        self.session.is_reused()
    }

    /// Its answer has come whole: the session is for the next request, of whichever peer.
    pub fn answered(self) {
        let Opened { session, guard } = self;
        // Before the next has the session, so that one after the other is never two in flight.
        drop(guard);
        session.answered();
    }

    /// The session failed at the target's side before it had done anything: as bad as if it could
    /// not have been opened. It is not given to another caller.
    pub fn failed(&mut self, error: &Error) {
        self.session.spoil();
        self.guard.failed(error, Instant::now());
    }

    /// Whether it is a stream of a session that is for others too.
    pub fn is_one_of_many(&self) -> bool {
        self.session.is_one_of_many()
    }

    /// Asks its peer whether it is there while the session is in use, as [`PooledSession::check`].
    ///
    /// # Errors
    /// It is not.
    pub async fn check(&self) -> Result<()> {
        self.session.check().await
    }

    /// It was asked for something, and no answer came in its user's time. If its pool would
    /// hand it out again, its peer is asked whether it is there before anybody else gets it; where that
    /// has no answer either, the use counts as failed. Needs a runtime; without one the session ends.
    pub fn unanswered(mut self) {
        let runtime = Handle::try_current();
        let (true, Ok(runtime)) = (self.session.is_pooled(), runtime) else {
            return self.session.spoil();
        };
        drop(runtime.spawn(async move {
            let Opened { session, guard } = self;
            if let Err(error) = session.test().await {
                guard.failed(&error, Instant::now());
            }
        }));
    }

    /// Whether its stream has that operation, and not its driver.
    fn is_dialogue(&self, operation: &str) -> bool {
        self.guard.at().target().stack().is_dialogue(self.session(), operation)
    }

    /// What an operation on it has come to; without a pool, ends the session politely.
    async fn after_call(mut self, error: Option<&Error>) {
        match error.map(Error::kind) {
            // The session is over; whose fault that was, its error says.
            Some(ErrorKind::Closed) => match error {
                Some(error) if error.origin() == Origin::Upstream => self.failed(error),
                _ => self.session.spoil(),
            },
            Some(ErrorKind::TimedOut) if self.session.is_pooled() => self.unanswered(),
            _ if self.session.is_pooled() => {}
            _ => self.session().close_politely(0, "").await,
        }
    }

    /// Until [`Asking::done`] an answer is awaited.
    pub(super) fn asking(self) -> Asking {
        Asking { session: Arc::clone(self.session.session()), opened: Some(self) }
    }

    /// The session alone, which counts for as long as it is kept. What is taken from it does not
    /// count by itself: keep both. If it is a stream of a session that others use too, on which something is
    /// sent and nothing comes back, its end is that of one [unanswered](Opened::unanswered).
    pub fn into_session(self) -> Session {
        let session = Arc::clone(self.session.session());
        let mut parts = DataParts::default();
        let stream = if self.session.is_one_of_many() { session.take_stream() } else { None };
        let mut told = ReportingSession { opened: Some(self), asked: None };
        if let Some(stream) = stream {
            let (stream, asked) = StreamUse::note(stream);
            (parts.stream, told.asked) = (Some(stream), Some(asked));
        }
        guarded(session, parts, told)
    }
}

/// A session that tells how it went when it is dropped.
struct ReportingSession {
    opened: Option<Opened>,
    asked: Option<Arc<StreamUse>>,
}

impl Drop for ReportingSession {
    fn drop(&mut self) {
        let is_unanswered = self.asked.as_ref().is_some_and(|asked| asked.is_unanswered());
        if let Some(opened) = self.opened.take_if(|_| is_unanswered) {
            opened.unanswered();
        }
    }
}

/// A session whose answer is awaited. Dropped, the caller has stopped waiting: the session is
/// [unanswered](Opened::unanswered).
pub(super) struct Asking {
    session: Arc<Session>,
    opened: Option<Opened>,
}

impl Innermost for Asking {
    fn run<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a> {
        Box::pin(async move {
            match &self.opened {
                Some(opened) if opened.is_dialogue(operation) => {
                    opened.session.converse(operation, params).await
                }
                _ => self.session.call(operation, params).await,
            }
        })
    }
}

impl Asking {
    /// The answer to an operation has come.
    pub(super) async fn done(mut self, error: Option<&Error>) {
        if let Some(opened) = self.opened.take() {
            opened.after_call(error).await;
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.unanswered();
        }
    }
}

#[cfg(test)]
#[path = "opened_tests.rs"]
mod tests;
