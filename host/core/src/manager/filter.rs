//! [`Filter`]: which connections a verb is for.

use super::Manager;
use super::entries::Entry;
use crate::connection::State as At;

/// Which connections a verb is for; everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A driver anywhere in the stack.
    pub driver: Option<String>,
    /// A label and, unless any will do, its value.
    pub label: Option<(String, Option<String>)>,
    /// Where its present or last life is.
    pub state: Option<At>,
    /// One of these names.
    pub names: Option<Vec<String>>,
}

impl Filter {
    pub(super) fn takes(&self, entry: &Entry, manager: &Manager) -> bool {
        let managed = entry.managed.get();
        let state = managed.map_or(At::Disconnected, |managed| managed.state());
        self.state.is_none_or(|wanted| wanted == state)
            && self.label.as_ref().is_none_or(|(name, wanted)| {
                let own = managed.map(|managed| managed.labels());
                let labels =
                    own.or_else(|| entry.config.as_ref().map(|config| config.labels.clone()));
                let value = labels.as_ref().and_then(|labels| labels.get(name));
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
            && self.driver.as_ref().is_none_or(|driver| manager.has_driver(entry, driver))
    }
}
