//! Operations through a connection: one deadline over waiting, running and being opened again.

use super::carried::weight;
use super::counted::{CountedMessages, CountedStream};
use super::intercept::{Calling, Innermost};
use super::live::Live;
use super::state::State;
use crate::deadline::Deadline;
use crate::dialogue::{self, Dialogue};
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Counts calls, all and running.
#[derive(Debug)]
pub(super) struct CallCounter {
    total: AtomicU64,
    running: watch::Sender<usize>,
}

impl Default for CallCounter {
    fn default() -> Self {
        CallCounter { total: AtomicU64::new(0), running: watch::channel(0).0 }
    }
}

/// A call that runs, until dropped.
struct RunningCall<'a>(&'a CallCounter);

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl CallCounter {
    fn begin(&self) -> RunningCall<'_> {
        self.running.send_modify(|count| *count += 1);
        RunningCall(self)
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Completes when none runs. Cancel safe.
    pub(super) async fn idle(&self) {
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// An operation on the session that is open.
struct OnSession<'a> {
    live: &'a Live,
    session: &'a Session,
    generation: u64,
}

impl Innermost for OnSession<'_> {
    fn live(&self) -> Option<&Live> {
        Some(self.live)
    }

    fn run<'a>(&'a self, operation: &'a str, params: &'a Value) -> Calling<'a> {
        let OnSession { live, session, generation } = *self;
        Box::pin(async move {
            live.traffic.sent(weight(params), 0);
            let result = if live.spec.target.stack().is_dialogue(session, operation) {
                live.converse(session, generation, operation, params).await
            } else {
                session.call(operation, params).await
            };
            match &result {
                Ok(result) => live.traffic.received(weight(result), 0),
                // Whatever an interceptor makes of it.
                Err(error) => live.lose(generation, error),
            }
            result
        })
    }
}

impl Live {
    /// Runs an operation on its session, through its [interceptors](super::Interceptor), waiting for one if it is just being opened; all of it
    /// within the policy's call timeout for that operation. Cancel safe as far as the operation is.
    ///
    /// # Errors
    /// What the operation says; [`ErrorKind::TimedOut`]; [`ErrorKind::Closed`] if the session is lost
    /// meanwhile, and the operation may have been done or not.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        self.call_within(self.spec.policy.call_limit(operation), operation, params).await
    }

    /// As [`Live::call`], within `limit`.
    ///
    /// # Errors
    /// As there.
    pub async fn call_within(
        &self,
        limit: Duration,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        self.calls.total.fetch_add(1, Ordering::Relaxed);
        let deadline = Deadline::after(limit);
        let session = self.wait_ready(limit).await?;
        let own = OnSession { live: self, session: &session, generation: self.generation() };
        let _running = self.calls.begin();
        let result = self.run_call(&own, deadline, operation, params).await;
        self.record_activity();
        if let Err(error) = &result {
            // Whether the session is lost was seen where the error came from: what an interceptor says
            // by itself says nothing of the session.
            self.note_error(error);
        }
        result
    }

    async fn run_call(
        &self,
        own: &OnSession<'_>,
        deadline: Deadline,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        let around = self.spec.around();
        let next = around.next(own, operation);
        tokio::select! {
            biased;
            called = deadline.run(operation, next.run(params)) => called,
            () = self.lost(own.generation) => {
                self.end_dialogue();
                let text = format!("the session was lost while {operation} ran");
                Err(Error::new(ErrorKind::Closed, text))
            }
        }
    }

    /// One step of the dialogue with the session numbered `generation`, which goes on with what the last
    /// one has left.
    async fn converse(
        &self,
        session: &Session,
        generation: u64,
        operation: &str,
        params: &Value,
    ) -> Result<Value> {
        let mut slot = self.dialogue.lock().await;
        if slot.as_ref().is_none_or(|(of, _)| *of != generation) {
            let stream = session.take_stream();
            let stream = stream.ok_or_else(|| Error::unsupported("a dialogue without a stream"))?;
            let stream = CountedStream::new(stream, Arc::clone(&self.traffic));
            *slot = Some((generation, Dialogue::of_session(stream, &session.info())));
        }
        match slot.as_mut() {
            Some((_, talk)) => dialogue::call(talk, operation, params).await,
            None => Err(Error::unsupported("a dialogue")),
        }
    }

    /// Lets go of the stream of a dialogue, with which its session would stay open; one that runs does so
    /// when it is given up.
    pub(super) fn end_dialogue(&self) {
        if let Ok(mut slot) = self.dialogue.try_lock() {
            *slot = None;
        }
    }

    /// Waits until the session numbered `generation` is of no use any more.
    async fn lost(&self, generation: u64) {
        let lost = |state: &State| {
            !matches!(state, State::Connected | State::Draining) || self.generation() != generation
        };
        // The sender is in here: it cannot be gone.
        let _ = self.changed.subscribe().wait_for(lost).await;
    }
}

impl Live {
    /// Takes the byte stream of its session, counted in its info; waits for a session at most for
    /// `limit`. Cancel safe.
    ///
    /// # Errors
    /// As [`Live::wait_ready`]; [`ErrorKind::Unsupported`] if there is none, or it was taken: by
    /// another caller, or for a handler or a post.
    pub async fn take_stream(&self, limit: Duration) -> Result<CountedStream> {
        let session = self.wait_ready(limit).await?;
        let stream = session
            .take_stream()
            .ok_or_else(|| Error::unsupported("taking the stream of a session that has none"))?;
        Ok(CountedStream::new(stream, Arc::clone(&self.traffic)))
    }

    /// Takes the messages of its session, as [`Live::take_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn take_messages(&self, limit: Duration) -> Result<CountedMessages> {
        let session = self.wait_ready(limit).await?;
        let messages = session.take_messages();
        let messages = messages
            .ok_or_else(|| Error::unsupported("taking the messages of a session that has none"))?;
        Ok(CountedMessages::new(messages, Arc::clone(&self.traffic)))
    }
}
