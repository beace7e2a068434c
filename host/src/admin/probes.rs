//! Whether targets answer, and why a connection is as it is.

use super::calls::destination;
use super::nouns::living;
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::probe::probe_many;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// Time for each target, unless the query says otherwise.
const USUAL: Duration = Duration::from_secs(10);

/// Names in one request.
const MOST: usize = 100;

/// Probes at a time.
const PARALLEL: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeBody {
    /// What `connect` takes.
    to: Vec<String>,
}

/// `POST /v1/probe`.
pub(super) async fn probe(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let within = request.time("within", USUAL)?;
    let ProbeBody { to } = request.body_as()?;
    if !(1..=MOST).contains(&to.len()) || within.is_zero() {
        let text = format!("expected 1 to {MOST} names in `to`, and more than 0s in `within`");
        return Err(ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", text).at("/to"));
    }
    let mut targets = Vec::new();
    for name in &to {
        targets.extend(destination(&request, name).await?.targets(name));
    }
    let found = probe_many(targets, PARALLEL, within).await;
    let ok = found.iter().all(|probed| probed.ok);
    Ok(Reply::ok(json!({ "ok": ok, "items": found })))
}

/// `GET /v1/connections/{name}/diagnosis`.
pub(super) async fn diagnosis(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let diagnosis = living(&request.api.manager, request.param("name"))?.diagnose();
    let mut body = json!(diagnosis);
    let text = diagnosis.to_string();
    body["lines"] = json!(text.lines().collect::<Vec<_>>());
    Ok(Reply::ok(body))
}
