//! The configuration: read again, with what that changes, and taken back to a version before.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::nearest::did_you_mean;
use crate::reload::{ReloadCause, ReloadError, Reloader, Report};
use hyper::StatusCode;
use jackfield_plugin_api::Error;
use serde_json::json;

fn reloader(request: &AdminRequest) -> Result<&Reloader, ApiProblem> {
    let none = || {
        Error::unsupported("reading the configuration again: this host was not made of files")
            .into()
    };
    request.api.reloader.as_ref().ok_or_else(none)
}

/// The version of the configuration that a request holds for; `None`: it holds for any.
fn version_wanted(request: &AdminRequest) -> Result<Option<u64>, ApiProblem> {
    let Some(tags) = &request.if_match else { return Ok(None) };
    let number = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse::<u64>().ok();
    match &tags[..] {
        [any] if any == "*" => Ok(None),
        [one] if number(one).is_some() => Ok(number(one)),
        _ => {
            let text = "expected if-match with one version of the configuration, such as \"3\"";
            Err(ApiProblem::new(StatusCode::PRECONDITION_FAILED, "changed", text))
        }
    }
}

/// `POST /v1/config/reload`.
pub(super) async fn reload(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let dry_run = request.flag("dry_run")?;
    let wanted = version_wanted(&request)?;
    Ok(shown(&reloader(&request)?.reload_if(wanted, ReloadCause::Call, dry_run).await?))
}

/// `GET /v1/config/history`.
pub(super) async fn history(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let versions = reloader(&request)?.history().await;
    Ok(Reply::ok(json!({ "items": versions })))
}

/// `POST /v1/config/rollback/{version}`.
pub(super) async fn rollback(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let text = request.param("version");
    let number = text.parse().map_err(|_| {
        ApiProblem::bad_request(format!("version: expected its number, found {text:?}"))
    })?;
    let dry_run = request.flag("dry_run")?;
    let wanted = version_wanted(&request)?;
    Ok(shown(&reloader(&request)?.rollback_if(wanted, number, dry_run).await?))
}

/// `GET /v1/config/runtime`.
pub(super) async fn runtime(request: AdminRequest) -> Result<Reply, ApiProblem> {
    Ok(Reply::ok(json!(request.api.manager.run_time_layer())))
}

/// `DELETE /v1/config/runtime`.
pub(super) async fn reset(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let manager = &request.api.manager;
    let dropped = manager.run_time_layer().drift;
    let again = manager.reset_run_time_layer().await?;
    if let Some(reloader) = request.api.reloader.as_ref().filter(|_| !again.is_empty()) {
        reloader.restore(again).await?;
    }
    let left = manager.run_time_layer();
    Ok(Reply::ok(json!({ "dropped": dropped, "left": left.drift })))
}

/// A report, with the lines that the log has of it.
fn shown(report: &Report) -> Reply {
    let mut body = json!(report);
    let plugins = report.plugins.iter().cloned();
    let lines: Vec<String> =
        plugins.chain(report.changes.iter().map(ToString::to_string)).collect();
    body["lines"] = json!(lines);
    Reply::ok(body)
}

impl From<ReloadError> for ApiProblem {
    fn from(error: ReloadError) -> Self {
        let detail = error.to_string();
        match error {
            ReloadError::Config(_) => {
                ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", detail)
            }
            ReloadError::NoVersion { number, known } => {
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                let near = did_you_mean(&number.to_string(), known.iter().map(String::as_str))
                    .map(str::to_owned);
                ApiProblem::not_found(detail).near(near.as_deref())
            }
            ReloadError::OtherVersion { .. } => {
                ApiProblem::new(StatusCode::PRECONDITION_FAILED, "changed", detail)
            }
            ReloadError::Failed(_) => {
                ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "other", detail)
            }
        }
    }
}
