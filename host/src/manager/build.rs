//! From a configuration to a host and its listeners: whole, or not at all.

use super::Manager;
use super::core::Core;
use super::credentials::{self, Credentials};
use super::devices;
use super::entries::DefinedBy;
use super::interceptors::interceptors;
use super::named::Existing;
use super::parts::Parts;
use super::paths::with_credentials;
use super::plugins::Plugins;
use super::routes::PlannedRoute;
use super::target_builder::Programs;
use crate::config::{Config, ConfigErrors, KeyPath, Link, Loaded};
use crate::connection::Lives;
use crate::stack::Stack;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Error, ErrorKind};
use std::sync::{Arc, Weak};

/// What was built: all of it, or all that can be without the programs that secrets come from.
pub(super) struct Built {
    pub(super) manager: Manager,
    /// Listeners by the number of their route.
    pub(super) planned: Vec<(usize, PlannedRoute)>,
    /// What is missing because of them.
    pub(super) unresolved: Vec<KeyPath>,
}

/// Builds everything, and remembers every mistake.
pub(super) async fn build(
    plugins: Plugins,
    loaded: &Loaded,
    programs: Programs,
) -> Result<Built, ConfigErrors> {
    let Plugins { registry, .. } = plugins;
    let common = Arc::clone(registry.common());
    let config = &loaded.config;
    let mut parts = Parts { loaded, errors: Vec::new(), programs, unresolved: Vec::new() };
    let host = &config.host;
    let lives = Lives::waiting(
        host.max_connections as usize,
        host.timeouts.room.0,
        Some(host.max_connections_per_peer as usize).filter(|most| *most > 0),
    );
    let mut core = Core::new(registry, lives, config.host.clone());
    parts.unknown_plugins(&core.registry);
    core.interceptors = interceptors(&mut parts, &core.registry, config).await;
    core.credentials = Credentials::of(loaded);
    let manager = Manager { core: Arc::new(core) };
    links(&mut parts, &manager, config).await;
    devices::finish(&mut parts, &manager);
    credentials::unknown_options(&mut parts, manager.registry(), config);
    upstreams(&mut parts, &manager, config).await;
    handlers(&mut parts, &manager, config).await;
    let planned = routes(&mut parts, &manager, config).await;
    listened_twice(&mut parts, config, &planned);
    let Parts { errors, mut unresolved, .. } = parts;
    unresolved.sort();
    unresolved.dedup();
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    let core = Arc::downgrade(&manager.core);
    common.set_opener(Arc::new(move |uri, options| open_for_plugin(core.clone(), uri, options)));
    Ok(Built { manager, planned, unresolved })
}

fn open_for_plugin(
    core: Weak<Core>,
    uri: String,
    options: String,
) -> Op<jackfield_plugin_api::Session> {
    Op::new(async move {
        let gone = || Error::new(ErrorKind::Cancelled, "the host is stopping");
        let manager = Manager { core: core.upgrade().ok_or_else(gone)? };
        let options = serde_json::from_str(&options)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        manager.open(&uri, &options).await
    })
}

/// Named connections and paths of devices, those that carry others first. That there is no cycle was
/// checked before.
async fn links(parts: &mut Parts<'_>, manager: &Manager, config: &Config) {
    let mut waiting: Vec<Link<'_>> = config.links().collect();
    while !waiting.is_empty() {
        let (now, later): (Vec<Link<'_>>, Vec<Link<'_>>) = waiting
            .iter()
            .partition(|link| config.carrier_of(**link).is_none_or(|via| !waiting.contains(&via)));
        if now.is_empty() {
            break;
        }
        for link in now {
            match link {
                Link::Connection(name) => connection(parts, manager, config, name).await,
                Link::Path(device, path) => path_of(parts, manager, config, (device, path)).await,
            }
        }
        waiting = later;
    }
}

async fn connection(parts: &mut Parts<'_>, manager: &Manager, config: &Config, name: &str) {
    let Some(connection) = config.connections.get(name) else { return };
    let builder = manager.target_builder(&parts.loaded.sources, parts.programs);
    let made = manager.make_connection(&builder, name, connection).await;
    if let Some(managed) = parts.keep(made) {
        manager.core.named.enter(Arc::new(managed), connection);
    }
}

async fn path_of(
    parts: &mut Parts<'_>,
    manager: &Manager,
    config: &Config,
    (device, name): (&str, &str),
) {
    let Some(with) = config.devices.get(device) else { return };
    let Some(path) = with.paths.get(name) else { return };
    let builder = manager.target_builder(&parts.loaded.sources, parts.programs);
    let path = with_credentials(path, with);
    let made = manager.make_path(&builder, (device, name), &path).await;
    let Some(made) = parts.keep(made) else { return };
    if let Err(error) = manager.enter_path(device, with, made, &path, DefinedBy::Config) {
        parts.fault(&KeyPath::from_iter(["devices", device, "paths", name]), error);
    }
}

async fn upstreams(parts: &mut Parts<'_>, manager: &Manager, config: &Config) {
    for (name, upstream) in &config.upstreams {
        let key = KeyPath::from_iter(["upstreams", name.as_str()]);
        let builder = manager.target_builder(&parts.loaded.sources, parts.programs);
        let made = manager.make_upstream(&builder, name, upstream).await;
        let Some(made) = parts.keep(made) else { continue };
        let by = DefinedBy::Config;
        if let Err(error) = manager.enter_upstream(name, upstream, made, by, Existing::Refuse) {
            parts.fault(&key, error);
        }
    }
}

/// All handlers with their options, whether or not a route uses them.
async fn handlers(parts: &mut Parts<'_>, manager: &Manager, config: &Config) {
    for (name, handler) in &config.handlers {
        let builder = manager.target_builder(&parts.loaded.sources, parts.programs);
        let made = builder.handler(name, handler).await;
        let Some(made) = parts.keep(made) else { continue };
        let by = DefinedBy::Config;
        if let Err(error) = manager.enter_handler(name, handler, made, by, Existing::Refuse) {
            parts.fault(&KeyPath::from_iter(["handlers", name.as_str()]), error);
        }
    }
}

async fn routes(
    parts: &mut Parts<'_>,
    manager: &Manager,
    config: &Config,
) -> Vec<(usize, PlannedRoute)> {
    let mut planned = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        let key = KeyPath::from_iter(["routes"]).index(index);
        let builder = manager.target_builder(&parts.loaded.sources, parts.programs);
        let made = manager.make_route(&builder, &key, route).await;
        planned.extend(parts.keep(made).map(|made| (index, made)));
    }
    planned
}

/// Options by which two listeners may have one address.
const SHARE_ADDRESSES: [&str; 2] = ["reuse_port", "family"];

/// An address has one listener, whatever stands on its transport.
fn listened_twice(parts: &mut Parts<'_>, config: &Config, planned: &[(usize, PlannedRoute)]) {
    let key = |index| KeyPath::from_iter(["routes"]).index(index).key("listen");
    let shares = |index: &usize| {
        config.routes.get(*index).is_some_and(|route| names_any(&route.options, &SHARE_ADDRESSES))
    };
    for (at, (index, (listener, _))) in planned.iter().enumerate() {
        let first = planned[..at].iter().find(|(first, (other, _))| {
            collide(&listener.stack, &other.stack) && !(shares(index) || shares(first))
        });
        let Some((first, (other, _))) = first else { continue };
        let place = parts.loaded.sources.locate(&key(*first));
        let name = &other.name;
        let text = format!("this address is already listened on, at {place}: {name}");
        parts.fault(&key(*index), Error::new(ErrorKind::Config, text));
    }
}

/// Whether two stacks cannot listen at the same time.
fn collide(one: &Stack, other: &Stack) -> bool {
    let (Some(transport), Some(same)) = (one.transport(), other.transport()) else { return false };
    if !Arc::ptr_eq(transport, same) {
        return false;
    }
    let (one, other) = (one.address(), other.address());
    match (one.port, other.port) {
        (Some(port), Some(same)) => {
            let is_any = one.host.is_empty() || other.host.is_empty();
            port != 0 && port == same && (is_any || one.host.eq_ignore_ascii_case(&other.host))
        }
        (None, None) => !one.path.is_empty() && one.host == other.host && one.path == other.path,
        _ => false,
    }
}

/// Whether a table, or one in it, has a key of that name.
fn names_any(table: &serde_json::Map<String, serde_json::Value>, names: &[&str]) -> bool {
    table.iter().any(|(key, value)| {
        let below = value.as_object().is_some_and(|table| names_any(table, names));
        below || names.contains(&key.as_str())
    })
}
