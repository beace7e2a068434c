//! Log lines of plugins: into the host's log, at a bounded rate for each plugin.

use super::rate::{Rate, RateLimit, Turn};
use jackfield_plugin_api::services::Level;

/// Where in the code the lines of plugins are from, as a filter of the log names it.
pub const PLUGIN_LINES: &str = module_path!();

/// One plugin's way into the log.
pub(super) struct PluginLog {
    plugin: String,
    rate: Rate,
}

impl PluginLog {
    pub(super) fn new(plugin: &str, per_second: RateLimit) -> Self {
        PluginLog { plugin: plugin.to_owned(), rate: Rate::new(per_second) }
    }

    pub(super) fn line(&self, level: Level, target: &str, message: &str) {
        let turn = self.rate.turn();
        if turn == Turn::Refused {
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
        if turn == Turn::Last {
            let limit = self.rate.per_second();
            tracing::warn!(plugin, limit, "more log lines this second are left out");
        }
    }
}
