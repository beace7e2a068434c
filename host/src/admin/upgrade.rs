//! A new process of the host takes over from this one.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use hyper::StatusCode;
use jackfield_plugin_api::Error;
use serde_json::json;
use std::pin::Pin;

/// Starts a new process that takes over from this one.
pub trait UpgradeControl: Send + Sync {
    /// Completes when the new process has taken over, with its number, or has failed, with why. Cancel safe: it is
    /// done all the same.
    fn upgrade(&self) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send>>;

    /// Whether one is under way: what is changed then would not be known to the new process.
    fn is_under_way(&self) -> bool;
}

/// `POST /v1/upgrade`.
pub(super) async fn upgrade(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let Some(control) = &request.api.upgrade else {
        return Err(Error::unsupported("a new process: the program of this host has none").into());
    };
    let before = std::process::id();
    match control.upgrade().await {
        Ok(pid) => Ok(Reply::ok(json!({ "pid": pid, "before": before }))),
        Err(why) => {
            let text = format!("no new process has taken over, and this one goes on: {why}");
            Err(ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_upgraded", text))
        }
    }
}
