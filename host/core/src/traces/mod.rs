//! Spans of what the host has served. They are made where the line of an ended session or request is written, and go
//! into a queue that nothing waits for: [`Traces`]; attempts at targets have spans of their own in those. Who empties it is for the layers above to say; until then there are
//! no spans, and a look at an empty place is all that a session or a request pays.
//!
//! Names of attributes are those of OpenTelemetry's semantic conventions, and `jackfield.…` for what they do not have.

mod attempts;
mod context;
#[cfg(feature = "otlp")]
mod message;
mod span;

pub(crate) use attempts::{AttemptSpans, Attempted};
pub use context::SpanContext;
pub(crate) use context::{TRACEPARENT, TRACESTATE};
#[cfg(feature = "otlp")]
pub use message::{encoded, rejected};
pub use span::{Span, SpanKind, SpanValue};

use arc_swap::ArcSwapOption;
use jackfield_plugin_api::HeaderBlock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How traces are begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The part of traces begun here that is kept, from 0 to 1. Of a trace that a client has begun it is the client who
    /// says whether it is kept.
    pub ratio: f64,
    /// Whether requests take part in the trace that their `traceparent` names, and targets are told of it.
    pub propagate: bool,
}

/// Where spans of a host go, if anywhere.
#[derive(Debug, Default)]
pub struct Traces {
    to: ArcSwapOption<TraceQueue>,
    /// Whether there is one: most hosts have none, and each session asks.
    is_open: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct TraceQueue {
    sampling: Sampling,
    spans: mpsc::Sender<Span>,
}

impl Traces {
    /// From now on spans come out of the answer, of which at most `most`, at least one, wait there; it ends when
    /// [`Traces::close`] is called or another takes its place.
    pub fn open(&self, sampling: Sampling, most: usize) -> mpsc::Receiver<Span> {
        let (spans, receiver) = mpsc::channel(most.max(1));
        self.to.store(Some(Arc::new(TraceQueue { sampling, spans })));
        self.is_open.store(true, Ordering::Release);
        receiver
    }

    /// From now on there are no spans.
    pub fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        self.to.store(None);
    }

    /// Spans that were lost: there was no room for them, or nobody took them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts spans as lost.
    pub fn lose(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// The place in a trace of what begins now: in that of the request with this head, if it has one and that is taken,
    /// else in a new one. `None` while there are no spans.
    pub fn begin(&self, head: Option<&HeaderBlock>) -> Option<SpanContext> {
        if !self.is_open.load(Ordering::Acquire) {
            return None;
        }
        let to = self.to.load();
        let Sampling { ratio, propagate } = to.as_ref()?.sampling;
        let parent = head.filter(|_| propagate).and_then(SpanContext::of);
        Some(match parent {
            Some(parent) => parent.child(),
            None => SpanContext::new(fastrand::f64() < ratio, propagate),
        })
    }

    /// Takes a span that has ended, if its trace is kept. Waits for nothing: where there is no room, it is lost and counted.
    pub fn end(&self, span: Span) {
        let to = self.to.load();
        let Some(to) = to.as_ref().filter(|_| span.context.is_sampled()) else { return };
        if to.spans.try_send(span).is_err() {
            self.lose(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sampling, Span, SpanContext, Traces};
    use jackfield_plugin_api::HeaderBlock;
    use std::time::Duration;

    const ALL: Sampling = Sampling { ratio: 1.0, propagate: true };
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";

    fn span(context: SpanContext) -> Span {
        Span::new(context, "it", Duration::ZERO)
    }

    fn head(traceparent: &str) -> HeaderBlock {
        HeaderBlock::new([(":method", "GET"), ("traceparent", traceparent)]).unwrap()
    }

    #[test]
    fn there_are_no_spans_until_somebody_takes_them() {
        let traces = Traces::default();
        assert!(traces.begin(None).is_none());
        let mut spans = traces.open(ALL, 8);
        let context = traces.begin(None).unwrap();
        traces.end(span(context));
        assert_eq!(spans.try_recv().unwrap().context, context);
        traces.close();
        assert!(traces.begin(None).is_none());
        traces.end(span(context));
        assert!(spans.try_recv().is_err());
        assert_eq!(traces.dropped(), 0);
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let traces = Traces::default();
        let mut spans = traces.open(ALL, 2);
        for _ in 0..5 {
            traces.end(span(traces.begin(None).unwrap()));
        }
        assert_eq!(traces.dropped(), 3);
        assert!(spans.try_recv().is_ok() && spans.try_recv().is_ok() && spans.try_recv().is_err());
    }

    #[test]
    fn the_client_says_whether_its_trace_is_kept() {
        let traces = Traces::default();
        for (ratio, flag, kept) in [(0.0, "1", true), (1.0, "0", false)] {
            let _spans = traces.open(Sampling { ratio, propagate: true }, 1);
            let told = traces.begin(Some(&head(&format!("{PARENT}{flag}")))).unwrap();
            assert_eq!(told.is_sampled(), kept);
            assert_eq!(traces.begin(None).unwrap().is_sampled(), !kept);
        }
    }

    #[test]
    fn without_propagation_a_client_is_not_followed() {
        let traces = Traces::default();
        let _spans = traces.open(Sampling { ratio: 1.0, propagate: false }, 1);
        let own = traces.begin(Some(&head(&format!("{PARENT}1")))).unwrap();
        assert_eq!((own.parent(), own.propagated()), (None, None));
    }
}
