//! What happens to listeners, upstreams, pools, leases and definitions: told to those who listen to the host, and
//! written to the log with its reason. This is the one place that does so.

use super::{Bus, EventKind};

impl Bus {
    /// Tells an event of the host, and writes it to the log. The answer is false after the end.
    pub fn announce(&self, kind: EventKind) -> bool {
        let told = self.announce_later(kind);
        self.deliver();
        told
    }

    /// As [`Bus::announce`], for callers that hold a lock: subscribers are called by [`Bus::deliver`], in the order of
    /// these calls.
    pub fn announce_later(&self, kind: EventKind) -> bool {
        log(&kind);
        self.put(None, kind)
    }
}

fn log(kind: &EventKind) {
    match kind {
        EventKind::ListenerUp { listener, local, to } => {
            let local = local.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            tracing::info!(listener, local, route = to, "listening");
        }
        EventKind::ListenerDown { listener, cause } => {
            tracing::info!(listener, why = %cause, "listener stopped");
        }
        EventKind::Defined { what, replaced: false } => tracing::info!(what, "defined"),
        EventKind::Defined { what, .. } => tracing::info!(what, "replaced by another definition"),
        EventKind::Removed { what } => tracing::info!(what, "removed"),
        kind => log_of_plugin(kind),
    }
}

fn log_of_plugin(kind: &EventKind) {
    match kind {
        EventKind::PluginAdmitted { plugin, version, generation, file, used_by } => {
            let used_by = used_by.join(" ");
            tracing::info!(plugin, version, generation, file, used_by, "plugin admitted");
        }
        EventKind::PluginReplaced { plugin, version, generation, file } => {
            let text = "plugin replaced: new sessions use it, open ones stay on the one before";
            tracing::info!(plugin, version, generation, file, "{text}");
        }
        EventKind::PluginRemoved { plugin, version, file, sessions, used_by } => {
            let used_by = used_by.join(" ");
            let text = "plugin removed: it gets no new sessions, open ones go on";
            tracing::info!(plugin, version, file, sessions, used_by, "{text}");
        }
        EventKind::PluginRefused { file, code, reason, keeps: None, .. } => {
            tracing::warn!(file, code, "plugin refused: {reason}");
        }
        EventKind::PluginRefused { file, code, reason, keeps: Some(generation), .. } => {
            let text = "the one that was loaded from there before goes on";
            tracing::warn!(file, code, generation, "plugin refused: {reason}; {text}");
        }
        kind => log_of_upstream(kind),
    }
}

fn log_of_upstream(kind: &EventKind) {
    match kind {
        EventKind::TargetAdded { upstream, target } => {
            tracing::info!(upstream, target, "target added");
        }
        EventKind::TargetRemoved { upstream, target } => {
            tracing::info!(upstream, target, "target removed");
        }
        EventKind::TargetUp { upstream, target } => {
            tracing::info!(upstream, target, "target up: active checks pass again");
        }
        EventKind::TargetDown { upstream, target, cause } => {
            tracing::info!(upstream, target, error = %cause, "target down: active checks fail");
        }
        EventKind::TargetEjected { upstream, target, for_ms, cause } => {
            tracing::info!(upstream, target, for_ms, error = %cause, "target ejected: it failed too often");
        }
        EventKind::TargetHalfOpen { upstream, target } => {
            tracing::info!(upstream, target, "ejection over: target is tried with one session");
        }
        EventKind::TargetRecovered { upstream, target } => {
            tracing::info!(upstream, target, "target recovered");
        }
        EventKind::TargetDraining { upstream, target } => {
            tracing::info!(upstream, target, "target draining: its weight is 0");
        }
        EventKind::TargetDrained { upstream, target } => {
            tracing::info!(upstream, target, "target drained: it has no more sessions");
        }
        EventKind::TargetWeight { upstream, target, weight } => {
            tracing::info!(upstream, target, weight, "target weight changed");
        }
        EventKind::PoolOpenFailed { upstream, target, cause } => {
            tracing::info!(upstream, target, error = %cause, "pool cannot open a session");
        }
        EventKind::PoolRecovered { upstream, target } => {
            tracing::info!(upstream, target, "pool opens sessions again");
        }
        EventKind::PoolExhausted { upstream, target, max_size, waiting } => {
            let text = "pool exhausted: all sessions are in use";
            tracing::info!(upstream, target, max_size, waiting, "{text}");
        }
        kind => log_of_lease(kind),
    }
}

fn log_of_lease(kind: &EventKind) {
    match kind {
        EventKind::LeaseWaiting { path, caller, holder } => {
            tracing::info!(path, caller, holder, "waits for a lease");
        }
        EventKind::LeaseTaken { path, caller } => tracing::info!(path, caller, "lease taken"),
        EventKind::LeaseReleased { path, caller, held_ms } => {
            tracing::info!(path, caller, held_ms, "lease released");
        }
        EventKind::LeaseBroken { path, caller, cause } => {
            tracing::info!(path, caller, why = %cause, "lease broken");
        }
        EventKind::LeaseExpired { path, caller } => {
            tracing::info!(path, caller, "lease expired: it was not renewed");
        }
        EventKind::LeaseTimedOut { path, caller } => {
            tracing::info!(path, caller, "waited too long for a lease");
        }
        // What happens to one connection is logged by its listener or its name.
        _ => {}
    }
}
