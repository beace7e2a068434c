//! How plugins say they are: asked now and then, told in the log when it changes.

use super::core::Core;
use jackfield_plugin_api::{HealthStatus, PluginHealth};
use jackfield_timers::interval;
use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Asks all plugins every `every`, each for at most `limit`, as long as the host is there.
pub(super) async fn watch(core: Weak<Core>, every: Duration, limit: Duration) {
    let mut last: HashMap<String, HealthStatus> = HashMap::new();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(core) = core.upgrade() else { return };
        for state in core.registry().ask_health(limit).await {
            let Some(health) = state.health else { continue };
            let before = last.insert(state.name.clone(), health.status).unwrap_or_default();
            if before != health.status {
                tell(&state.name, &health);
            }
        }
    }
}

fn tell(plugin: &str, health: &PluginHealth) {
    let status = word(health.status);
    if health.status == HealthStatus::Ok {
        tracing::info!(plugin, status, "a plugin is healthy again");
        return;
    }
    let detail = detail(health);
    tracing::warn!(plugin, status, detail, "a plugin is not healthy");
}

/// As it is shown to people.
pub fn word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Ok => "ok",
        HealthStatus::Failed => "failed",
        _ => "degraded",
    }
}

/// The longest text of one part that is shown, in characters.
const LONGEST: usize = 200;

/// The parts that are not well, in one line.
pub fn detail(health: &PluginHealth) -> String {
    let ill = health.parts.iter().filter(|part| part.health.status != HealthStatus::Ok);
    let text = |part: &jackfield_plugin_api::PartHealth| {
        let plain = part.health.detail.chars().map(|c| if c.is_control() { ' ' } else { c });
        let plain: String = plain.take(LONGEST).collect();
        format!("{} {}: {plain}", part.kind, part.name)
    };
    ill.map(text).collect::<Vec<_>>().join("; ")
}
