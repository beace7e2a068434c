//! What waits for a plugin: objects of a configuration that need a driver, handler or interceptor that no plugin has.
//!
//! Without `reload.plugins.wait` that is a mistake, at start and at each reload: most likely a name is mistyped or a
//! package is not installed, and a host that starts all the same would be found out much later. With it such objects,
//! and what leads to them, are left out until the plugin is there. A driver that was there and is gone is known: what
//! uses it stays, and opens nothing until it is back.

use super::Manager;
use crate::config::diff::{ObjectId, ObjectKind, WaitingObjects};
use crate::config::{Config, Loaded, Reference, Via};
use crate::driver::Registry;
use crate::stack::uri::StackUri;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an object needs.
enum Requirement {
    /// What a plugin has: `the scheme "ssh"`.
    Part(String),
    Object(ObjectId),
}

struct Needs<'a> {
    config: &'a Config,
    registry: &'a Registry,
    all: BTreeMap<ObjectId, Vec<Requirement>>,
}

/// The objects of `loaded` that wait, by what `registry` has.
fn waiting_in(loaded: &Loaded, registry: &Registry) -> WaitingObjects {
    let mut waiting = WaitingObjects::new();
    if !loaded.config.reload.plugins.wait {
        return waiting;
    }
    let needs = Needs { config: &loaded.config, registry, all: BTreeMap::new() }.collect();
    loop {
        let before = waiting.len();
        for (object, needs) in &needs {
            let lacks = needs.iter().find_map(|need| match need {
                Requirement::Part(part) => Some(part.clone()),
                Requirement::Object(other) => {
                    waiting.get(other).map(|lacks| format!("{lacks} ({other})"))
                }
            });
            if let Some(lacks) = lacks.filter(|_| !waiting.contains_key(object)) {
                waiting.insert(object.clone(), lacks);
            }
        }
        if waiting.len() == before {
            return waiting;
        }
    }
}

impl Needs<'_> {
    fn collect(mut self) -> BTreeMap<ObjectId, Vec<Requirement>> {
        let config = self.config;
        for (name, interceptor) in &config.interceptors {
            let plugin_name = interceptor.interceptor.as_deref().unwrap_or(name);
            self.part(&ObjectId::new(ObjectKind::Interceptor, name), "interceptor", plugin_name);
        }
        for (name, handler) in &config.handlers {
            let plugin_name = handler.handler.as_deref().unwrap_or(name);
            self.part(&ObjectId::new(ObjectKind::Handler, name), "handler", plugin_name);
        }
        for (name, connection) in &config.connections {
            let object = ObjectId::new(ObjectKind::Connection, name);
            self.stack(&object, &connection.uri, connection.via.as_ref());
            self.interceptors(&object, &connection.interceptors);
        }
        for (device, with) in &config.devices {
            for (name, path) in &with.paths {
                let object = ObjectId::path(device, name);
                self.stack(&object, &path.uri, path.via.as_ref());
                self.interceptors(&object, &path.interceptors);
            }
        }
        for (name, upstream) in &config.upstreams {
            let object = ObjectId::new(ObjectKind::Upstream, name);
            for target in &upstream.targets {
                match &target.to {
                    Some(to) => self.via(&object, to),
                    None => self.stack(&object, &target.uri, target.via.as_ref()),
                }
            }
            self.interceptors(&object, &upstream.interceptors);
        }
        let listen = config.routes.iter().map(|route| route.listen.to_string());
        for (object, route) in ObjectId::routes(listen).into_iter().zip(&config.routes) {
            self.stack(&object, &route.listen, None);
            self.reference(&object, &route.to);
        }
        self.all
    }

    fn need(&mut self, object: &ObjectId, need: Requirement) {
        self.all.entry(object.clone()).or_default().push(need);
    }

    fn part(&mut self, object: &ObjectId, what: &'static str, name: &str) {
        if !self.registry.has_seen(what, name) {
            self.need(object, Requirement::Part(format!("the {what} {name:?}")));
        }
    }

    fn stack(&mut self, object: &ObjectId, uri: &StackUri, via: Option<&Via>) {
        for name in &uri.layers {
            self.part(object, "scheme", name);
            let parts = self.registry.scheme(name).map(|entry| entry.manifest.stack.clone());
            for part in parts.iter().flat_map(|stack| stack.split('+')) {
                self.part(object, "driver", part);
            }
        }
        via.into_iter().for_each(|via| self.via(object, via));
    }

    fn via(&mut self, object: &ObjectId, via: &Via) {
        if let Via::Uri(uri) = via {
            return self.stack(object, uri, None);
        }
        // One that leads nowhere is a mistake of its own.
        if let Some(link) = self.config.carrier(via) {
            self.need(object, Requirement::Object(link.into()));
        }
    }

    fn interceptors(&mut self, object: &ObjectId, names: &[String]) {
        for name in names {
            self.need(object, Requirement::Object(ObjectId::new(ObjectKind::Interceptor, name)));
        }
    }

    fn reference(&mut self, object: &ObjectId, to: &Reference) {
        let other = match to {
            Reference::Connection(name) => ObjectId::new(ObjectKind::Connection, name),
            Reference::Upstream(name) => ObjectId::new(ObjectKind::Upstream, name),
            Reference::Handler(name) => ObjectId::new(ObjectKind::Handler, name),
            Reference::Device(to) => match self.config.path(to) {
                Ok(link) => link.into(),
                Err(_) => return,
            },
            Reference::Admin => return,
            Reference::Uri(uri) => return self.stack(object, uri, None),
        };
        self.need(object, Requirement::Object(other));
    }
}

impl Manager {
    /// What of its configuration waits for a plugin, with what each lacks.
    pub fn waiting(&self) -> Arc<WaitingObjects> {
        self.core.waiting.load_full()
    }

    /// What of `loaded` waits, by what is loaded now.
    pub(crate) fn waiting_in(&self, loaded: &Loaded) -> WaitingObjects {
        waiting_in(loaded, &self.registry())
    }

    /// Notes what waits from now on, and tells what is new of that.
    pub(crate) fn set_waiting(&self, waiting: &WaitingObjects) {
        let before = self.core.waiting.swap(Arc::new(waiting.clone()));
        for (object, lacks) in waiting.iter().filter(|(object, _)| !before.contains_key(*object)) {
            tracing::info!(%object, "waits for a plugin with {lacks}");
        }
    }
}
