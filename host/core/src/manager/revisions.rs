//! [`Revisions`]: numbers that tell whether a definition has changed since somebody looked.

use super::Manager;
use crate::config::DevicePath;
use crate::lock::IgnorePoison;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The number of the last change of each definition; none is as it was when the host started.
#[derive(Debug, Default)]
pub(super) struct Revisions(Mutex<RevisionTable>);

#[derive(Debug, Default)]
struct RevisionTable {
    last: u64,
    /// By names such as `upstreams.NAME` and `devices.NAME.PATH`.
    of: BTreeMap<String, u64>,
}

impl Revisions {
    /// Something of that name is defined, or defined otherwise.
    pub(super) fn note(&self, what: &str) {
        let mut table = self.0.lock().ignore_poison();
        table.last += 1;
        let last = table.last;
        table.of.insert(what.to_owned(), last);
    }

    /// It is there no more.
    pub(super) fn forget(&self, what: &str) {
        let mut table = self.0.lock().ignore_poison();
        table.last += 1;
        table.of.remove(what);
    }

    /// The number of something with all that is below it, as paths are below their device.
    pub(super) fn of(&self, what: &str) -> u64 {
        let table = self.0.lock().ignore_poison();
        let below = format!("{what}.");
        let parts =
            table.of.range(below.clone()..).take_while(|(name, _)| name.starts_with(&below));
        let own = table.of.get(what).into_iter();
        own.chain(parts.map(|(_, number)| number)).copied().max().unwrap_or_default()
    }

    fn last(&self) -> u64 {
        self.0.lock().ignore_poison().last
    }
}

impl Manager {
    /// A number that is another one after each change of the definition that `what` names: `connections.NAME`,
    /// `devices.NAME`, `devices.NAME.PATH`, `upstreams.NAME` with what was changed of its targets, `handlers.NAME` or
    /// `routes.LISTEN`. 0 if it is as it was when the host started, `None` if there is no such thing. It means nothing
    /// after a restart.
    pub fn revision(&self, what: &str) -> Option<u64> {
        let (kind, name) = what.split_once('.')?;
        let (is_there, name) = match kind {
            "connections" => (self.core.named.entries.get(name).is_some(), name.to_owned()),
            "upstreams" => (self.core.upstreams.get(name).is_ok(), name.to_owned()),
            "handlers" => (self.core.handlers.get(name).is_ok(), name.to_owned()),
            "routes" => {
                let running = self.listener(name).ok()?;
                (true, running.name().to_owned())
            }
            "devices" => {
                let DevicePath { device, path } = DevicePath::from_name(name);
                let device = self.device(&device).ok()?;
                let own = device.name().to_owned();
                match path {
                    Some(path) => (device.path(Some(&path)).is_ok(), format!("{own}.{path}")),
                    None => (true, own),
                }
            }
            _ => return None,
        };
        is_there.then(|| self.core.revisions.of(&format!("{kind}.{name}")))
    }

    /// A number that is another one after each change of any definition.
    pub fn last_revision(&self) -> u64 {
        self.core.revisions.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_again_and_a_whole_has_the_newest_of_its_parts() {
        let revisions = Revisions::default();
        assert_eq!((revisions.of("devices.d"), revisions.last()), (0, 0));
        revisions.note("devices.d.console");
        revisions.note("devices.dd");
        assert_eq!((revisions.of("devices.d"), revisions.of("devices.d.console")), (1, 1));
        revisions.forget("devices.d.console");
        revisions.note("devices.d.console");
        assert_eq!((revisions.of("devices.d"), revisions.last()), (4, 4));
    }
}
