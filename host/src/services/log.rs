//! Log lines of plugins: into the host's log, at a bounded rate for each plugin.

use jackfield_plugin_api::services::Level;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// One plugin's way into the log.
pub(super) struct PluginLog {
    plugin: String,
    per_second: u64,
    started: Instant,
    /// The second that is counted in the upper half, its lines in the lower.
    counted: AtomicU64,
}

impl PluginLog {
    pub(super) fn new(plugin: &str, per_second: u32) -> Self {
        PluginLog {
            plugin: plugin.to_owned(),
            per_second: u64::from(per_second),
            started: Instant::now(),
            counted: AtomicU64::new(0),
        }
    }

    pub(super) fn line(&self, level: Level, target: &str, message: &str) {
        let count = self.count(self.started.elapsed().as_secs());
        if count > self.per_second {
            return;
        }
        let plugin = self.plugin.as_str();
        // Control characters of a peer must not forge lines.
        let message: String =
            message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match level {
            Level::Error => tracing::error!(plugin, driver = target, "{message}"),
            Level::Warn => tracing::warn!(plugin, driver = target, "{message}"),
            Level::Info => tracing::info!(plugin, driver = target, "{message}"),
            Level::Debug => tracing::debug!(plugin, driver = target, "{message}"),
            _ => tracing::trace!(plugin, driver = target, "{message}"),
        }
        if count == self.per_second {
            tracing::warn!(plugin, limit = count, "more log lines this second are left out");
        }
    }

    /// How many lines this second has, this one included.
    fn count(&self, second: u64) -> u64 {
        let next = |old: u64| if old >> 32 == second { old + 1 } else { (second << 32) + 1 };
        let old =
            self.counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |o| Some(next(o)));
        next(old.unwrap_or(0)) & 0xffff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_second_starts_a_new_count() {
        let log = PluginLog::new("p", 2);
        assert_eq!([log.count(5), log.count(5), log.count(5)], [1, 2, 3]);
        assert_eq!(log.count(6), 1);
    }
}
