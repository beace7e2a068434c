//! What kinds of events are called, and what they are about.

use super::EventKind;

/// What an event of the host is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject<'a> {
    /// A listener, as it is written.
    Listener(&'a str),
    /// An upstream.
    Upstream(&'a str),
    /// A path of a device, `devices.NAME.PATH`.
    Path(&'a str),
    /// None of these.
    Other,
}

/// The names of kinds of events, once for all that needs them.
macro_rules! names {
    ($($kind:pat => $name:literal,)*) => {
        /// All names that kinds have.
        pub const NAMES: &'static [&'static str] = &[$($name),*];

        /// Its name, as it is serialised.
        pub fn name(&self) -> &'static str {
            match self { $($kind => $name,)* }
        }
    };
}

impl EventKind {
    /// What it is about, if it is an event of the host.
    pub(super) fn subject(&self) -> Subject<'_> {
        match self {
            EventKind::ListenerUp { listener, .. } | EventKind::ListenerDown { listener, .. } => {
                Subject::Listener(listener)
            }
            EventKind::TargetAdded { upstream, .. }
            | EventKind::TargetRemoved { upstream, .. }
            | EventKind::TargetUp { upstream, .. }
            | EventKind::TargetDown { upstream, .. }
            | EventKind::TargetEjected { upstream, .. }
            | EventKind::TargetHalfOpen { upstream, .. }
            | EventKind::TargetRecovered { upstream, .. }
            | EventKind::TargetDraining { upstream, .. }
            | EventKind::TargetDrained { upstream, .. }
            | EventKind::TargetWeight { upstream, .. }
            | EventKind::PoolOpenFailed { upstream, .. }
            | EventKind::PoolRecovered { upstream, .. }
            | EventKind::PoolExhausted { upstream, .. } => Subject::Upstream(upstream),
            EventKind::LeaseWaiting { path, .. }
            | EventKind::LeaseTaken { path, .. }
            | EventKind::LeaseReleased { path, .. }
            | EventKind::LeaseBroken { path, .. }
            | EventKind::LeaseExpired { path, .. }
            | EventKind::LeaseTimedOut { path, .. } => Subject::Path(path),
            _ => Subject::Other,
        }
    }

    names! {
        EventKind::Created => "created",
        EventKind::Accepted { .. } => "accepted",
        EventKind::Connecting => "connecting",
        EventKind::Secured { .. } => "secured",
        EventKind::Connected { .. } => "connected",
        EventKind::Upgraded => "upgraded",
        EventKind::Lost { .. } => "lost",
        EventKind::Reconnecting { .. } => "reconnecting",
        EventKind::Error { .. } => "error",
        EventKind::Idle { .. } => "idle",
        EventKind::Health { .. } => "health",
        EventKind::Writable => "writable",
        EventKind::Driver { .. } => "driver",
        EventKind::Program { .. } => "program",
        EventKind::Plugin { .. } => "plugin",
        EventKind::ListenerUp { .. } => "listener_up",
        EventKind::ListenerDown { .. } => "listener_down",
        EventKind::Resolved { .. } => "resolved",
        EventKind::Defined { .. } => "defined",
        EventKind::Removed { .. } => "removed",
        EventKind::PluginAdmitted { .. } => "plugin_admitted",
        EventKind::PluginReplaced { .. } => "plugin_replaced",
        EventKind::PluginRemoved { .. } => "plugin_removed",
        EventKind::PluginRefused { .. } => "plugin_refused",
        EventKind::TargetAdded { .. } => "target_added",
        EventKind::TargetRemoved { .. } => "target_removed",
        EventKind::TargetUp { .. } => "target_up",
        EventKind::TargetDown { .. } => "target_down",
        EventKind::TargetEjected { .. } => "target_ejected",
        EventKind::TargetHalfOpen { .. } => "target_half_open",
        EventKind::TargetRecovered { .. } => "target_recovered",
        EventKind::TargetDraining { .. } => "target_draining",
        EventKind::TargetDrained { .. } => "target_drained",
        EventKind::TargetWeight { .. } => "target_weight",
        EventKind::PoolOpenFailed { .. } => "pool_open_failed",
        EventKind::PoolRecovered { .. } => "pool_recovered",
        EventKind::PoolExhausted { .. } => "pool_exhausted",
        EventKind::LeaseWaiting { .. } => "lease_waiting",
        EventKind::LeaseTaken { .. } => "lease_taken",
        EventKind::LeaseReleased { .. } => "lease_released",
        EventKind::LeaseBroken { .. } => "lease_broken",
        EventKind::LeaseExpired { .. } => "lease_expired",
        EventKind::LeaseTimedOut { .. } => "lease_timed_out",
        EventKind::Draining => "draining",
        EventKind::Closing { .. } => "closing",
        EventKind::Missed { .. } => "missed",
        EventKind::Closed { .. } => "closed",
    }
}
