//! [`EventFilter`]: which events of a bus a subscriber wants.

use super::names::Subject;
use super::{Event, EventKind};

/// Which events a subscriber wants: those that meet everything it says. Empty, it wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    kinds: Vec<&'static str>,
    id: Option<u64>,
    name: Option<String>,
    listener: Option<String>,
    upstream: Option<String>,
    device: Option<String>,
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

    /// Only those of this upstream: of its targets and their pools.
    #[must_use]
    pub fn upstream(mut self, upstream: impl Into<String>) -> Self {
        self.upstream = Some(upstream.into());
        self
    }

    /// Only those of the leases of this device, `NAME` or `NAME.PATH`.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Only those of this listener, and of the connections that it has accepted.
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
        if self.wants_all_subjects() {
            return true;
        }
        let Some(source) = &event.source else { return self.takes_subject(&event.kind) };
        if self.upstream.is_some() || self.device.is_some() {
            return false;
        }
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

    /// Events of the host itself pass only filters that name nothing else.
    fn takes_subject(&self, kind: &EventKind) -> bool {
        if self.name.is_some() || self.driver.is_some() || self.label.is_some() {
            return false;
        }
        let only = |wanted: &Option<String>, others: [&Option<String>; 2]| {
            others.iter().all(|other| other.is_none()).then(|| wanted.clone()).flatten()
        };
        let Self { listener, upstream, device, .. } = self;
        match kind.subject() {
            Subject::Listener(is) => {
                only(listener, [upstream, device]).is_some_and(|wanted| wanted == is)
            }
            Subject::Upstream(is) => {
                only(upstream, [listener, device]).is_some_and(|wanted| wanted == is)
            }
            Subject::Path(is) => only(device, [listener, upstream]).is_some_and(|wanted| {
                let path = is.strip_prefix("devices.").unwrap_or(is);
                path == wanted
                    || path.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('.'))
            }),
            Subject::Other => false,
        }
    }

    fn wants_all_subjects(&self) -> bool {
        self.name.is_none()
            && self.listener.is_none()
            && self.upstream.is_none()
            && self.device.is_none()
            && self.driver.is_none()
            && self.label.is_none()
    }
}
