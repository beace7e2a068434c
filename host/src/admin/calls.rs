//! Operations on what runs: by the name of a connection, path or upstream, or on one connection that lives.

use super::nouns::living;
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use super::roles::AdminRole;
use crate::config::Reference;
use crate::nearest::did_you_mean;
use crate::route::Destination;
use crate::units::Timespan;
use hyper::StatusCode;
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The most that one call may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is to be run.
struct WantedCall {
    operation: String,
    params: Value,
    timeout: Option<Duration>,
}

impl WantedCall {
    /// Read by hand: the words of a parser could hold parameters, which may be secret.
    fn of(body: &Value, more: &[&str]) -> Result<Self, ApiProblem> {
        let wrong = |key: &str, expected: &str| {
            ApiProblem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "config",
                format!("/{key}: {expected}"),
            )
            .at(format!("/{key}"))
        };
        let known = ["operation", "params", "timeout"];
        let all = || known.iter().chain(more).copied();
        for key in body.as_object().into_iter().flat_map(Map::keys) {
            if !all().any(|known| known == key) {
                let near = did_you_mean(key, all());
                return Err(wrong(key, "there is no such key").near(near));
            }
        }
        let operation = body["operation"].as_str();
        let operation =
            operation.ok_or_else(|| wrong("operation", "expected the name of an operation"))?;
        let params = match &body["params"] {
            Value::Null => json!({}),
            params @ Value::Object(_) => params.clone(),
            _ => return Err(wrong("params", "expected an object")),
        };
        let timeout = match &body["timeout"] {
            Value::Null => None,
            text => {
                let parsed = text.as_str().and_then(|text| text.parse::<Timespan>().ok());
                let time = parsed.filter(|time| !time.is_zero() && time.0 <= LONGEST);
                let expected =
                    "expected a duration of more than \"0s\" and at most \"1h\", such as \"30s\"";
                Some(time.ok_or_else(|| wrong("timeout", expected))?.0)
            }
        };
        Ok(WantedCall { operation: operation.to_owned(), params, timeout })
    }
}

/// What a text names, for somebody with that role.
pub(super) async fn destination(
    request: &AdminRequest,
    to: &str,
) -> Result<Destination, ApiProblem> {
    let parsed: Reference = to.parse().map_err(|error| {
        let text = format!("to: {error}");
        ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", text).at("/to")
    })?;
    if matches!(parsed, Reference::Uri(_)) && request.peer.role != Some(AdminRole::Admin) {
        let text = "a call to a URI takes admin: it connects the host to a place of the caller's";
        return Err(ApiProblem::forbidden(text));
    }
    Ok(request.api.manager.destination(&parsed, &Map::new()).await?)
}

/// `GET /v1/operations?to=…`.
pub(super) async fn operations(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let Some(to) = request.asked("to") else {
        let expected = "expected connections.NAME, devices.NAME.PATH or upstreams.NAME";
        return Err(ApiProblem::of_parameter("to", expected));
    };
    let destination = destination(&request, to).await?;
    Ok(Reply::ok(json!({ "to": to, "operations": destination.operations() })))
}

/// `POST /v1/call`.
pub(super) async fn call(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wanted = WantedCall::of(&request.body, &["to"])?;
    let to = request.body["to"].as_str().unwrap_or_default();
    let destination = destination(&request, to).await?;
    if destination.operation(&wanted.operation).is_none() {
        let known = destination.operations();
        let names = || known.iter().map(|operation| operation.name.as_str());
        let near = did_you_mean(&wanted.operation, names());
        let text = format!("/operation: expected one of {}", names().collect::<Vec<_>>().join(" "));
        let problem = ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", text);
        return Err(problem.at("/operation").near(near));
    }
    let result = match wanted.timeout {
        Some(limit) => destination.call_within(limit, &wanted.operation, &wanted.params).await?,
        None => destination.call(&wanted.operation, &wanted.params).await?,
    };
    if let (Destination::Connection(managed), true) = (&destination, to.contains(':')) {
        // The session of a URI is nobody else's.
        if let Some(live) = managed.last() {
            live.close(0, "").await;
        }
    }
    Ok(Reply::ok(json!({ "result": result })))
}

/// `POST /v1/connections/{name}/call`.
pub(super) async fn call_live(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let wanted = WantedCall::of(&request.body, &[])?;
    let live = living(&request.api.manager, request.param("name"));
    let live = match live {
        Ok(live) => live,
        // A named one is opened for it.
        Err(error) if error.kind() == ErrorKind::Closed => {
            request.api.manager.connection(request.param("name")).await?.live()
        }
        Err(error) => return Err(error.into()),
    };
    let result = match wanted.timeout {
        Some(limit) => live.call_within(limit, &wanted.operation, &wanted.params).await,
        None => live.call(&wanted.operation, &wanted.params).await,
    };
    let result = result.map_err(|error: Error| error.with("connection", live.id))?;
    Ok(Reply::ok(json!({ "result": result })))
}
