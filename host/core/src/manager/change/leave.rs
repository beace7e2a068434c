//! What a configuration no longer has drains, by itself.

use super::Staged;
use crate::config::DrainOptions;
use crate::config::diff::{ChangeKind, Changes, ObjectKind};
use crate::connection::Managed;
use crate::manager::Manager;
use crate::manager::listen::RunningListener;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What a change takes away, as it is before.
pub(super) struct Leaving {
    pub(super) listeners: Vec<RunningListener>,
    /// By the names of their objects.
    paths: BTreeMap<String, Arc<Managed>>,
}

impl Manager {
    /// What a change takes away.
    pub(super) fn leaving(&self, changes: &Changes) -> Leaving {
        let gone = |kind| {
            let of_kind = changes.of_kind(kind);
            of_kind.filter(|change| change.kind == ChangeKind::Removed).map(|change| &change.object)
        };
        let listeners = self.routes_of(gone(ObjectKind::Route)).into_values().collect();
        let paths = gone(ObjectKind::Path).filter_map(|id| {
            let (device, path) = id.name.split_once('.')?;
            let path = self.core.devices.get(device).and_then(|it| it.path(Some(path))).ok()?;
            Some((id.name.clone(), Arc::clone(path.managed())))
        });
        Leaving { listeners, paths: paths.collect() }
    }

    /// Takes away what is there no more. Names are free when this returns; what runs has the time of `drain`.
    pub(super) async fn leave(
        &self,
        staged: &Staged,
        changes: &Changes,
        leaving: Leaving,
        drain: DrainOptions,
    ) {
        for running in leaving.listeners {
            running.drain(drain, &self.core.named.lives).await;
        }
        for change in changes.iter().filter(|change| change.kind == ChangeKind::Removed) {
            let name = change.object.name.as_str();
            match change.object.kind {
                ObjectKind::Upstream => self.leave_upstream(name, drain),
                ObjectKind::Handler => drop(self.core.handlers.remove(name)),
                ObjectKind::Path => self.leave_path(name, leaving.paths.get(name), drain),
                ObjectKind::Connection => self.leave_connection(name, drain),
                _ => continue,
            }
            self.tell_removed(change.object.to_string());
        }
        let gone: Vec<String> = staged
            .devices
            .iter()
            .filter(|name| staged.next.core.devices.get(name).is_err())
            .cloned()
            .collect();
        self.core.devices.change(Vec::new(), &gone);
    }

    fn leave_upstream(&self, name: &str, drain: DrainOptions) {
        let Some(entry) = self.core.upstreams.remove(name) else { return };
        let upstream = Arc::clone(&entry.made.upstream);
        self.carry(&upstream, false);
        tokio::spawn(async move { upstream.drain_pools(Instant::now() + drain.within.0).await });
    }

    fn leave_connection(&self, name: &str, drain: DrainOptions) {
        let entry = self.core.named.drop_configured(name);
        let Some(live) = entry.and_then(|entry| entry.managed.get()?.last()) else { return };
        tokio::spawn(async move { live.drain(drain.within.0).await });
    }

    /// The device itself has been changed already, or goes next.
    fn leave_path(&self, name: &str, managed: Option<&Arc<Managed>>, drain: DrainOptions) {
        let (Some((device, path)), Some(managed)) = (name.split_once('.'), managed) else { return };
        self.core.paths.forget(device, path);
        managed.target().via().iter().for_each(|via| self.core.named.carries(via, false));
        let Some(live) = managed.last() else { return };
        tokio::spawn(async move { live.drain(drain.within.0).await });
    }
}
