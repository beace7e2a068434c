//! What uses something that has changed is changed, too, the defaults that `[host]` gives included.

use super::{Change, Effect, KeyChange, ObjectId, ObjectKind};
use crate::config::model::RouteConfig;
use crate::config::{Config, Loaded};
use std::collections::BTreeMap;
use std::time::Duration;

type Differences = BTreeMap<ObjectId, Change>;

/// The objects of `new` that use what `found` says is different: defaults of the host that they do not set themselves,
/// credentials, interceptors, and what targets of upstreams name. What goes `via` a connection, and routes, follow by themselves.
pub(super) fn of_changes(
    old: &Loaded,
    new: &Loaded,
    found: &Differences,
) -> Vec<(ObjectId, Vec<KeyChange>)> {
    let host = found.get(&ObjectId::new(ObjectKind::Host, ""));
    let users = Users { old: &old.config, new: &new.config, found, host };
    let mut all = Vec::new();
    for (name, connection) in &new.config.connections {
        let mut keys = users.interceptors(&connection.interceptors);
        keys.extend(users.opening(connection.policy.connect_timeout));
        all.push((ObjectId::new(ObjectKind::Connection, name), keys));
    }
    for (device, with) in &new.config.devices {
        for (name, path) in &with.paths {
            let mut keys = users.interceptors(&path.interceptors);
            keys.extend(users.opening(path.policy.connect_timeout));
            let was = users.old.credentials_for(device, name);
            let names = users.new.credentials_for(device, name);
            keys.extend(users.credentials("credentials", &was, &names));
            all.push((ObjectId::path(device, name), keys));
        }
    }
    let linked: Differences = all
        .iter()
        .filter(|(_, keys)| !keys.is_empty())
        .map(|(object, keys)| (object.clone(), users.changed(object, keys.clone())))
        .collect();
    for name in new.config.upstreams.keys() {
        all.push((ObjectId::new(ObjectKind::Upstream, name), users.upstream(name, &linked)));
    }
    // What routes use follows by itself; only a default of the host is theirs.
    if host.is_some() {
        for (id, route) in new.route_ids().iter().zip(&new.config.routes) {
            all.push((id.clone(), users.route(route)));
        }
    }
    all.retain(|(_, keys)| !keys.is_empty());
    all
}

struct Users<'a> {
    old: &'a Config,
    new: &'a Config,
    found: &'a Differences,
    host: Option<&'a Change>,
}

impl Users<'_> {
    fn changed(&self, object: &ObjectId, keys: Vec<KeyChange>) -> Change {
        let effect = Effect::NewSessions;
        Change { object: object.clone(), kind: super::ChangeKind::Changed, effect, keys }
    }

    /// Whether a key of `[host]` means something else.
    fn host_changes(&self, key: &str) -> bool {
        self.host.is_some_and(|change| change.keys.iter().any(|it| it.key == key))
    }

    /// The key `key` of an object follows keys of `[host]` where it is not set.
    fn follows(&self, key: &str, is_set: bool, host: &[&str]) -> Option<KeyChange> {
        let changed = host.iter().find(|key| !is_set && self.host_changes(key))?;
        Some(KeyChange {
            key: key.to_owned(),
            effect: Effect::NewSessions,
            from: None,
            to: None,
            because: Some(format!("host.{changed} is another one")),
        })
    }

    /// What opens sessions.
    fn opening(&self, own: Option<Duration>) -> Option<KeyChange> {
        self.follows("connect_timeout", own.is_some(), &["timeouts.connect", "timeouts.handshake"])
    }

    fn route(&self, route: &RouteConfig) -> Vec<KeyChange> {
        let RouteConfig { listener, joining, .. } = route;
        let keys = [
            ("handshake_timeout", listener.handshake_timeout.is_some(), "timeouts.handshake"),
            ("idle_timeout", joining.idle_timeout.is_some(), "timeouts.idle"),
            ("half_close_timeout", joining.half_close_timeout.is_some(), "timeouts.half_close"),
            ("drain_timeout", joining.drain_timeout.is_some(), "timeouts.drain"),
            ("total_timeout", joining.total_timeout.is_some(), "timeouts.total"),
            ("relay_buffer", false, "limits.relay_buffer"),
            ("max_message", false, "limits.max_message"),
        ];
        let follows = |(key, is_set, host): (&str, bool, &str)| self.follows(key, is_set, &[host]);
        keys.into_iter().filter_map(follows).collect()
    }

    fn interceptors(&self, names: &[String]) -> Vec<KeyChange> {
        let objects = names.iter().map(|name| ObjectId::new(ObjectKind::Interceptor, name));
        let different = objects.filter(|object| self.found.contains_key(object));
        different.map(|object| because("interceptors", &object)).collect()
    }

    /// Credentials that are tried in their order: others than before, or changed ones.
    fn credentials(&self, key: &str, was: &[&str], names: &[&str]) -> Vec<KeyChange> {
        let all = was.iter().chain(names.iter().filter(|name| !was.contains(name)));
        let objects = all.map(|name| ObjectId::new(ObjectKind::Credentials, *name));
        let different = objects.filter(|object| self.found.contains_key(object));
        different.map(|object| because(key, &object)).collect()
    }

    fn upstream(&self, name: &str, linked: &Differences) -> Vec<KeyChange> {
        let Some(upstream) = self.new.upstreams.get(name) else { return Vec::new() };
        let mut keys = self.interceptors(&upstream.interceptors);
        keys.extend(self.opening(upstream.options.connect_timeout));
        for (index, target) in upstream.targets.iter().enumerate() {
            let key = format!("targets.{index}");
            if let Some(first) = &target.credentials {
                let was = self.old.credentials_from(first);
                let live = |change| KeyChange { effect: Effect::Live, ..change };
                let names = self.new.credentials_from(first);
                keys.extend(self.credentials(&key, &was, &names).into_iter().map(live));
            }
            let link = target.to.as_ref().and_then(|to| self.new.carrier(to));
            let Some(object) = link.map(ObjectId::from) else { continue };
            let different = |found: &Differences| {
                found.get(&object).is_some_and(|change| change.effect >= Effect::NewSessions)
            };
            if different(self.found) || different(linked) {
                keys.push(KeyChange { effect: Effect::Live, ..because(&key, &object) });
            }
        }
        keys
    }
}

fn because(key: &str, object: &ObjectId) -> KeyChange {
    KeyChange {
        key: key.to_owned(),
        effect: Effect::NewSessions,
        from: None,
        to: None,
        because: Some(format!("{object} is another one")),
    }
}
