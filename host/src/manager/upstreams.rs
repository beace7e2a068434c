//! Upstreams, each from its table of the configuration.

use super::build::connect_limit;
use super::define::limits;
use super::graph::Graph;
use super::parts::Parts;
use super::target_builder::check_call_timeouts;
use crate::config::model::UpstreamConfig;
use crate::config::{Config, KeyPath};
use crate::connection::Target;
use crate::connection::{PooledLimit, shares};
use crate::upstream::{CheckOptions, HealthOptions, RetryOptions, Spec};
use crate::upstream::{Upstream, UpstreamOptions};
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
            check_call_timeouts(&key, &upstream.call_timeouts, spec.target.stack())
        });
        if parts.keep(checked).is_none() {
            continue;
        }
        match Upstream::new(name, targets, options(config, upstream, &pooled)) {
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
    let Some(pool) = upstream.pool.as_ref().filter(|pool| pool.share > 1) else { return true };
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

fn options(config: &Config, upstream: &UpstreamConfig, pooled: &PooledLimit) -> UpstreamOptions {
    let health = upstream.health.clone().unwrap_or_default();
    let outlier = &upstream.outlier;
    UpstreamOptions {
        strategy: upstream.balance.0,
        connect_timeout: upstream.connect_timeout.map_or_else(|| connect_limit(config), |t| t.0),
        pool: upstream.pool.clone(),
        pooled: Some(pooled.clone()),
        keepalive: upstream.keepalive,
        health: HealthOptions {
            rise: health.rise,
            fall: health.fall,
            consecutive_failures: outlier.consecutive_failures,
            base_ejection: outlier.base_ejection.0,
            max_ejected_percent: outlier.max_ejected_percent,
            slow_start: upstream.slow_start.0,
        },
        checks: upstream
            .health
            .is_some()
            .then_some(CheckOptions { interval: health.interval.0, timeout: health.timeout.0 }),
        retry: RetryOptions {
            attempts: upstream.retry.attempts,
            budget_percent: upstream.retry.budget_percent,
        },
        call_timeout: upstream.call_timeout.0,
        call_timeouts: limits(&upstream.call_timeouts),
    }
}
