//! [`ApiProblem`]: why a request is not answered as wished, in the form of RFC 9457.

use crate::config::ConfigErrors;
use crate::manager::WriteError;
use hyper::StatusCode;
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::{Value, json};
use std::fmt;

/// A request that is refused or has failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApiProblem {
    pub(super) status: StatusCode,
    /// The last part of its `type`.
    code: &'static str,
    detail: String,
    more: Box<ProblemDetails>,
}

/// What else is known of a problem.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ProblemDetails {
    /// Where in the body it is, as a JSON pointer.
    pointer: Option<String>,
    /// The parameter of the query that it is about.
    parameter: Option<String>,
    /// The nearest valid name.
    nearest: Option<String>,
    /// The methods that there are in place of the one that is not.
    allow: Option<String>,
    /// All mistakes, where there are several.
    errors: Vec<Value>,
}

impl ApiProblem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        ApiProblem { status, code, detail: detail.into(), more: Box::default() }
    }

    /// The methods that there are in place of the one that is not.
    pub(super) fn allow(&self) -> Option<&str> {
        self.more.allow.as_deref()
    }

    /// What was asked for cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        ApiProblem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// A parameter of the query is not as it should be.
    pub(super) fn of_parameter(name: &str, expected: impl fmt::Display) -> Self {
        let mut problem = ApiProblem::bad_request(format!("{name}: {expected}"));
        problem.more.parameter = Some(name.to_owned());
        problem
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        ApiProblem::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        ApiProblem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// There are as many as there may be, by the key `admin.KEY`.
    pub(super) fn full(what: &str, key: &str) -> Self {
        let detail = format!("there are as many {what} as admin.{key} allows; try again later");
        ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "limit", detail)
    }

    /// Where in the body it is.
    #[must_use]
    pub(super) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.more.pointer = Some(pointer.into());
        self
    }

    #[must_use]
    pub(super) fn near(mut self, nearest: Option<&str>) -> Self {
        self.more.nearest = nearest.map(str::to_owned);
        self
    }

    #[must_use]
    pub(super) fn allowing(mut self, methods: String) -> Self {
        self.more.allow = Some(methods);
        self
    }

    /// As it is sent.
    pub(super) fn to_json(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:jackfield:problem:{}", self.code),
            "title": self.code.replace('_', " "),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(pointer) = &self.more.pointer {
            body["pointer"] = json!(pointer);
        }
        if let Some(parameter) = &self.more.parameter {
            body["parameter"] = json!(parameter);
        }
        if let Some(nearest) = &self.more.nearest {
            body["nearest"] = json!(nearest);
        }
        if self.more.errors.len() > 1 {
            body["errors"] = json!(self.more.errors);
        }
        body
    }
}

/// The nearest name that the text of an error gives: `… (did you mean "NAME"?)`.
fn nearest(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("(did you mean \"")?;
    rest.split_once("\"?)").map(|(name, _)| name.to_owned())
}

impl From<Error> for ApiProblem {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Config | ErrorKind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::InUse | ErrorKind::Closed => StatusCode::CONFLICT,
            ErrorKind::Limit => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Other | ErrorKind::Io | ErrorKind::Panicked | ErrorKind::Cancelled => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_GATEWAY,
        };
        let detail = error.to_string();
        let nearest = nearest(&detail);
        ApiProblem::new(status, error.kind().as_str(), detail).near(nearest.as_deref())
    }
}

impl From<WriteError> for ApiProblem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Config(errors) => errors.into(),
            WriteError::Failed(error) => error.into(),
        }
    }
}

impl From<ConfigErrors> for ApiProblem {
    fn from(errors: ConfigErrors) -> Self {
        let pointer = |segments: &[String]| {
            let escaped = segments.iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
            escaped.fold(String::new(), |at, key| format!("{at}/{key}"))
        };
        let all: Vec<(String, String, Option<String>)> = errors
            .errors()
            .iter()
            .map(|error| {
                let at = pointer(error.key.segments());
                (at, error.message.clone(), error.suggestion.clone())
            })
            .collect();
        let (at, detail, nearest) = all.first().cloned().unwrap_or_default();
        let errors = all.into_iter().map(|(pointer, detail, nearest)| {
            json!({ "pointer": pointer, "detail": detail, "nearest": nearest })
        });
        let detail = if at.is_empty() { detail } else { format!("{at}: {detail}") };
        let mut problem = ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", detail);
        let errors = errors.collect();
        *problem.more =
            ProblemDetails { pointer: Some(at), nearest, errors, ..ProblemDetails::default() };
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{from_json, model::UpstreamConfig};

    #[test]
    fn an_error_that_knows_a_nearer_name_gives_it() {
        let text = "there is no upstream \"wep\" (did you mean \"web\"?)";
        let problem = ApiProblem::from(Error::new(ErrorKind::NotFound, text));
        assert_eq!(problem.status, StatusCode::NOT_FOUND);
        let body = problem.to_json();
        assert_eq!(body["nearest"], "web");
        assert_eq!(body["type"], "urn:jackfield:problem:not_found");
    }

    #[test]
    fn mistakes_in_a_body_have_a_pointer_each() {
        let wrong =
            json!({ "targets": [{ "uri": "tcp://h:1", "wieght": 2 }], "balanse": "random" });
        let problem = ApiProblem::from(from_json::<UpstreamConfig>(wrong).unwrap_err());
        let body = problem.to_json();
        assert_eq!(body["status"], 422, "{body}");
        let all = body["errors"].as_array().unwrap();
        let found = |at: &str, nearest: &str| {
            all.iter().any(|error| error["pointer"] == at && error["nearest"] == nearest)
        };
        assert!(found("/balanse", "balance") && found("/targets/0/wieght", "weight"), "{body}");
    }
}
