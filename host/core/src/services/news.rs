//! [`PluginNews`]: what one plugin tells, into the host's events, at a bounded rate.

use super::rate::{Rate, RateLimit, Turn};
use crate::events::{Bus, EventKind};
use jackfield_plugin_api::Event;

/// The longest event, as JSON, in bytes.
const LONGEST: usize = 64 << 10;

pub(super) struct PluginNews {
    plugin: String,
    bus: Bus,
    rate: Rate,
}

impl PluginNews {
    pub(super) fn new(plugin: &str, bus: Bus, per_second: RateLimit) -> Self {
        PluginNews { plugin: plugin.to_owned(), bus, rate: Rate::new(per_second) }
    }

    /// Tells an event, given as JSON.
    pub(super) fn tell(&self, event: &str) {
        let plugin = self.plugin.as_str();
        let turn = self.rate.turn();
        if turn == Turn::Refused {
            return;
        }
        if turn == Turn::Last {
            let limit = self.rate.per_second();
            tracing::warn!(plugin, limit, "more events this second are left out");
        }
        if event.len() > LONGEST {
            tracing::warn!(plugin, bytes = event.len(), limit = LONGEST, "an event was left out");
            return;
        }
        match serde_json::from_str::<Event>(event) {
            Ok(Event { name, data, .. }) => {
                let plugin = self.plugin.clone();
                self.bus.emit(EventKind::Plugin { plugin, name, data });
            }
            Err(error) => tracing::warn!(plugin, %error, "an event was left out"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plugin_tells_no_more_than_its_rate_and_nothing_that_is_no_event() {
        let bus = Bus::default();
        let news = PluginNews::new("p", bus.clone(), RateLimit::new(3.into()));
        news.tell("{}");
        news.tell(r#"{"name": "up", "data": {"n": 1}}"#);
        let long = json!({ "name": "x", "data": "x".repeat(LONGEST) });
        news.tell(&long.to_string());
        news.tell(r#"{"name": "down"}"#);
        let told: Vec<_> = bus.history().into_iter().map(|event| event.kind).collect();
        // A second may have passed, and then there is one more.
        let (plugin, name, data) = ("p".to_owned(), "up".to_owned(), json!({ "n": 1 }));
        assert_eq!(told[0], EventKind::Plugin { plugin, name, data });
        assert!(told.len() <= 2, "{told:?}");
    }
}
