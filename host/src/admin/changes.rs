//! The verbs on targets and leases.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::config::model::UpstreamConfig;
use crate::config::{TargetConfig, from_json};
use hyper::StatusCode;
use jackfield_plugin_api::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightBody {
    weight: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EnableBody {
    weight: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BreakBody {
    reason: Option<String>,
}

/// The target that the path of a request names, as it is now.
fn target(request: &AdminRequest) -> Result<Value, ApiProblem> {
    let (upstream, name) = (request.param("upstream"), request.param("name"));
    let snapshot = request.api.manager.upstream(upstream)?.snapshot();
    let found = snapshot.targets.into_iter().find(|target| target.name == name);
    let Some(found) = found else {
        let text = format!("upstream {upstream:?} has no target {name:?}");
        return Err(Error::new(ErrorKind::NotFound, text).into());
    };
    let mut body = json!(found);
    body["upstream"] = json!(upstream);
    Ok(body)
}

/// `PUT /v1/targets/{upstream}`.
pub(super) async fn add_target(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let upstream = request.param("upstream");
    // Read as a file would be, so that every mistake has its place.
    let one = json!({ "targets": [request.body] });
    let read: UpstreamConfig = from_json(one)?;
    let target: Option<TargetConfig> = read.targets.into_iter().next();
    let target = target.ok_or_else(|| ApiProblem::bad_request("expected a target as the body"))?;
    let name = request.api.manager.add_target(upstream, target).await?;
    Ok(Reply::Json(StatusCode::OK, json!({ "upstream": upstream, "name": name })))
}

/// `DELETE /v1/targets/{upstream}/{name}`.
pub(super) async fn remove_target(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (upstream, name) = (request.param("upstream"), request.param("name"));
    request.api.manager.remove_target(upstream, name)?;
    request.api.weights.take(upstream, name);
    Ok(Reply::ok(json!({ "upstream": upstream, "name": name, "removed": true })))
}

/// `PUT /v1/targets/{upstream}/{name}/weight`.
pub(super) async fn weigh(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let WeightBody { weight } = request.body_as()?;
    let (upstream, name) = (request.param("upstream"), request.param("name"));
    request.api.manager.weigh_target(upstream, name, weight)?;
    request.api.weights.take(upstream, name);
    Ok(Reply::ok(target(&request)?))
}

/// `PUT /v1/targets/{upstream}/{name}/drain`.
pub(super) async fn drain(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wait = request.wait()?;
    let (upstream, name) = (request.param("upstream"), request.param("name"));
    let before = target(&request)?;
    let weight = before["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok());
    request.api.weights.note(upstream, name, weight.unwrap_or_default());
    let left = request.api.manager.drain_target(upstream, name, wait).await?;
    let mut body = target(&request)?;
    body["done"] = json!(left == 0);
    Ok(Reply::ok(body))
}

/// `PUT /v1/targets/{upstream}/{name}/enable`.
pub(super) async fn enable(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let EnableBody { weight } = request.body_as()?;
    let (upstream, name) = (request.param("upstream"), request.param("name"));
    let now = target(&request)?;
    let noted = request.api.weights.take(upstream, name);
    let is_drained = now["weight"] == 0;
    if let Some(weight) = weight.or(noted.filter(|_| is_drained)).or(is_drained.then_some(1)) {
        request.api.manager.weigh_target(upstream, name, weight)?;
    }
    Ok(Reply::ok(target(&request)?))
}

/// `PUT /v1/leases/{name}/break`.
pub(super) async fn break_lease(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let BreakBody { reason } = request.body_as()?;
    let name = request.param("name");
    let name = name.strip_prefix("devices.").unwrap_or(name);
    let to = crate::config::DevicePath::from_name(name);
    let path = request.api.manager.device(&to.device)?.path(to.path.as_deref())?;
    let Some(lease) = path.lease() else {
        let text = format!("{name} is no exclusive path: it has no lease");
        return Err(Error::new(ErrorKind::Config, text).into());
    };
    let by = request.peer.name();
    let reason = reason.unwrap_or_else(|| format!("broken by {by}"));
    let broken = lease.break_off(&reason);
    Ok(Reply::ok(json!({ "name": name, "broken": broken, "lease": lease.snapshot() })))
}
