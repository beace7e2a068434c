//! Upstreams, each from its table of the configuration.

use super::build::connect_limit;
use super::graph::Graph;
use super::parts::Parts;
use super::target_builder::check_call_timeouts;
use crate::config::model::UpstreamConfig;
use crate::config::{Config, KeyPath};
use crate::connection::Target;
use crate::connection::{PooledLimit, shares};
use crate::upstream::{Spec, Upstream, UpstreamOptions};
use jackfield_plugin_api::{Error, ErrorKind};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// All of them; those with mistakes are left out, and the mistakes remembered.
pub(super) async fn upstreams(
    parts: &mut Parts<'_>,
    graph: &Graph,
    config: &Config,
) -> BTreeMap<String, Arc<Upstream>> {
    let mut made = BTreeMap::new();
    let pooled = PooledLimit::new(config.host.limits.pooled);
    for (name, upstream) in &config.upstreams {
        let key = KeyPath::from_iter(["upstreams", name.as_str()]);
        let targets = targets(parts, graph, &key, upstream).await;
        if targets.len() < upstream.targets.len() || !share_fits(parts, &key, upstream, &targets) {
            continue;
        }
        let first = targets.first().filter(|_| upstream.interceptors.is_empty());
        let checked = first.map_or(Ok(()), |spec| {
            check_call_timeouts(&key, &upstream.options.call_timeouts, spec.target.stack())
        });
        if parts.keep(checked).is_none() {
            continue;
        }
        let options = options(config, upstream);
        match Upstream::within(name, targets, options, Some(pooled.clone())) {
            Ok(upstream) => {
                made.insert(name.clone(), Arc::new(upstream));
            }
            Err(error) => parts.fault(&key.key("targets"), error),
        }
    }
    made
}

/// Only where sessions open streams can several callers share one.
fn share_fits(
    parts: &mut Parts<'_>,
    key: &KeyPath,
    upstream: &UpstreamConfig,
    targets: &[Spec<Target>],
) -> bool {
    let Some(pool) = upstream.options.pool.as_ref().filter(|pool| pool.share > 1) else {
        return true;
    };
    let alone = targets.iter().find(|spec| !shares(&spec.target));
    if let Some(spec) = alone {
        let driver = spec.target.stack().top().map_or("its carrier", |driver| driver.name());
        let text = format!(
            "expected 1, not {}: sessions of {driver} ({}) carry one conversation each",
            pool.share, spec.name
        );
        parts.fault(&key.key("pool").key("share"), Error::new(ErrorKind::Config, text));
    }
    alone.is_none()
}

async fn targets(
    parts: &mut Parts<'_>,
    graph: &Graph,
    key: &KeyPath,
    upstream: &UpstreamConfig,
) -> Vec<Spec<Target>> {
    let mut made = Vec::new();
    let mut names = HashSet::new();
    let builder = graph.builder(&parts.loaded.sources, parts.programs);
    for (index, config) in upstream.targets.iter().enumerate() {
        let key = key.key("targets").index(index);
        let target = graph.make_target(&builder, &key, config, &upstream.interceptors).await;
        let Some(target) = parts.keep(target) else { continue };
        made.push(spec(unique(config, &mut names), target, config));
    }
    made
}

/// A target as its upstream takes it.
pub(super) fn spec<T>(name: String, target: T, config: &crate::config::Target) -> Spec<T> {
    Spec {
        name,
        target,
        weight: config.weight.into(),
        priority: config.priority.into(),
        max_connections: config.max_connections,
        labels: config.labels.clone(),
    }
}

/// A target's URI and what it goes via, or what it names.
pub(super) fn name_of(config: &crate::config::Target) -> String {
    match (&config.to, &config.via) {
        (Some(to), _) => to.to_string(),
        (None, Some(via)) => format!("{} via {via}", config.uri),
        (None, None) => config.uri.to_string(),
    }
}

/// A target's name; where several have the same, as with different options, they are numbered.
fn unique(config: &crate::config::Target, names: &mut HashSet<String>) -> String {
    let name = name_of(config);
    let numbered = (2..).map(|number| format!("{name} #{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
    let name = free.unwrap_or(name);
    names.insert(name.clone());
    name
}

/// How it serves, within the limits of the host.
fn options(config: &Config, upstream: &UpstreamConfig) -> UpstreamOptions {
    let options = upstream.options.clone();
    let connect_timeout = options.connect_timeout.or_else(|| Some(connect_limit(config)));
    UpstreamOptions { connect_timeout, ..options }
}
