//! From a configuration to a graph and its listeners: whole, or not at all.

use super::credentials::{self, Credentials};
use super::devices;
use super::graph::Graph;
use super::interceptors::interceptors;
use super::parts::Parts;
use super::paths::with_credentials;
use super::plugins::Plugins;
use super::target_builder::{Programs, StackAt};
use super::upstreams::upstreams;
use crate::config::model::{Frames, RouteConfig};
use crate::config::{Config, ConfigErrors, KeyPath, Link, Loaded, Options, Reference};
use crate::connection::Lives;
use crate::driver::Prepared;
use crate::listener::{Listener, Service};
use crate::relay::{InvalidText, RelayOptions};
use crate::route::Route;
use crate::stack::Stack;
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
    let config = &loaded.config;
    let mut parts = Parts { loaded, errors: Vec::new(), programs, unresolved: Vec::new() };
    let lives = Lives::waiting(config.host.max_connections as usize, config.host.timeouts.room.0);
    let mut graph = Graph::bare(registry, lives, connect_limit(config));
    parts.unknown_plugins(&graph.registry);
    graph.interceptors = interceptors(&mut parts, &graph.registry, config).await;
    graph.credentials = Credentials::of(loaded);
    links(&mut parts, &graph, config).await;
    devices::finish(&mut parts, &graph);
    credentials::unknown_options(&mut parts, &graph.registry, config);
    graph.upstreams = upstreams(&mut parts, &graph, config).await;
    let around = config.upstreams.iter().map(|(name, it)| (name.clone(), it.interceptors.clone()));
    graph.around_targets = around.collect();
    graph.handlers = handlers(&mut parts, &graph, config).await;
    let mut planned = Planned::new();
    for (index, route) in config.routes.iter().enumerate() {
        let listener = listener(&mut parts, &graph, index, route).await;
        planned.extend(listener.map(|listener| (index, listener)));
    }
    let Parts { errors, mut unresolved, .. } = parts;
    unresolved.sort();
    unresolved.dedup();
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    for (_, target) in graph.upstreams.values().flat_map(|upstream| upstream.targets()) {
        target.via().into_iter().for_each(|via| graph.named.carries(via, true));
    }
    let graph = Arc::new(graph);
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
async fn links(parts: &mut Parts<'_>, graph: &Graph, config: &Config) {
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
                Link::Connection(name) => connection(parts, graph, config, name).await,
                Link::Path(device, path) => path_of(parts, graph, config, (device, path)).await,
            }
        }
        waiting = later;
    }
}

async fn connection(parts: &mut Parts<'_>, graph: &Graph, config: &Config, name: &str) {
    let Some(connection) = config.connections.get(name) else { return };
    let builder = graph.builder(&parts.loaded.sources, parts.programs);
    let made = graph.make_connection(&builder, name, connection).await;
    if let Some(managed) = parts.keep(made) {
        graph.named.enter(Arc::new(managed), connection);
    }
}

async fn path_of(
    parts: &mut Parts<'_>,
    graph: &Graph,
    config: &Config,
    (device, name): (&str, &str),
) {
    let Some(with) = config.devices.get(device) else { return };
    let Some(path) = with.paths.get(name) else { return };
    let builder = graph.builder(&parts.loaded.sources, parts.programs);
    let path = with_credentials(path, with);
    let made = graph.make_path(&builder, (device, name), &path).await;
    let Some(made) = parts.keep(made) else { return };
    if let Err(error) = graph.enter_path(device, with, made, &path) {
        parts.fault(&KeyPath::from_iter(["devices", device, "paths", name]), error);
    }
}

async fn listener(
    parts: &mut Parts<'_>,
    graph: &Graph,
    index: usize,
    route: &RouteConfig,
) -> Option<Listener> {
    let config = &parts.loaded.config;
    let key = KeyPath::from_iter(["routes"]).index(index);
    let at = StackAt {
        uri_key: key.key("listen"),
        role: Role::Server,
        ..StackAt::client(key.clone(), &route.listen, &route.options)
    };
    let builder = graph.builder(&parts.loaded.sources, parts.programs);
    let stack = builder.stack(&at).await;
    let stack = parts.keep(stack);
    let (to, options) = (key.key("to"), Options::default());
    if let Reference::Handler(name) = &route.to {
        takes(parts, graph, &to, stack.as_ref(), name);
    }
    let destination = graph.resolve(&builder, &to, &route.to, &options, route.observe).await;
    let destination = parts.keep(destination);
    let max = config.host.max_connections;
    Some(Listener {
        name: route.listen.to_string().into(),
        stack: stack?,
        service: Service::Route(Route {
            name: route.to.to_string().into(),
            destination: destination?,
            hash: route.hash.clone(),
            relay: relay_options(config, route),
            sse: route.sse,
            abort_on_close: route.abort_on_close.unwrap_or(true),
        }),
        handshake_timeout: config.host.timeouts.handshake.0,
        max_connections: route.max_connections.unwrap_or(max) as usize,
    })
}

/// All handlers with their options, whether or not a route uses them.
async fn handlers(
    parts: &mut Parts<'_>,
    graph: &Graph,
    config: &Config,
) -> BTreeMap<String, Arc<Prepared>> {
    let mut made = BTreeMap::new();
    for (name, handler) in &config.handlers {
        let key = KeyPath::from_iter(["handlers", name]);
        let plugin_name = handler.handler.as_deref().unwrap_or(name);
        let prepared = parts.handler(&graph.registry, &key, plugin_name, &handler.options).await;
        made.extend(prepared.map(|prepared| (name.clone(), Arc::new(prepared))));
    }
    made
}

/// A handler gets a listener's sessions as they are: where they can have none of the facets that it takes,
/// the route can never work.
fn takes(parts: &mut Parts<'_>, graph: &Graph, key: &KeyPath, stack: Option<&Stack>, name: &str) {
    let Some(config) = parts.loaded.config.handlers.get(name) else { return };
    let plugin_name = config.handler.as_deref().unwrap_or(name);
    let top = stack.and_then(Stack::top);
    // What is missing has mistakes of its own.
    let (Some(top), Ok(handler)) = (top, graph.registry.handler(plugin_name)) else { return };
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
    parts.fault(key, Error::new(ErrorKind::Config, text));
}

fn relay_options(config: &Config, route: &RouteConfig) -> RelayOptions {
    let host = &config.host;
    let set = |limit: Duration| (!limit.is_zero()).then_some(limit);
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    RelayOptions {
        idle_timeout: set(route.idle_timeout.unwrap_or(host.timeouts.idle).0),
        half_close_timeout: set(route.half_close_timeout.unwrap_or(host.timeouts.half_close).0),
        drain_timeout: route.drain_timeout.unwrap_or(host.timeouts.drain).0,
        buffer: size(host.limits.relay_buffer.0),
        max_message: size(host.limits.max_message.0),
        frames: match route.frames {
            Frames::Binary => MessageKind::BINARY,
            Frames::Text | Frames::TextOrBinary => MessageKind::TEXT,
        },
        invalid_text: match route.frames {
            Frames::TextOrBinary => InvalidText::Binary,
            _ => InvalidText::Replace,
        },
        ..RelayOptions::default()
    }
}
