//! From a configuration to a graph and its listeners: whole, or not at all.

use super::define::policy;
use super::graph::Graph;
use super::parts::{Parts, StackAt};
use super::plugins::Plugins;
use super::table::Named;
use super::upstreams::upstreams;
use crate::config::model::{Frames, RouteConfig};
use crate::config::{Config, ConfigErrors, Destination, KeyPath, Loaded};
use crate::connection::{Lives, Managed};
use crate::listener::Listener;
use crate::relay::RelayOptions;
use crate::route::{self, Route};
use crate::upstream::Upstream;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Error, ErrorKind, MessageKind, Role};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Listeners by the number of their route.
pub(super) type Planned = Vec<(usize, Listener)>;

/// Builds everything, and remembers every mistake.
pub(super) async fn build(
    plugins: Plugins,
    loaded: &Loaded,
) -> Result<(Arc<Graph>, Planned), ConfigErrors> {
    let Plugins { registry, opener } = plugins;
    let mut parts =
        Parts { loaded, registry: &registry, connections: BTreeMap::new(), errors: Vec::new() };
    let config = &loaded.config;
    let lives = Lives::new(config.host.max_connections as usize);
    connections(&mut parts, config, &lives).await;
    let upstreams = upstreams(&mut parts, config).await;
    let mut planned = Planned::new();
    for (index, route) in config.routes.iter().enumerate() {
        let listener = listener(&mut parts, index, route, &upstreams).await;
        planned.extend(listener.map(|listener| (index, listener)));
    }
    unused_handlers(&mut parts, config).await;
    let Parts { errors, connections, .. } = parts;
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
    let graph = Arc::new(Graph { registry, named, upstreams, connect_limit });
    let weak = Arc::downgrade(&graph);
    // Set once: the lock was made for this graph.
    let _ = opener.set(Arc::new(move |uri, options| open_for_plugin(weak.clone(), uri, options)));
    Ok((graph, planned))
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

/// Named connections, those that carry others first. That there is no cycle was checked before.
async fn connections(parts: &mut Parts<'_>, config: &Config, lives: &Arc<Lives>) {
    let mut waiting: Vec<&String> = config.connections.keys().collect();
    while !waiting.is_empty() {
        let (now, later): (Vec<&String>, Vec<&String>) = waiting.iter().partition(|name| {
            let via = config.connections.get(**name).and_then(|connection| connection.via.as_ref());
            via.is_none_or(|via| !waiting.contains(&&via.0))
        });
        if now.is_empty() {
            break;
        }
        for name in now {
            let Some(connection) = config.connections.get(name) else { continue };
            let key = KeyPath::from_iter(["connections", name.as_str()]);
            let at = StackAt {
                uri_key: key.key("uri"),
                key,
                uri: &connection.uri,
                options: &connection.options,
                role: Role::Client,
                via: connection.via.as_ref(),
            };
            if let Some(target) = parts.target(&at).await.map(Arc::new) {
                let policy = policy(connect_limit(config), connection);
                let (labels, lives) = (connection.labels.clone(), Arc::clone(lives));
                let managed = Managed::counted(name, target, policy, labels, lives);
                parts.connections.insert(name.clone(), Arc::new(managed));
            }
        }
        waiting = later;
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
        Destination::Handler(name) => handler(parts, name).await,
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
            };
            let target = parts.target(&at).await.map(Arc::new);
            target.map(|target| route::Destination::Target(target, limit))
        }
    };
    let max = config.host.max_connections;
    Some(Listener {
        name: route.listen.to_string().into(),
        stack: stack?,
        route: Route {
            name: route.to.to_string().into(),
            destination: destination?,
            hash: route.hash.clone(),
            relay: relay_options(config, route),
        },
        handshake_timeout: config.host.timeouts.handshake.0,
        max_connections: route.max_connections.unwrap_or(max) as usize,
    })
}

async fn handler(parts: &mut Parts<'_>, name: &str) -> Option<route::Destination> {
    let handler = parts.loaded.config.handlers.get(name)?;
    let key = KeyPath::from_iter(["handlers", name]);
    let plugin_name = handler.handler.as_deref().unwrap_or(name);
    parts.handler(&key, plugin_name, &handler.options).await.map(route::Destination::Handler)
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
