//! Series of each target, for a time, where there are more targets than `/metrics` has series of by itself.

use super::problem::ApiProblem;
use super::request::{AdminRequest, ForBody, Reply};
use crate::lock::IgnorePoison;
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long they are there when nothing is said.
const USUAL: Duration = Duration::from_secs(60);

/// How long they are there at most, unless they are asked for again.
const LONGEST: Duration = Duration::from_secs(3600);

/// Until when they are there in any case.
#[derive(Debug, Default)]
pub(super) struct TargetSeries(Mutex<Option<Instant>>);

impl TargetSeries {
    /// For how long they are there still; `None`: not beyond `admin.target_metrics`.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = (*self.0.lock().ignore_poison())?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    fn show(&self, within: Duration) {
        *self.0.lock().ignore_poison() = Some(Instant::now() + within);
    }
}

/// `GET /v1/metrics/targets`.
pub(super) async fn shown(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let api = &request.api;
    let upstreams = api.manager.upstreams();
    let targets: usize = upstreams.iter().map(|upstream| upstream.balancer().len()).sum();
    let (limit, left) = (api.settings().config.target_metrics, api.target_series.left());
    let is_shown = left.is_some() || targets <= limit as usize;
    let left = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    Ok(Reply::ok(json!({ "targets": targets, "limit": limit, "shown": is_shown, "left_ms": left })))
}

/// `PUT /v1/metrics/targets`.
pub(super) async fn show(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let within = request.body_as::<ForBody>()?.time(USUAL, LONGEST)?;
    request.api.target_series.show(within);
    shown(request).await
}
