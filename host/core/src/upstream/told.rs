//! What happens to an upstream's targets, as events of the host, and attempts at them, as spans.

use super::target::UpstreamTarget;
use crate::connection::PooledSession;
use crate::events::{Bus, Cause, EventKind};
use crate::traces::{AttemptSpans, Attempted};
use jackfield_balancer::{AttemptWatcher, TargetChange, Watcher};
use jackfield_plugin_api::Error;
use std::sync::Arc;
use std::time::Duration;

/// Tells `events` what happens to the targets of one upstream.
#[derive(Debug)]
pub(super) struct TargetEvents {
    pub(super) upstream: Arc<str>,
    pub(super) events: Bus,
}

impl Watcher for TargetEvents {
    fn note(&self, target: &str, change: &TargetChange, error: Option<&str>) {
        let (upstream, target) = (self.upstream.to_string(), target.to_owned());
        let cause = Cause::of(error.unwrap_or_default());
        self.events.announce_later(match change {
            TargetChange::Added => EventKind::TargetAdded { upstream, target },
            TargetChange::Removed => EventKind::TargetRemoved { upstream, target },
            TargetChange::Weight(0) => EventKind::TargetDraining { upstream, target },
            TargetChange::Weight(weight) => {
                EventKind::TargetWeight { upstream, target, weight: *weight }
            }
            TargetChange::Down => EventKind::TargetDown { upstream, target, cause },
            TargetChange::Up => EventKind::TargetUp { upstream, target },
            TargetChange::Ejected(time) => {
                let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                EventKind::TargetEjected { upstream, target, for_ms, cause }
            }
            TargetChange::HalfOpen => EventKind::TargetHalfOpen { upstream, target },
            TargetChange::Recovered => EventKind::TargetRecovered { upstream, target },
        });
    }

    fn tell(&self) {
        self.events.deliver();
    }
}

/// Makes spans of attempts at the targets of one upstream.
pub(super) struct ToldAttempts<'a> {
    pub(super) upstream: &'a str,
    pub(super) spans: &'a AttemptSpans<'a>,
}

impl AttemptWatcher<UpstreamTarget> for ToldAttempts<'_> {
    fn tried(
        &self,
        name: &str,
        target: &UpstreamTarget,
        took: Duration,
        outcome: Option<Result<&PooledSession, &Error>>,
    ) {
        let attempted = match outcome {
            // Nothing was attempted: it was there.
            Some(Ok(session)) if session.is_reused() => return,
            Some(Ok(_)) => Attempted::Opened,
            Some(Err(error)) => Attempted::Failed(error),
            None => Attempted::GivenUp,
        };
        let to = target.target().stack().address();
        self.spans.end((self.upstream, name), to, took, attempted);
    }
}
