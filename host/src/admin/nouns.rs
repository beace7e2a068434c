//! What there is of each noun, as the lists and the single items of the API show it. Everything that has a snapshot is
//! shown as that; each item has a `name`.

use crate::connection::{Live, ManagedSnapshot};
use crate::manager::{DefinedBy, ListenerSnapshot, Manager, PluginSnapshot};
use crate::nearest::did_you_mean;
use crate::upstream::UpstreamSnapshot;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// One thing, which is put into words only if it is asked for.
pub(super) struct Item {
    /// What it is found by, and what lists are in the order of.
    pub(super) key: String,
    show: Box<dyn FnOnce() -> Value + Send>,
}

impl Item {
    fn new(key: impl Into<String>, show: impl FnOnce() -> Value + Send + 'static) -> Self {
        Item { key: key.into(), show: Box::new(show) }
    }

    fn of(key: impl Into<String>, it: impl Serialize + Send + 'static) -> Self {
        Item::new(key, move || json!(it))
    }

    pub(super) fn show(self) -> Value {
        (self.show)()
    }
}

/// What there is of a noun, by key; `None` for what is no noun.
pub(super) fn all(manager: &Manager, noun: &str) -> Option<Vec<Item>> {
    let mut items = match noun {
        "plugins" => plugins(manager),
        "drivers" => drivers(manager),
        "connections" => connections(manager),
        "devices" => devices(manager),
        "leases" => leases(manager),
        "upstreams" => upstreams(manager),
        "targets" => targets(manager),
        "pools" => pools(manager),
        "routes" => listeners(manager, true),
        "listeners" => listeners(manager, false),
        "handlers" => handlers(manager),
        _ => return None,
    };
    items.sort_by(|a, b| a.key.cmp(&b.key));
    Some(items)
}

/// One thing, by its name or another way in which it is named.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the nearest name.
pub(super) fn one(manager: &Manager, noun: &str, name: &str) -> Result<Value> {
    match noun {
        "connections" => return connection(manager, name),
        "devices" => {
            let own = manager.device(name)?.name().to_owned();
            return find(devices(manager), "device", &own);
        }
        "drivers" => {
            let registry = manager.registry();
            let by_scheme = || registry.scheme(name).ok().map(|entry| Arc::clone(&entry.driver));
            let found = registry.driver(name).map(Arc::clone);
            return found.or_else(|error| by_scheme().ok_or(error)).map(|it| it.describe());
        }
        "routes" | "listeners" => {
            let name = manager.listener(name)?.name().to_owned();
            return find(listeners(manager, noun == "routes"), "route", &name);
        }
        "leases" => {
            let name = name.strip_prefix("devices.").unwrap_or(name);
            return find(leases(manager), "exclusive path", name);
        }
        _ => {}
    }
    let what = noun.strip_suffix('s').unwrap_or(noun);
    find(all(manager, noun).unwrap_or_default(), what, name)
}

fn find(items: Vec<Item>, what: &str, name: &str) -> Result<Value> {
    let near = did_you_mean(name, items.iter().map(|item| item.key.as_str())).map(str::to_owned);
    match items.into_iter().find(|item| item.key == name) {
        Some(item) => Ok(item.show()),
        None => {
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Err(Error::new(ErrorKind::NotFound, format!("there is no {what} {name:?}{hint}")))
        }
    }
}

fn plugins(manager: &Manager) -> Vec<Item> {
    // Another file may have the name of one that runs, or the same file other content that was refused.
    let mut names = HashSet::new();
    let mut key = |plugin: &PluginSnapshot| match &plugin.name {
        Some(name) if names.insert(name.clone()) => name.clone(),
        _ => format!("{} ({})", plugin.file, plugin.state),
    };
    let mut all = manager.plugins();
    all.sort_by_key(|plugin| plugin.generation.is_none());
    all.into_iter().map(|plugin| Item::of(key(&plugin), plugin)).collect()
}

fn drivers(manager: &Manager) -> Vec<Item> {
    let registry = manager.registry();
    let all = registry.drivers().map(Arc::clone);
    all.map(|it| Item::new(it.name().to_owned(), move || it.describe())).collect()
}

fn connections(manager: &Manager) -> Vec<Item> {
    let lives = manager.lives();
    let living: HashSet<Arc<str>> = lives
        .iter()
        .filter(|live| !live.is_accepted())
        .map(|live| Arc::clone(&live.name))
        .collect();
    // Ids first, in their order; then what does not live, by name.
    let items =
        lives.into_iter().map(|live| Item::new(format!("{:020}", live.id), move || life(&live)));
    let others = manager.named().into_iter();
    let others = others.filter(|named| !living.contains(named.connection.name.as_str()));
    let others = others.map(|named| {
        let key = format!("~{}", named.connection.name);
        Item::new(key, move || rests(&named.connection, Some(named.defined_by)))
    });
    items.chain(others).collect()
}

fn life(live: &Live) -> Value {
    json!(live.info())
}

/// A named connection that does not live.
fn rests(connection: &ManagedSnapshot, by: Option<DefinedBy>) -> Value {
    let mut value = match &connection.life {
        Some(life) => json!(life.info),
        None => json!({
            "id": null, "name": connection.name, "uri": connection.uri, "state": "disconnected",
            "labels": connection.labels,
        }),
    };
    value["defined_by"] = json!(by);
    value
}

/// The connection that `name` or an id is, with its last changes of state.
fn connection(manager: &Manager, name: &str) -> Result<Value> {
    let missing = match manager.find_named(name) {
        Ok(named) => {
            let mut value = match &named.connection.life {
                Some(life) => json!(life),
                None => rests(&named.connection, None),
            };
            value["defined_by"] = json!(named.defined_by);
            return Ok(value);
        }
        Err(missing) => missing,
    };
    match name.parse() {
        Ok(id) => manager.live(id).map(|live| json!(live.snapshot())),
        Err(_) => {
            // Paths of devices have names with dots, which no other connection has.
            let live =
                manager.lives().into_iter().find(|live| !live.is_accepted() && *live.name == *name);
            live.map(|live| json!(live.snapshot())).ok_or(missing)
        }
    }
}

/// The connection that lives under a name or an id.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the nearest name; [`ErrorKind::Closed`] for one that does not live.
pub(super) fn living(manager: &Manager, name: &str) -> Result<Arc<Live>> {
    let by_name =
        manager.lives().into_iter().find(|live| !live.is_accepted() && *live.name == *name);
    if let Some(live) = by_name {
        return Ok(live);
    }
    match (manager.find_named(name), name.parse()) {
        (Ok(_), _) => Err(Error::new(ErrorKind::Closed, format!("{name} is not connected"))),
        (Err(_), Ok(id)) => manager.live(id),
        (Err(missing), Err(_)) => Err(missing),
    }
}

fn devices(manager: &Manager) -> Vec<Item> {
    let all = manager.device_snapshots().into_iter();
    all.map(|device| Item::of(device.name.clone(), device)).collect()
}

fn leases(manager: &Manager) -> Vec<Item> {
    let mut items = Vec::new();
    for device in manager.devices().all() {
        for path in device.paths() {
            let Some(lease) = path.lease().map(Arc::clone) else { continue };
            let name = format!("{}.{}", device.name(), path.name());
            items.push(Item::new(name.clone(), move || {
                let mut value = json!(lease.snapshot());
                value["name"] = json!(name);
                value
            }));
        }
    }
    items
}

fn upstreams(manager: &Manager) -> Vec<Item> {
    let all = manager.upstream_snapshots().into_iter();
    all.map(|upstream| Item::of(upstream.name.clone(), upstream)).collect()
}

fn snapshots(manager: &Manager) -> Vec<UpstreamSnapshot> {
    manager.upstreams().iter().map(|upstream| upstream.snapshot()).collect()
}

/// How a target of an upstream is found.
pub(super) fn target_key(upstream: &str, target: &str) -> String {
    format!("{upstream}/{target}")
}

fn targets(manager: &Manager) -> Vec<Item> {
    let of = |upstream: UpstreamSnapshot| {
        let name = upstream.name;
        upstream.targets.into_iter().map(move |target| {
            let (upstream, key) = (name.clone(), target_key(&name, &target.name));
            Item::new(key, move || {
                let mut value = json!(target.status);
                value["upstream"] = json!(upstream);
                value
            })
        })
    };
    snapshots(manager).into_iter().flat_map(of).collect()
}

fn pools(manager: &Manager) -> Vec<Item> {
    let of = |upstream: UpstreamSnapshot| {
        let name = upstream.name;
        upstream.targets.into_iter().filter_map(move |target| {
            let (upstream, key) = (name.clone(), target_key(&name, &target.name));
            let (pool, target) = (target.pool?, target.status.name);
            Some(Item::new(key, move || {
                let mut value = json!(pool);
                value["upstream"] = json!(upstream);
                value["name"] = json!(target);
                value
            }))
        })
    };
    snapshots(manager).into_iter().flat_map(of).collect()
}

fn listeners(manager: &Manager, only_routes: bool) -> Vec<Item> {
    // Code of the program listens without a route.
    let wanted = |it: &ListenerSnapshot| !only_routes || it.defined_by != DefinedBy::Program;
    let all = manager.listeners().into_iter().filter(wanted);
    all.map(|listener| {
        Item::new(listener.listen.clone(), move || {
            let mut value = json!(listener);
            value["name"] = json!(listener.listen);
            value
        })
    })
    .collect()
}

fn handlers(manager: &Manager) -> Vec<Item> {
    let all = manager.handler_snapshots().into_iter();
    all.map(|handler| Item::of(handler.name.clone(), handler)).collect()
}
