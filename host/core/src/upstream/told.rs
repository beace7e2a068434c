//! What happens to an upstream's targets, as events of the host.

use crate::events::{Bus, Cause, EventKind};
use jackfield_balancer::{TargetChange, Watcher};
use std::sync::Arc;

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
