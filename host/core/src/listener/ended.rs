//! One line in the log, and one span, for each session that a listener has accepted and that has ended.

use super::{ListenerShared, Service};
use crate::addr::Addr;
use crate::connection::Live;
use crate::relay::{RelayEnd, Side};
use crate::route::Served;
use crate::traces::{Span, SpanContext};
use jackfield_plugin_api::{Error, ErrorKind};
use std::borrow::Cow;
use std::time::Duration;

/// What filters call these lines.
pub const SESSIONS: &str = "jackfield::session";

/// What they call those of sessions that failed.
const FAILED: &str = "jackfield::session::failed";

/// A session that is being served. Dropped, it is written to the log.
pub(super) struct SessionLine<'a> {
    live: &'a Live,
    shared: &'a ListenerShared,
    is_written: bool,
}

impl<'a> SessionLine<'a> {
    pub(super) fn new(live: &'a Live, shared: &'a ListenerShared) -> Self {
        SessionLine { live, shared, is_written: false }
    }

    /// How it has ended.
    pub(super) fn ended(&mut self, served: &Served) {
        let (text, error) = in_words(served);
        self.write(&text, error);
    }

    /// Why it could not be served.
    pub(super) fn failed(&mut self, error: &Error) {
        let text = match error.kind() {
            // The panic itself has a line of its own, which names the code.
            ErrorKind::Panicked => "panicked",
            _ => "failed",
        };
        self.write(text, Some(error));
    }

    fn write(&mut self, end: &str, error: Option<&Error>) {
        self.is_written = true;
        let (live, ListenerShared { service, counts, .. }) = (self.live, self.shared);
        let (bytes_in, bytes_out) = (live.totals().bytes_to_b(), live.totals().bytes_to_a());
        let duration_ms = live.totals().age_ms();
        counts.ended(error.is_some(), (bytes_in, bytes_out), duration_ms);
        if let Some(traces) = live.traces()
            && let Some(context) = live.span().filter(SpanContext::is_sampled)
        {
            let span = Span::new(context, "session", Duration::from_millis(duration_ms))
                .with("jackfield.listener", live.listener().map_or("", |name| name))
                .with("jackfield.route", &*service.name())
                .with("jackfield.target", service.target_of(live))
                .with("jackfield.connection.id", live.id)
                .with_peer(live.peer())
                .with("jackfield.bytes_in", bytes_in)
                .with("jackfield.bytes_out", bytes_out)
                .with("jackfield.end", end)
                .with_error(error);
            traces.end(span);
        }
        // Made into text only where a line is written.
        let listener = || live.listener().map_or("", |name| name);
        let (route, target, peer) =
            (|| service.name(), || service.target_of(live), || shown(live.peer()));
        match error {
            Some(error) => tracing::info!(
                target: FAILED,
                listener = listener(), route = &*route(), target = &*target(), id = live.id, peer = peer(),
                bytes_in, bytes_out, duration_ms, end, %error,
                "session failed"
            ),
            None => tracing::info!(
                target: SESSIONS,
                listener = listener(), route = &*route(), target = &*target(), id = live.id, peer = peer(),
                bytes_in, bytes_out, duration_ms, end,
                "session ended"
            ),
        }
    }
}

impl Drop for SessionLine<'_> {
    fn drop(&mut self) {
        if !self.is_written {
            self.write("it was cut off", None);
        }
    }
}

impl Service {
    /// The target that a session was joined to, as far as there is one.
    fn target_of(&self, live: &Live) -> String {
        match (live.target(), self) {
            (Some(target), _) => target.to_owned(),
            (None, Service::Route(route)) => route.target().unwrap_or_default(),
            (None, Service::Code { .. }) => String::new(),
        }
    }
}

/// As people say it, and the error if it was one.
fn in_words(served: &Served) -> (Cow<'static, str>, Option<&Error>) {
    let Served::Relayed(end) = served else { return (served.to_string().into(), None) };
    let text = match end {
        RelayEnd::Closed { first: Side::A } => "the client closed it",
        RelayEnd::Closed { first: Side::B } => "the target closed it",
        RelayEnd::Failed { side, receiving, error } => {
            let text = match (side, receiving) {
                (Side::A, true) => "receiving from the client failed",
                (Side::A, false) => "sending to the client failed",
                (Side::B, true) => "receiving from the target failed",
                (Side::B, false) => "sending to the target failed",
            };
            return (text.into(), Some(error));
        }
        other => return (other.to_string().into(), None),
    };
    (text.into(), None)
}

/// An address as log lines have it.
pub(super) fn shown(peer: Option<&Addr>) -> String {
    peer.map_or_else(|| "-".to_owned(), ToString::to_string)
}
