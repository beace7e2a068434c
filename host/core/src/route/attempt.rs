//! [`AttemptAt`]: an attempt at a connection that a route leads to.

use crate::connection::{PooledSession, Target};
use crate::traces::{AttemptSpans, Attempted};
use jackfield_plugin_api::Result;
use std::sync::Arc;
use tokio::time::Instant;

/// An attempt at the target of a connection. It comes to a span; dropped before it is over, it was given up.
pub(super) struct AttemptAt<'a> {
    spans: &'a AttemptSpans<'a>,
    name: &'a str,
    target: Arc<Target>,
    since: Instant,
    is_over: bool,
}

impl<'a> AttemptAt<'a> {
    pub(super) fn new(spans: &'a AttemptSpans<'a>, name: &'a str, target: &Arc<Target>) -> Self {
        AttemptAt { spans, name, target: Arc::clone(target), since: Instant::now(), is_over: false }
    }

    /// What has come of it. A session that was there needed no attempt.
    pub(super) fn over(mut self, opened: &Result<PooledSession>) {
        self.is_over = true;
        match opened {
            Ok(session) if session.is_reused() => {}
            Ok(_) => self.end(Attempted::Opened),
            Err(error) => self.end(Attempted::Failed(error)),
        }
    }

    fn end(&self, attempted: Attempted<'_>) {
        let to = self.target.stack().address();
        self.spans.end(("", self.name), to, self.since.elapsed(), attempted);
    }
}

impl Drop for AttemptAt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(Attempted::GivenUp);
        }
    }
}
