//! The level of the log, changed for a time.

use super::log_levels::{LevelChange, LogLevels};
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use crate::nearest::did_you_mean;
use crate::units::Timespan;
use hyper::StatusCode;
use jackfield_plugin_api::Error;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How long a change lasts that does not say.
const USUAL: Duration = Duration::from_secs(600);

/// How long one lasts at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelBody {
    level: String,
    driver: Option<String>,
    #[serde(rename = "for")]
    within: Option<String>,
}

fn log(request: &AdminRequest) -> Result<&dyn LogLevels, ApiProblem> {
    let none = || {
        Error::unsupported("changing the log: the program that embeds this host has its own").into()
    };
    request.api.log.as_deref().ok_or_else(none)
}

fn wrong(key: &str, expected: &str) -> ApiProblem {
    let text = format!("/{key}: {expected}");
    ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", text).at(format!("/{key}"))
}

fn shown(log: &dyn LogLevels) -> Reply {
    let (level, changes) = log.levels();
    let changes = changes.into_iter().map(|(change, left_ms)| {
        let mut value = json!(change);
        value["left_ms"] = json!(left_ms);
        value
    });
    Reply::ok(json!({ "level": level, "changes": changes.collect::<Vec<_>>() }))
}

/// `GET /v1/log`.
pub(super) async fn levels(request: AdminRequest) -> Result<Reply, ApiProblem> {
    Ok(shown(log(&request)?))
}

/// `PUT /v1/log`.
pub(super) async fn change(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let log = log(&request)?;
    let LevelBody { level, driver, within } = request.body_as()?;
    if !LEVELS.contains(&level.as_str()) {
        let expected = format!("expected one of {}", LEVELS.join(", "));
        return Err(wrong("level", &expected).near(did_you_mean(&level, LEVELS.iter())));
    }
    if let Some(driver) = &driver {
        request.api.manager.registry().driver(driver)?;
    }
    let within = match within {
        None => USUAL,
        Some(text) => {
            let parsed: Timespan =
                text.parse().map_err(|error| wrong("for", &format!("{error}")))?;
            if parsed.is_zero() || parsed.0 > LONGEST {
                return Err(wrong("for", "expected more than \"0s\" and at most \"24h\""));
            }
            parsed.0
        }
    };
    let change = LevelChange { level, driver, within };
    log.change(&change)
        .map_err(|why| ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "other", why))?;
    let (user, level, driver) = (request.peer.name(), &change.level, change.driver.as_deref());
    tracing::info!(user, level, driver, ?within, "the level of the log was changed for a time");
    Ok(shown(log))
}
