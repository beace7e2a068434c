//! From a configuration to a graph and its listeners: whole, or not at all.

use super::define::policy;
use super::devices;
use super::graph::Graph;
use super::interceptors::{Interceptors, interceptors};
use super::parts::{Parts, Programs, StackAt};
use super::plugins::Plugins;
use super::table::Named;
use super::upstreams::upstreams;
use crate::config::model::{Frames, RouteConfig};
use crate::config::{Config, ConfigErrors, Destination, DevicePath, KeyPath, Link, Loaded, Via};
use crate::connection::{Lives, Managed};
use crate::listener::{Listener, Service};
use crate::relay::RelayOptions;
use crate::route::{self, Route};
use crate::stack::Stack;
use crate::upstream::Upstream;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Error, ErrorKind, Facets, MessageKind, Role};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Listeners by the number of their route.
pub(super) type Planned = Vec<(usize, Listener)>;

/// What was built: all of it, or all that can be without the programs that secrets come from.
pub(super) struct Built {
    pub(super) graph: Arc<Graph>,
    pub(super) planned: Planned,
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
    let mut parts = Parts {
        loaded,
        registry: &registry,
        interceptors: Interceptors::default(),
        connections: BTreeMap::new(),
        paths: BTreeMap::new(),
        errors: Vec::new(),
        programs,
        unresolved: Vec::new(),
    };
    let config = &loaded.config;
    let lives = Lives::waiting(config.host.max_connections as usize, config.host.timeouts.room.0);
    lives.tell(common.events().clone());
    parts.unknown_plugins();
    parts.interceptors = interceptors(&mut parts, config).await;
    links(&mut parts, config, &lives).await;
    devices::unknown_credentials(&mut parts, config);
    let upstreams = upstreams(&mut parts, config).await;
    let mut planned = Planned::new();
    for (index, route) in config.routes.iter().enumerate() {
        let listener = listener(&mut parts, index, route, &upstreams).await;
        planned.extend(listener.map(|listener| (index, listener)));
    }
    unused_handlers(&mut parts, config).await;
    let built = std::mem::take(&mut parts.paths);
    let devices = devices::devices(&mut parts, config, built);
    let Parts { errors, connections, interceptors, mut unresolved, .. } = parts;
    unresolved.sort();
    unresolved.dedup();
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    let connect_limit = connect_limit(config);
    let named = Named::new(lives);
    for (name, managed) in connections {
        if let Some(connection) = config.connections.get(&name) {
            named.enter(managed, connection);
        }
    }
    for link in config.links().filter(|link| matches!(link, Link::Path(..))) {
        if let Some(Link::Connection(name)) = config.carrier_of(link) {
            named.carries_path(name);
        }
    }
    for (_, target) in upstreams.values().flat_map(|upstream| upstream.targets()) {
        target.via().into_iter().for_each(|via| named.carries_target(via, true));
    }
    let graph =
        Arc::new(Graph { registry, named, devices, upstreams, interceptors, connect_limit });
    let weak = Arc::downgrade(&graph);
    common.set_opener(Arc::new(move |uri, options| open_for_plugin(weak.clone(), uri, options)));
    Ok(Built { graph, planned, unresolved })
}

/// Time for a target to be connected, over all its layers.
pub(super) fn connect_limit(config: &Config) -> Duration {
    let timeouts = &config.host.timeouts;
    timeouts.connect.0 + timeouts.handshake.0
}

fn open_for_plugin(
    graph: Weak<Graph>,
    uri: String,
    options: String,
) -> Op<jackfield_plugin_api::Session> {
    Op::new(async move {
        let gone = || Error::new(ErrorKind::Cancelled, "the host is stopping");
        let graph = graph.upgrade().ok_or_else(gone)?;
        let options = serde_json::from_str(&options)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        graph.open(&uri, &options).await
    })
}

/// Named connections and paths of devices, those that carry others first. That there is no cycle was
/// checked before.
async fn links(parts: &mut Parts<'_>, config: &Config, lives: &Arc<Lives>) {
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
                Link::Connection(name) => connection(parts, config, name, lives).await,
                Link::Path(device, path) => {
                    let path = devices::path(parts, config, (device, path), lives).await;
                    parts.paths.entry(device.to_owned()).or_default().extend(path);
                }
            }
        }
        waiting = later;
    }
}

async fn connection(parts: &mut Parts<'_>, config: &Config, name: &str, lives: &Arc<Lives>) {
    let Some(connection) = config.connections.get(name) else { return };
    let key = KeyPath::from_iter(["connections", name]);
    let login = connection.login.as_ref().map(|login| (key.key("login"), login));
    let at = StackAt {
        login,
        uri_key: key.key("uri"),
        key,
        uri: &connection.uri,
        options: &connection.options,
        role: Role::Client,
        via: connection.via.as_ref(),
    };
    if let Some(target) = parts.target(&at).await {
        let interceptors = parts.interceptors.listed(&connection.interceptors);
        let target = Arc::new(target.intercepted(interceptors));
        let policy = policy(connect_limit(config), connection);
        let (labels, lives) = (connection.labels.clone(), Arc::clone(lives));
        let managed = Managed::counted(name, target, policy, labels, lives);
        parts.connections.insert(name.to_owned(), Arc::new(managed));
    }
}

async fn listener(
    parts: &mut Parts<'_>,
    index: usize,
    route: &RouteConfig,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> Option<Listener> {
    let config = &parts.loaded.config;
    let key = KeyPath::from_iter(["routes"]).index(index);
    let at = StackAt {
        uri_key: key.key("listen"),
        key: key.clone(),
        uri: &route.listen,
        options: &route.options,
        role: Role::Server,
        via: None,
        login: None,
    };
    let stack = parts.stack(&at).await;
    let limit = connect_limit(config);
    let destination = match &route.to {
        // A name that is missing here had mistakes of its own, which were reported.
        Destination::Upstream(name) => {
            upstreams.get(name).cloned().map(route::Destination::Upstream)
        }
        Destination::Connection(name) => {
            let managed = parts.connections.get(name);
            managed.map(|managed| {
                let limit = managed.policy().connect_timeout;
                route::Destination::Target(managed.target(), limit)
            })
        }
        Destination::Device(to) => device(parts, to, route.observe, limit),
        Destination::Handler(name) => handler_for(parts, &key, stack.as_ref(), name).await,
        Destination::Uri(uri) => {
            let options = crate::config::Options::default();
            let key = key.key("to");
            let at = StackAt {
                uri_key: key.clone(),
                key,
                uri,
                options: &options,
                role: Role::Client,
                via: None,
                login: None,
            };
            let target = parts.target(&at).await.map(Arc::new);
            target.map(|target| route::Destination::Target(target, limit))
        }
    };
    let max = config.host.max_connections;
    Some(Listener {
        name: route.listen.to_string().into(),
        stack: stack?,
        service: Service::Route(Route {
            name: route.to.to_string().into(),
            destination: destination?,
            managed: managed(parts, &route.to),
            hash: route.hash.clone(),
            relay: relay_options(config, route),
            sse: route.sse,
        }),
        handshake_timeout: config.host.timeouts.handshake.0,
        max_connections: route.max_connections.unwrap_or(max) as usize,
    })
}

/// The named connection or path of a device that a route leads to.
fn managed(parts: &Parts<'_>, to: &Destination) -> Option<Arc<Managed>> {
    match to {
        Destination::Connection(name) => parts.connections.get(name).cloned(),
        Destination::Device(to) => parts.carrier(&Via::Device(to.clone())),
        _ => None,
    }
}

/// A path of a device; one that has mistakes is missing here.
fn device(
    parts: &Parts<'_>,
    to: &DevicePath,
    observe: bool,
    limit: Duration,
) -> Option<route::Destination> {
    let Ok(Link::Path(device, name)) = parts.loaded.config.path(to) else { return None };
    let path = parts.paths.get(device)?.iter().find(|path| path.name() == name)?;
    if observe {
        return path.observers().cloned().map(route::Destination::Observe);
    }
    Some(route::Destination::Target(path.managed().target(), limit))
}

async fn handler(parts: &mut Parts<'_>, name: &str) -> Option<route::Destination> {
    let handler = parts.loaded.config.handlers.get(name)?;
    let key = KeyPath::from_iter(["handlers", name]);
    let plugin_name = handler.handler.as_deref().unwrap_or(name);
    parts.handler(&key, plugin_name, &handler.options).await.map(route::Destination::Handler)
}

/// The handler that a route leads to, if it can take sessions of `stack`.
async fn handler_for(
    parts: &mut Parts<'_>,
    key: &KeyPath,
    stack: Option<&Stack>,
    name: &str,
) -> Option<route::Destination> {
    takes(parts, &key.key("to"), stack, name);
    handler(parts, name).await
}

/// A handler gets a listener's sessions as they are: where they can have none of the facets that it takes,
/// the route can never work.
fn takes(parts: &mut Parts<'_>, key: &KeyPath, stack: Option<&Stack>, name: &str) {
    let Some(config) = parts.loaded.config.handlers.get(name) else { return };
    let plugin_name = config.handler.as_deref().unwrap_or(name);
    let top = stack.and_then(Stack::top);
    // What is missing has mistakes of its own.
    let (Some(top), Ok(handler)) = (top, parts.registry.handler(plugin_name)) else { return };
    let (gives, takes) = (top.manifest.facets, handler.manifest.facets);
    if takes.bits() == 0 || gives.bits() & takes.bits() != 0 {
        return;
    }
    let list = |facets: Facets| facets.names().collect::<Vec<_>>().join(", ");
    let text = format!(
        "expected a handler of what sessions of {} can have: {}; {plugin_name} takes {}",
        top.name(),
        list(gives),
        list(takes).replace(", ", " or "),
    );
    parts.fault(key, &Error::new(ErrorKind::Config, text));
}

/// A handler that no route uses is checked all the same.
async fn unused_handlers(parts: &mut Parts<'_>, config: &Config) {
    let used = |name: &String| {
        let is = |to: &Destination| matches!(to, Destination::Handler(used) if used == name);
        config.routes.iter().any(|route| is(&route.to))
    };
    for name in config.handlers.keys().filter(|name| !used(name)) {
        // Only its mistakes are wanted.
        let _ = handler(parts, name).await;
    }
}

fn relay_options(config: &Config, route: &RouteConfig) -> RelayOptions {
    let host = &config.host;
    let set = |limit: Duration| (!limit.is_zero()).then_some(limit);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    RelayOptions {
        idle_timeout: set(route.idle_timeout.unwrap_or(host.timeouts.idle).0),
        half_close_timeout: set(route.half_close_timeout.unwrap_or(host.timeouts.half_close).0),
        buffer: size(host.limits.relay_buffer.0),
        max_message: size(host.limits.max_message.0),
        frames: match route.frames {
            Frames::Binary => MessageKind::BINARY,
            Frames::Text => MessageKind::TEXT,
        },
        ..RelayOptions::default()
    }
}
