//! The host as a whole: whether it runs, whether it is ready, how many there are of each thing.

use super::metrics;
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::manager::Manager;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

const PLAIN: &str = "text/plain; charset=utf-8";

/// `GET /healthz`.
pub(super) async fn healthy(_: AdminRequest) -> Result<Reply, ApiProblem> {
    Ok(Reply::Text(StatusCode::OK, PLAIN, "ok\n".to_owned()))
}

/// `GET /readyz`.
pub(super) async fn ready(request: AdminRequest) -> Result<Reply, ApiProblem> {
    Ok(if request.api.is_stopping() {
        Reply::Text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "stopping\n".to_owned())
    } else {
        Reply::Text(StatusCode::OK, PLAIN, "ready\n".to_owned())
    })
}

/// `GET /metrics`.
pub(super) async fn metrics(request: AdminRequest) -> Result<Reply, ApiProblem> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let names: Vec<&str> = request
        .query
        .iter()
        .filter(|(key, _)| key == "name[]" || key == "name")
        .map(|(_, name)| name.as_str())
        .collect();
    Ok(Reply::Text(StatusCode::OK, OPEN_METRICS, metrics::text(&request.api, &names)))
}

/// How many there are by each state.
fn by_state<'a>(states: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    counts
}

fn counts(manager: &Manager) -> Value {
    let plugins = manager.plugins();
    let upstreams: Vec<_> = manager.upstreams().iter().map(|it| it.snapshot()).collect();
    let targets = upstreams.iter().flat_map(|upstream| &upstream.targets);
    let (mut held, mut waiting, mut exclusive) = (0, 0, 0);
    let devices = manager.devices().all();
    for path in devices.iter().flat_map(|device| device.paths()) {
        let Some(lease) = path.lease().map(|lease| lease.snapshot()) else { continue };
        exclusive += 1;
        held += usize::from(lease.holder.is_some());
        waiting += lease.waiters.len();
    }
    let lives = manager.count();
    json!({
        "connections": {
            "now": lives.now, "accepted": lives.accepted, "max": lives.max, "most": lives.most,
            "total": lives.total, "accepted_total": lives.accepted_total,
            "states": manager.states(), "defined": manager.defined(),
        },
        "listeners": manager.listeners().len(),
        "upstreams": upstreams.len(),
        "targets": by_state(targets.map(|target| target.state)),
        "devices": devices.len(),
        "leases": { "paths": exclusive, "held": held, "waiting": waiting },
        "handlers": manager.handler_snapshots().len(),
        "drivers": manager.registry().drivers().count(),
        "plugins": by_state(plugins.iter().map(|plugin| plugin.state)),
    })
}

/// `GET /v1/status`.
pub(super) async fn status(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let api = &request.api;
    let mut body = counts(&api.manager);
    let started_at = api.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    body["version"] = json!(env!("CARGO_PKG_VERSION"));
    body["pid"] = json!(std::process::id());
    body["boot"] = json!(api.boot);
    body["started_at"] = json!(u64::try_from(started_at.as_millis()).unwrap_or(u64::MAX));
    let uptime = api.started.elapsed();
    body["uptime_ms"] = json!(u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX));
    body["state"] = json!(if api.is_stopping() { "stopping" } else { "ready" });
    body["you"] = json!(request.peer);
    Ok(Reply::ok(body))
}
