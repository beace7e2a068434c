//! [`AttemptSpans`]: a span for each attempt at a target, in that of the session or request that it is made for.

use super::{Span, SpanContext, SpanKind, Traces};
use jackfield_plugin_api::{Address, Error};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Makes the spans of attempts at targets that one session or request is to be joined to.
#[derive(Debug)]
pub(crate) struct AttemptSpans<'a> {
    traces: &'a Traces,
    parent: SpanContext,
    made: AtomicU64,
}

/// How an attempt has gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempted<'a> {
    /// There is a session.
    Opened,
    /// There is none, and that is why.
    Failed(&'a Error),
    /// Nobody waits for it any more.
    GivenUp,
}

impl<'a> AttemptSpans<'a> {
    /// Of what has that place in a trace; `None` where there are no spans of it.
    pub(crate) fn of(traces: Option<&'a Traces>, parent: Option<SpanContext>) -> Option<Box<Self>> {
        let parent = parent.filter(SpanContext::is_sampled)?;
        Some(Box::new(AttemptSpans { traces: traces?, parent, made: AtomicU64::new(0) }))
    }

    /// An attempt at a target has ended now. `upstream` is empty for a target that stands alone.
    pub(crate) fn end(
        &self,
        (upstream, target): (&str, &str),
        to: &Address,
        took: Duration,
        attempted: Attempted<'_>,
    ) {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let span = Span::new(self.parent.child(), "connect", took)
            .with("jackfield.upstream", upstream)
            .with("jackfield.target", target)
            .with("jackfield.attempt", number)
            .with("server.address", if to.host.is_empty() { &*to.path } else { &*to.host });
        let span = match to.port.filter(|_| !to.host.is_empty()) {
            Some(port) => span.with("server.port", port),
            None => span,
        };
        let span = match attempted {
            Attempted::Opened => span,
            Attempted::Failed(error) => span.with_error(Some(error)),
            Attempted::GivenUp => span.with("jackfield.end", "given up"),
        };
        self.traces.end(Span { kind: SpanKind::Client, ..span });
    }
}
