//! Definitions at run time: each body is what a file says of that thing, and is read as strictly.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::config::from_json;
use crate::config::model::{
    ConnectionConfig, DeviceConfig, HandlerConfig, PathConfig, RouteConfig, UpstreamConfig,
};
use crate::manager::{Existing, Removal};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What the body defines.
fn definition<T: DeserializeOwned + Default + JsonSchema>(
    request: &AdminRequest,
) -> Result<T, ApiProblem> {
    if !request.body.is_object() {
        return Err(ApiProblem::bad_request("expected a JSON object as the body"));
    }
    Ok(from_json(request.body.clone())?)
}

fn existing(request: &AdminRequest) -> Existing {
    if request.flag("replace") { Existing::Replace } else { Existing::Refuse }
}

fn politely(request: &AdminRequest) -> Removal {
    Removal::Close { code: 0, reason: format!("removed by {}", request.peer.name()) }
}

fn done(request: &AdminRequest, is: &str) -> Reply {
    let mut body = json!({ "name": request.param("name") });
    body[is] = Value::Bool(true);
    Reply::ok(body)
}

/// `PUT /v1/connections/{name}`.
pub(super) async fn connection(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: ConnectionConfig = definition(&request)?;
    let name = request.param("name");
    request.api.manager.define_connection(name, config, existing(&request)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/connections/{name}`.
pub(super) async fn no_connection(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let name = request.param("name");
    request.api.manager.unregister(name, politely(&request)).await?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/devices/{name}`.
pub(super) async fn device(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: DeviceConfig = definition(&request)?;
    request.api.manager.define_device(request.param("name"), config, existing(&request)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/devices/{name}`.
pub(super) async fn no_device(request: AdminRequest) -> Result<Reply, ApiProblem> {
    request.api.manager.remove_device(request.param("name"), politely(&request)).await?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/devices/{name}/paths/{path}`.
pub(super) async fn path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: PathConfig = definition(&request)?;
    let (device, path) = (request.param("name"), request.param("path"));
    request.api.manager.define_path(device, path, config, existing(&request)).await?;
    Ok(Reply::ok(json!({ "name": device, "path": path, "defined": true })))
}

/// `DELETE /v1/devices/{name}/paths/{path}`.
pub(super) async fn no_path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (device, path) = (request.param("name"), request.param("path"));
    request.api.manager.remove_path(device, path, politely(&request)).await?;
    Ok(Reply::ok(json!({ "name": device, "path": path, "removed": true })))
}

/// `PUT /v1/devices/{name}/aliases/{alias}`.
pub(super) async fn alias(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (device, alias) = (request.param("name"), request.param("alias"));
    let device = request.api.manager.device(device)?;
    if !device.aliases().iter().any(|known| known == alias) {
        request.api.manager.alias_device(device.name(), alias)?;
    }
    Ok(Reply::ok(json!({ "name": device.name(), "aliases": device.aliases() })))
}

/// `DELETE /v1/devices/{name}/aliases/{alias}`.
pub(super) async fn no_alias(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let device = request.api.manager.device(request.param("name"))?;
    request.api.manager.unalias_device(request.param("alias"))?;
    Ok(Reply::ok(json!({ "name": device.name(), "aliases": device.aliases() })))
}

/// `PUT /v1/upstreams/{name}`.
pub(super) async fn upstream(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: UpstreamConfig = definition(&request)?;
    request.api.manager.define_upstream(request.param("name"), config, existing(&request)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/upstreams/{name}`.
pub(super) async fn no_upstream(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wait = request.wait()?;
    request.api.manager.remove_upstream(request.param("name"), wait).await?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/handlers/{name}`.
pub(super) async fn handler(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: HandlerConfig = definition(&request)?;
    request.api.manager.define_handler(request.param("name"), config, existing(&request)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/handlers/{name}`.
pub(super) async fn no_handler(request: AdminRequest) -> Result<Reply, ApiProblem> {
    request.api.manager.remove_handler(request.param("name"))?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/routes`.
pub(super) async fn route(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let config: RouteConfig = definition(&request)?;
    let running = request.api.manager.add_route(config, existing(&request)).await?;
    let (name, local, to) = (running.name(), running.local(), running.leads_to());
    Ok(Reply::ok(json!({ "name": name, "local": local, "to": &*to, "defined": true })))
}

/// `DELETE /v1/routes/{name}` and `DELETE /v1/listeners/{name}`.
pub(super) async fn no_listener(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let closes = request.asked("wait").is_some();
    let wait = request.wait()?;
    let running = request.api.manager.listener(request.param("name"))?;
    if closes {
        running.close_within(wait).await;
    } else {
        running.stop().await;
    }
    Ok(done(&request, "removed"))
}
