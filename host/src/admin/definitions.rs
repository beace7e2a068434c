//! Definitions at run time: each body is what a file says of that thing, and is read as strictly.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::config::diff::{ObjectId, ObjectKind};
use crate::config::from_json;
use crate::config::model::ConnectionConfig;
use crate::manager::{Existing, Removal, RunningListener};
use crate::stack::uri::StackUri;
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

fn existing(request: &AdminRequest) -> Result<Existing, ApiProblem> {
    Ok(if request.flag("replace")? { Existing::Replace } else { Existing::Refuse })
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
    request.api.manager.define_connection(name, config, existing(&request)?).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/connections/{name}`.
pub(super) async fn no_connection(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let name = request.param("name");
    request.api.manager.unregister(name, politely(&request)).await?;
    Ok(done(&request, "removed"))
}

/// Defines an object as the body says, which is what a file says of it.
async fn defined(
    request: &AdminRequest,
    object: &ObjectId,
) -> Result<Option<RunningListener>, ApiProblem> {
    if !request.body.is_object() {
        return Err(ApiProblem::bad_request("expected a JSON object as the body"));
    }
    let (manager, body) = (&request.api.manager, request.body.clone());
    Ok(manager.define_written(object, body, existing(request)?).await?)
}

/// Removes an object.
async fn removed(request: &AdminRequest, object: &ObjectId) -> Result<(), ApiProblem> {
    let wait = request.wait()?;
    let wait = request.asked("wait").map(|_| wait);
    Ok(request.api.manager.remove_written(object, politely(request), wait).await?)
}

fn object(request: &AdminRequest, kind: ObjectKind) -> ObjectId {
    ObjectId::new(kind, request.param("name"))
}

/// `PUT /v1/devices/{name}`.
pub(super) async fn device(request: AdminRequest) -> Result<Reply, ApiProblem> {
    defined(&request, &object(&request, ObjectKind::Device)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/devices/{name}`.
pub(super) async fn no_device(request: AdminRequest) -> Result<Reply, ApiProblem> {
    removed(&request, &object(&request, ObjectKind::Device)).await?;
    Ok(done(&request, "removed"))
}

/// The path that a request names, by the own name of its device.
fn path_object(request: &AdminRequest) -> Result<ObjectId, ApiProblem> {
    let device = request.api.manager.device(request.param("name"))?;
    Ok(ObjectId::path(device.name(), request.param("path")))
}

/// `PUT /v1/devices/{name}/paths/{path}`.
pub(super) async fn path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    defined(&request, &path_object(&request)?).await?;
    let (device, path) = (request.param("name"), request.param("path"));
    Ok(Reply::ok(json!({ "name": device, "path": path, "defined": true })))
}

/// `DELETE /v1/devices/{name}/paths/{path}`.
pub(super) async fn no_path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    removed(&request, &path_object(&request)?).await?;
    let (device, path) = (request.param("name"), request.param("path"));
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
    defined(&request, &object(&request, ObjectKind::Upstream)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/upstreams/{name}`.
pub(super) async fn no_upstream(request: AdminRequest) -> Result<Reply, ApiProblem> {
    removed(&request, &object(&request, ObjectKind::Upstream)).await?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/handlers/{name}`.
pub(super) async fn handler(request: AdminRequest) -> Result<Reply, ApiProblem> {
    defined(&request, &object(&request, ObjectKind::Handler)).await?;
    Ok(done(&request, "defined"))
}

/// `DELETE /v1/handlers/{name}`.
pub(super) async fn no_handler(request: AdminRequest) -> Result<Reply, ApiProblem> {
    removed(&request, &object(&request, ObjectKind::Handler)).await?;
    Ok(done(&request, "removed"))
}

/// `PUT /v1/routes`.
pub(super) async fn route(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let listen = request.body["listen"].as_str().unwrap_or_default();
    let listen = listen.parse().map_or_else(|_| listen.to_owned(), |uri: StackUri| uri.to_string());
    let running = defined(&request, &ObjectId::new(ObjectKind::Route, listen)).await?;
    let Some(running) = running else { return Ok(done(&request, "defined")) };
    let (name, local, to) = (running.name(), running.local(), running.leads_to());
    Ok(Reply::ok(json!({ "name": name, "local": local, "to": &*to, "defined": true })))
}

/// `DELETE /v1/routes/{name}` and `DELETE /v1/listeners/{name}`.
pub(super) async fn no_listener(request: AdminRequest) -> Result<Reply, ApiProblem> {
    removed(&request, &object(&request, ObjectKind::Route)).await?;
    Ok(done(&request, "removed"))
}
