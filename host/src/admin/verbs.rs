//! The verbs on connections and paths of devices. All may be repeated: what is closed already is closed.

use super::nouns::living;
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::connection::Live;
use jackfield_plugin_api::ErrorKind;
use jackfield_timers::timeout;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How long what runs in a connection that drains may take, unless the query says otherwise.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a peer may take to answer a ping.
const PING: Duration = Duration::from_secs(5);

/// Why something is closed.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CloseBody {
    /// The protocol's own code, where it has one; 0 is normal.
    code: u64,
    /// Told to the peer where the protocol can.
    reason: String,
}

impl Default for CloseBody {
    fn default() -> Self {
        CloseBody { code: 0, reason: "closed by an operator".to_owned() }
    }
}

fn state(live: &Live) -> Value {
    json!({ "id": live.id, "name": &*live.name, "state": live.state().as_str() })
}

/// Begins to end a connection, and waits for its end at most for `wait`.
async fn end<F>(live: Arc<Live>, wait: Duration, ending: F) -> Reply
where
    F: Future<Output = ()> + Send + 'static,
{
    // It goes on when nobody waits for it any more.
    let ending = tokio::spawn(ending);
    if !wait.is_zero() {
        let _ = timeout(wait, ending).await;
    }
    let mut body = state(&live);
    body["done"] = json!(live.state().is_final());
    Reply::ok(body)
}

/// The connection that a verb is for; `None` for one that is defined and does not live.
fn wanted(request: &AdminRequest) -> Result<Option<Arc<Live>>, ApiProblem> {
    match living(&request.api.manager, request.param("name")) {
        Ok(live) => Ok(Some(live)),
        Err(error) if error.kind() == ErrorKind::Closed => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn closed_already(request: &AdminRequest) -> Reply {
    let name = request.param("name");
    Reply::ok(json!({ "id": null, "name": name, "state": "disconnected", "done": true }))
}

/// `PUT /v1/connections/{name}/close`.
pub(super) async fn close(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (wait, body) = (request.wait()?, request.body_as::<CloseBody>()?);
    let Some(live) = wanted(&request)? else { return Ok(closed_already(&request)) };
    let closing = Arc::clone(&live);
    Ok(end(live, wait, async move { closing.close(body.code, &body.reason).await }).await)
}

/// `PUT /v1/connections/{name}/drain`.
pub(super) async fn drain(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (wait, within) = (request.wait()?, request.time("within", DRAIN)?);
    let Some(live) = wanted(&request)? else { return Ok(closed_already(&request)) };
    let draining = Arc::clone(&live);
    Ok(end(live, wait, async move { draining.drain(within).await }).await)
}

/// `PUT /v1/connections/{name}/connect`.
pub(super) async fn connect(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wait = request.wait()?;
    let managed = request.api.manager.connection(request.param("name")).await?;
    let live = managed.live();
    if !wait.is_zero() {
        live.wait_ready(wait).await?;
    }
    Ok(Reply::ok(state(&live)))
}

/// `POST /v1/connections/{name}/ping`.
pub(super) async fn ping(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let within = request.time("within", PING)?;
    let live = living(&request.api.manager, request.param("name"))?;
    if live.is_accepted() {
        // The session of one that a route serves is with that route.
        live.wait_ready(Duration::ZERO).await?;
    }
    let health = live.check(within).await;
    let mut body = json!(health);
    body["id"] = json!(live.id);
    body["name"] = json!(&*live.name);
    Ok(Reply::ok(body))
}

/// `PUT /v1/devices/{name}/paths/{path}/connect`.
pub(super) async fn connect_path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wait = request.wait()?;
    let device = request.api.manager.device(request.param("name"))?;
    let live = device.path(Some(request.param("path")))?.managed().live();
    if !wait.is_zero() {
        live.wait_ready(wait).await?;
    }
    Ok(Reply::ok(state(&live)))
}

/// `PUT /v1/devices/{name}/paths/{path}/close`.
pub(super) async fn close_path(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let body = request.body_as::<CloseBody>()?;
    let device = request.api.manager.device(request.param("name"))?;
    let was_connected = device.disconnect(Some(request.param("path")), &body.reason).await?;
    Ok(Reply::ok(json!({ "was_connected": was_connected })))
}
