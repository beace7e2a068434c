//! Tables beside those in use, with everything that is new or different built into them.

use super::patch::{TargetsPatch, is_patch};
use crate::config::diff::{Change, ChangeKind, Changes, Effect, ObjectId, ObjectKind};
use crate::config::model::PathConfig;
use crate::config::{KeyPath, Link, Reference};
use crate::connection::{Managed, Target};
use crate::device::{Device, Path};
use crate::listener::Listener;
use crate::lock::IgnorePoison;
use crate::manager::Manager;
use crate::manager::core::Core;
use crate::manager::credentials::{self, Credentials};
use crate::manager::definitions::Made;
use crate::manager::entries::DefinedBy;
use crate::manager::interceptors::interceptors;
use crate::manager::listen::RunningListener;
use crate::manager::parts::Parts;
use crate::manager::paths::with_credentials;
use crate::manager::target_builder::Unbuilt;
use crate::manager::upstreams::UpstreamEntry;
use crate::stack::Stack;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What is to take the place of what is in use.
pub(in crate::manager) struct Staged {
    /// The tables as they will be.
    pub(super) next: Manager,
    /// Connections as they were built; in the tables are those that become them.
    pub(super) connections: Vec<Arc<Managed>>,
    pub(super) paths: Vec<StagedPath>,
    /// Devices of which something is new or different.
    pub(super) devices: BTreeSet<String>,
    /// Upstreams that take the place of others.
    pub(super) upstreams: Vec<String>,
    pub(super) patches: Mutex<Vec<TargetsPatch>>,
    pub(super) handlers: Vec<String>,
    pub(in crate::manager) routes: Vec<StagedRoute>,
}

/// A path as it was built.
pub(super) struct StagedPath {
    pub(super) device: String,
    pub(super) name: String,
    pub(super) made: Arc<Managed>,
    pub(super) config: PathConfig,
}

/// A listener and the route that defines it.
pub(in crate::manager) struct StagedRoute {
    /// The number of the route in the configuration.
    pub(super) index: usize,
    pub(super) listener: Listener,
    pub(super) route: Arc<crate::config::model::RouteConfig>,
    /// What listens there now.
    pub(super) running: Option<RunningListener>,
    /// Whether that has to be begun anew.
    pub(super) anew: bool,
}

/// Builds what `changes` names, over what `live` has; mistakes are in `parts`.
pub(in crate::manager) async fn stage(
    live: &Manager,
    parts: &mut Parts<'_>,
    changes: &Changes,
) -> Staged {
    let before = live.core.interceptors();
    let made = interceptors(parts, &live.registry(), (changes, &before)).await;
    let core = {
        let host = parts.loaded.config.host.clone();
        Core::beside(&live.core, host, made, Credentials::of(parts.loaded))
    };
    let next = Manager { core: Arc::new(core) };
    let staged = Staged {
        next,
        connections: Vec::new(),
        paths: Vec::new(),
        devices: BTreeSet::new(),
        upstreams: Vec::new(),
        patches: Mutex::default(),
        handlers: Vec::new(),
        routes: Vec::new(),
    };
    let mut stage = Stage { live, parts, changes, staged };
    stage.keep();
    stage.links().await;
    stage.finish_devices();
    // Where something waits, its driver may have them.
    if live.waiting().is_empty() {
        credentials::unknown_options(stage.parts, &live.registry(), &stage.parts.loaded.config);
    }
    stage.upstreams().await;
    stage.handlers().await;
    stage.routes(stage.parts.loaded.route_ids()).await;
    stage.listened_twice(stage.parts.loaded.route_ids());
    stage.staged
}

struct Stage<'a, 'p> {
    live: &'a Manager,
    parts: &'a mut Parts<'p>,
    changes: &'a Changes,
    staged: Staged,
}

impl Stage<'_, '_> {
    fn change(&self, kind: ObjectKind, name: &str) -> Option<&Change> {
        self.changes.of_name(kind, name)
    }

    /// Takes over what stays.
    fn keep(&mut self) {
        let (from, to) = (&self.live.core, &self.staged.next.core);
        for entry in from.named.entries.all() {
            let is_config = entry.by == DefinedBy::Config;
            if !is_config || self.change(ObjectKind::Connection, &entry.name).is_none() {
                to.named.entries.insert(entry);
            }
        }
        for (name, made) in from.upstreams.all() {
            let gone = self.change(ObjectKind::Upstream, &name);
            if gone.is_none_or(|change| change.kind != ChangeKind::Removed) {
                to.upstreams.place(&name, made);
            }
        }
        for (name, made) in from.handlers.all() {
            let gone = self.change(ObjectKind::Handler, &name);
            if gone.is_none_or(|change| change.kind != ChangeKind::Removed) {
                to.handlers.place(&name, made);
            }
        }
        self.keep_devices();
    }

    fn keep_devices(&mut self) {
        let own = self.changes.of_kind(ObjectKind::Device).map(|change| &change.object.name);
        let paths = self.changes.of_kind(ObjectKind::Path).filter_map(|change| {
            change.object.name.split_once('.').map(|(device, _)| device.to_owned())
        });
        self.staged.devices = own.cloned().chain(paths).collect();
        let to = &self.staged.next.core;
        let all = self.live.core.devices.all();
        let (changed, same): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|device| self.staged.devices.contains(device.name()));
        to.devices.change(same, &[]);
        for device in changed {
            if !self.parts.loaded.config.devices.contains_key(device.name()) {
                continue;
            }
            for path in device.paths() {
                let id = ObjectId::path(device.name(), path.name());
                if self.changes.of(&id).is_none() {
                    self.stage_path(device.name(), path);
                }
            }
        }
    }

    /// Named connections and paths of devices, those that carry others first. That there is no cycle was checked
    /// before.
    async fn links(&mut self) {
        let config = &self.parts.loaded.config;
        let mut waiting: Vec<Link<'_>> = config.links().collect();
        while !waiting.is_empty() {
            let is_ready = |link: &Link<'_>| {
                config.carrier_of(*link).is_none_or(|via| !waiting.contains(&via))
            };
            let (now, later): (Vec<Link<'_>>, Vec<Link<'_>>) =
                waiting.iter().partition(|link| is_ready(link));
            if now.is_empty() {
                break;
            }
            for link in now {
                match link {
                    Link::Connection(name) => self.connection(name).await,
                    Link::Path(device, path) => self.path(device, path).await,
                }
            }
            waiting = later;
        }
    }

    async fn connection(&mut self, name: &str) {
        if self.change(ObjectKind::Connection, name).is_none() {
            return;
        }
        let Some(config) = self.parts.loaded.config.connections.get(name) else { return };
        let next = self.staged.next.clone();
        let builder = next.target_builder(&self.parts.loaded.sources, self.parts.programs);
        let made = next.make_connection(&builder, name, config).await;
        let Some(made) = self.parts.keep(made).map(Arc::new) else { return };
        let there = self.live.core.named.entries.get(name);
        let known = match there.and_then(|entry| entry.managed.get().cloned()) {
            Some(was) => {
                next.core.becoming.note(&was, &made);
                was
            }
            None => Arc::clone(&made),
        };
        next.core.named.stage(known, config);
        self.staged.connections.push(made);
    }

    async fn path(&mut self, device: &str, name: &str) {
        if self.changes.of(&ObjectId::path(device, name)).is_none() {
            return;
        }
        let Some(with) = self.parts.loaded.config.devices.get(device) else { return };
        let Some(config) = with.paths.get(name) else { return };
        let config = with_credentials(config, with);
        let before = self.live.core.devices.get(device).and_then(|it| it.path(Some(name))).ok();
        let known = self.live.core.paths.get(device, name);
        let same_lease = |was: &PathConfig| {
            was.lease == config.lease
                && was.observers == config.observers
                && was.exclusive == config.exclusive
        };
        let shares = before.as_ref().filter(|_| known.is_some_and(|was| same_lease(&was)));
        let next = self.staged.next.clone();
        let builder = next.target_builder(&self.parts.loaded.sources, self.parts.programs);
        let made = next.make_path(&builder, (device, name), &config, shares).await;
        let Some(path) = self.parts.keep(made) else { return };
        let made = Arc::clone(path.managed());
        let path = match &before {
            Some(was) => {
                next.core.becoming.note(was.managed(), &made);
                path.on(Arc::clone(was.managed()))
            }
            None => path,
        };
        self.stage_path(device, path);
        let (device, name) = (device.to_owned(), name.to_owned());
        self.staged.paths.push(StagedPath { device, name, made, config });
    }

    /// Enters a path, and its device with its first one.
    fn stage_path(&mut self, device: &str, path: Path) {
        let devices = &self.staged.next.core.devices;
        let entered = match devices.get(device).ok().filter(|there| there.name() == device) {
            Some(there) => there.add_path(path),
            None => {
                let with = self.parts.loaded.config.devices.get(device);
                let labels = with.map(|with| with.labels.clone()).unwrap_or_default();
                let made = Device::new(device, vec![path], None);
                made.and_then(|made| devices.add(made.with_labels(labels)).map(drop))
            }
        };
        if let Err(error) = entered {
            self.parts.fault(&KeyPath::from_iter(["devices", device]), error);
        }
    }

    /// Gives devices their further names and default paths, once their paths are there.
    fn finish_devices(&mut self) {
        let devices = &self.staged.next.core.devices;
        for (name, config) in &self.parts.loaded.config.devices {
            // One that is missing has mistakes of its own.
            let Ok(device) = devices.get(name) else { continue };
            if !self.staged.devices.contains(name) {
                continue;
            }
            // Where the file says nothing else, those stay that a program has added.
            let own = self.changes.of(&ObjectId::new(ObjectKind::Device, name));
            let there = self.live.core.devices.get(name).ok().filter(|_| own.is_none());
            let aliases =
                there.as_ref().map_or_else(|| config.aliases.clone(), |there| there.aliases());
            let aliased = aliases.iter().try_for_each(|alias| devices.add_alias(name, alias));
            // A default path that was left out, as it is not needed, or that waits is none.
            let default = config.default.as_deref();
            let default = default.filter(|path| device.path(Some(path)).is_ok());
            let default = default.map_or(Ok(None), |path| device.set_default(Some(path)));
            let mut roles = there.map_or_else(|| config.roles.clone(), |there| there.roles());
            roles.retain(|_, path| device.path(Some(path)).is_ok());
            if let Err(error) = aliased.and(default).and(device.set_roles(roles)) {
                let key = KeyPath::from_iter(["devices", name]);
                let _: Option<()> = self.parts.keep(Err(Unbuilt::missing(key, error)));
            }
        }
    }

    async fn upstreams(&mut self) {
        let next = self.staged.next.clone();
        for (name, config) in &self.parts.loaded.config.upstreams {
            let Some(change) = self.change(ObjectKind::Upstream, name).cloned() else { continue };
            let builder = next.target_builder(&self.parts.loaded.sources, self.parts.programs);
            let by = DefinedBy::Config;
            let was = next
                .core
                .upstreams
                .get(name)
                .ok()
                .filter(|_| change.kind == ChangeKind::Changed && is_patch(&change));
            if let Some(was) = was.filter(|was| was.by == by) {
                let patch = next.patch_upstream(&builder, (name, config, &change), &was).await;
                let Some(patch) = self.parts.keep(patch) else { continue };
                if let Some(patch) = patch {
                    let made = Made { config: config.clone(), made: was.made.again(), by };
                    next.core.upstreams.place(name, Arc::new(made));
                    self.patches().push(patch);
                    continue;
                }
            }
            let layer = next.core.targets.of(name);
            let made = next.make_upstream(&builder, (name, config), &layer).await;
            let Some(made) = self.parts.keep(made) else { continue };
            let made = Made { config: config.clone(), made: UpstreamEntry::of(made), by };
            next.core.upstreams.place(name, Arc::new(made));
            self.staged.upstreams.push(name.clone());
        }
    }

    fn patches(&self) -> std::sync::MutexGuard<'_, Vec<TargetsPatch>> {
        self.staged.patches.lock().ignore_poison()
    }

    /// Handlers with their options, whether or not a route uses them.
    async fn handlers(&mut self) {
        let next = self.staged.next.clone();
        for (name, config) in &self.parts.loaded.config.handlers {
            if self.change(ObjectKind::Handler, name).is_none() {
                continue;
            }
            let builder = next.target_builder(&self.parts.loaded.sources, self.parts.programs);
            let made = builder.handler(name, config).await;
            let Some(made) = self.parts.keep(made).map(Arc::new) else { continue };
            let made = Made { config: config.clone(), made, by: DefinedBy::Config };
            next.core.handlers.place(name, Arc::new(made));
            self.staged.handlers.push(name.clone());
        }
    }

    /// Routes that are new or different, and those that lead to something that is.
    async fn routes(&mut self, ids: &[ObjectId]) {
        let next = self.staged.next.clone();
        let routes = ids.iter().zip(&self.parts.loaded.config.routes).enumerate();
        let with_change =
            routes.map(|(index, (id, route))| (index, id, route, self.changes.of(id)));
        let touched: Vec<_> = with_change
            .filter(|(.., route, change)| change.is_some() || self.leads_to_change(&route.to))
            .collect();
        let running = self.live.routes_of(touched.iter().map(|(_, id, ..)| *id));
        for (index, id, route, change) in touched {
            let there = running.get(id).cloned();
            if change.is_none() && there.is_none() {
                continue;
            }
            let anew = change.is_some_and(|change| change.effect == Effect::Restart);
            let key = KeyPath::from_iter(["routes"]).index(index);
            let builder = next.target_builder(&self.parts.loaded.sources, self.parts.programs);
            let made = next.make_route(&builder, &key, route).await;
            if let Some((listener, route)) = self.parts.keep(made) {
                let staged = StagedRoute { index, listener, route, running: there, anew };
                self.staged.routes.push(staged);
            }
        }
    }

    fn leads_to_change(&self, to: &Reference) -> bool {
        let config = &self.parts.loaded.config;
        match to {
            Reference::Connection(name) => self.change(ObjectKind::Connection, name).is_some(),
            Reference::Upstream(name) => self.staged.upstreams.contains(name),
            Reference::Handler(name) => self.staged.handlers.contains(name),
            Reference::Device(to) => match config.path(to) {
                Ok(Link::Path(device, _)) => self.staged.devices.contains(device),
                _ => false,
            },
            Reference::Admin | Reference::Uri(_) => false,
        }
    }

    /// An address has one listener, whatever stands on its transport.
    fn listened_twice(&mut self, ids: &[ObjectId]) {
        let config = &self.parts.loaded.config;
        let staged = &self.staged.routes;
        if staged.is_empty() {
            return;
        }
        let new: BTreeMap<usize, &Stack> =
            staged.iter().map(|staged| (staged.index, &staged.listener.stack)).collect();
        // What stays was let listen before: only what shares a port or path with one that is new is looked at.
        let is_near = super::bind::is_near(new.values().copied());
        let mut running = self.live.core.listeners.running();
        running.retain(|running| is_near(running.target().stack()) && running.route().is_some());
        let near = by_id(running);
        let stays = ids.iter().enumerate().filter(|(index, _)| !new.contains_key(index));
        let there: BTreeMap<usize, Arc<Target>> =
            stays.filter_map(|(index, id)| Some((index, near.get(id)?.target()))).collect();
        let found = super::bind::listened_twice(config, &new, &there);
        for (index, first) in found {
            let key = |index: usize| KeyPath::from_iter(["routes"]).index(index).key("listen");
            let place = self.parts.loaded.sources.locate(&key(first));
            let name = &config.routes[first].listen;
            let text = format!("this address is already listened on, at {place}: {name}");
            let error =
                jackfield_plugin_api::Error::new(jackfield_plugin_api::ErrorKind::Config, text);
            self.parts.fault(&key(index), error);
        }
    }
}

impl Manager {
    /// The listeners of these routes, by their ids.
    pub(super) fn routes_of<'a>(
        &self,
        ids: impl Iterator<Item = &'a ObjectId>,
    ) -> BTreeMap<ObjectId, RunningListener> {
        let ids: BTreeSet<&ObjectId> = ids.collect();
        let listen: BTreeSet<&str> = ids.iter().flat_map(|id| id.listen()).collect();
        if listen.is_empty() {
            return BTreeMap::new();
        }
        let mut running = self.core.listeners.running();
        running.retain(|running| listen.contains(running.name()) && running.route().is_some());
        let mut running = by_id(running);
        running.retain(|id, _| ids.contains(id));
        running
    }
}

/// The listeners of routes by the ids of those; all that have one name are to be there.
fn by_id(running: Vec<RunningListener>) -> BTreeMap<ObjectId, RunningListener> {
    let listen = running.iter().map(|running| running.name().to_owned());
    ObjectId::routes(listen).into_iter().zip(running).collect()
}
