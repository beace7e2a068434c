//! The tables in use take over what was staged. Nothing here can fail.

use super::Staged;
use super::bind::ReadyRoute;
use crate::config::DrainOptions;
use crate::config::diff::{ChangeKind, Changes, Effect, ObjectId, ObjectKind};
use crate::connection::Live;
use crate::lock::IgnorePoison;
use crate::manager::Manager;
use crate::manager::entries::DefinedBy;
use std::sync::Arc;

impl Manager {
    /// Enters everything that was staged but routes.
    pub(in crate::manager) fn enter(
        &self,
        staged: &Staged,
        changes: &Changes,
        drain: DrainOptions,
    ) {
        let (core, next) = (&self.core, &staged.next.core);
        core.take_over_parts(next);
        for made in &staged.connections {
            let Some(entry) = next.named.entries.get(made.name()) else { continue };
            let Some(config) = &entry.config else { continue };
            let effect = effect(changes, &ObjectId::new(ObjectKind::Connection, made.name()));
            let end = effect >= Effect::Drain;
            let ended = core.named.configure(made, config, end);
            end_replaced(ended, effect, drain);
        }
        for path in &staged.paths {
            let before = core.devices.get(&path.device).and_then(|it| it.path(Some(&path.name)));
            core.paths.note(&path.device, &path.name, path.config.clone(), DefinedBy::Config);
            path.made.target().via().iter().for_each(|via| core.named.carries(via, true));
            let Ok(before) = before else { continue };
            let (was, effect) = (
                before.managed().target(),
                effect(changes, &ObjectId::path(&path.device, &path.name)),
            );
            was.via().iter().for_each(|via| core.named.carries(via, false));
            if effect >= Effect::Drain {
                end_replaced(before.managed().take_over(&path.made), effect, drain);
            } else {
                before.managed().take_over_later(&path.made);
            }
        }
        let devices = staged.devices.iter().filter_map(|name| next.devices.get(name).ok());
        core.devices.change(devices.collect(), &[]);
        for name in &staged.upstreams {
            let Ok(made) = next.upstreams.get(name) else { continue };
            let upstream = Arc::clone(&made.made.upstream);
            let replaced = core.upstreams.place(name, made);
            if let Some(replaced) = self.carry_instead(&upstream, replaced.as_deref()) {
                replaced.close_pools();
            }
        }
        let mut patches = staged.patches.lock().ignore_poison();
        for patch in patches.drain(..) {
            if let Ok(made) = next.upstreams.get(patch.name()) {
                core.upstreams.place(patch.name(), made);
            }
            self.apply_patch(patch);
        }
        for name in &staged.handlers {
            if let Ok(made) = next.handlers.get(name) {
                core.handlers.place(name, made);
            }
        }
    }

    /// Begins the upkeep of upstreams that are new, and tells what is new and different.
    pub(super) fn begin_changed(&self, staged: &Staged, changes: &Changes) {
        for name in &staged.upstreams {
            self.upstream(name).iter().for_each(|upstream| self.keep_up(upstream));
        }
        let told = [
            ObjectKind::Connection,
            ObjectKind::Path,
            ObjectKind::Upstream,
            ObjectKind::Handler,
            ObjectKind::Route,
        ];
        for change in changes.of_kind(ObjectKind::Device) {
            self.core.revisions.note(&change.object.to_string());
        }
        for change in changes.iter().filter(|change| told.contains(&change.object.kind)) {
            match change.kind {
                ChangeKind::Added => self.tell_defined(change.object.to_string(), false),
                ChangeKind::Changed => self.tell_defined(change.object.to_string(), true),
                ChangeKind::Removed => {}
            }
        }
    }

    /// Lets routes serve.
    pub(in crate::manager) fn enter_routes(&self, ready: Vec<ReadyRoute>) {
        for ready in ready {
            match ready {
                ReadyRoute::Under(running, listener, route) => running.become_as(*listener, route),
                ReadyRoute::New(bound, route) => {
                    // It is refused only once the host stops.
                    let _ = self.core.listeners.accept(bound, Some(route), DefinedBy::Config);
                }
            }
        }
    }
}

fn effect(changes: &Changes, object: &ObjectId) -> Effect {
    changes.of(object).map(|change| change.effect).unwrap_or_default()
}

/// Ends the life of what has become another, by itself.
fn end_replaced(ended: Option<Arc<Live>>, effect: Effect, drain: DrainOptions) {
    let Some(live) = ended else { return };
    tokio::spawn(async move {
        if effect == Effect::Restart {
            live.close(0, "replaced by another definition").await;
        } else {
            live.drain(drain.within.0).await;
        }
    });
}
