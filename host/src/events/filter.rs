//! [`EventFilter`]: which events of a bus a subscriber wants.

use super::{Event, EventKind};

/// Which events a subscriber wants: those that meet everything it says. Empty, it wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    kinds: Vec<&'static str>,
    id: Option<u64>,
    name: Option<String>,
    listener: Option<String>,
    driver: Option<String>,
    label: Option<(String, Option<String>)>,
}

impl EventFilter {
    /// All events.
    pub fn new() -> Self {
        EventFilter::default()
    }

    /// Only these kinds, by the names of [`EventKind::name`](super::EventKind::name).
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = &'static str>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// Only those of the connection with that id.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// Only those of the connection of that name.
    #[must_use]
    pub fn connection(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only those of connections that this listener has accepted.
    #[must_use]
    pub fn listener(mut self, listener: impl Into<String>) -> Self {
        self.listener = Some(listener.into());
        self
    }

    /// Only those of connections that have this driver in their stack.
    #[must_use]
    pub fn driver(mut self, driver: impl Into<String>) -> Self {
        self.driver = Some(driver.into());
        self
    }

    /// Only those of connections with this label, and this value of it if one is given.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: Option<&str>) -> Self {
        self.label = Some((name.into(), value.map(str::to_owned)));
        self
    }

    /// Whether an event meets it.
    pub fn takes(&self, event: &Event) -> bool {
        let kind = event.kind.name();
        if !self.kinds.is_empty() && !self.kinds.contains(&kind) {
            return false;
        }
        if self.id.is_some() && self.id != event.id {
            return false;
        }
        if self.wants_no_source() {
            return true;
        }
        let Some(source) = &event.source else { return self.takes_listener(&event.kind) };
        let is = |wanted: &Option<String>, it: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| it == Some(wanted))
        };
        let has_driver = self
            .driver
            .as_deref()
            .is_none_or(|wanted| source.driver.split('+').any(|driver| driver == wanted));
        let has_label = self.label.as_ref().is_none_or(|(name, value)| {
            let found = source.labels.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        is(&self.name, Some(&source.name))
            && is(&self.listener, source.listener.as_deref())
            && has_driver
            && has_label
    }

    /// Of what listeners tell of themselves, those that ask for nothing but a listener get theirs.
    fn takes_listener(&self, kind: &EventKind) -> bool {
        let (EventKind::ListenerUp { listener, .. } | EventKind::ListenerDown { listener, .. }) =
            kind
        else {
            return false;
        };
        let only = self.name.is_none() && self.driver.is_none() && self.label.is_none();
        only && self.listener.as_ref() == Some(listener)
    }

    fn wants_no_source(&self) -> bool {
        self.name.is_none()
            && self.listener.is_none()
            && self.driver.is_none()
            && self.label.is_none()
    }
}
