//! [`AdminRequest`]: a request that was read whole, and [`Reply`], what it comes to.

use super::events::EventFeed;
use super::problem::ApiProblem;
use super::roles::AdminPeer;
use super::server::AdminApi;
use crate::units::Timespan;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The longest that a request may wait for something.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What a request comes to.
pub(super) enum Reply {
    /// A document.
    Json(StatusCode, Value),
    /// A text of that type.
    Text(StatusCode, &'static str, String),
    /// Events, until the reader goes or the host ends.
    Events(Box<EventFeed>),
    /// The connection is a WebSocket from now on, for who knows this answer to its key.
    Switch(String),
}

impl Reply {
    /// It is done.
    pub(super) fn ok(body: Value) -> Self {
        Reply::Json(StatusCode::OK, body)
    }
}

/// What makes a WebSocket of the connection of a request.
pub(super) struct Switch {
    pub(super) upgrade: OnUpgrade,
    /// The answer to the client's key.
    pub(super) accept: String,
}

impl Switch {
    /// The switch that a request asks for, if it is one to a WebSocket (RFC 6455, 4.2.1).
    pub(super) fn of(request: &mut Request<Incoming>) -> Option<Self> {
        let has = |name: HeaderName, word: &str| {
            let fields = request.headers().get_all(name).into_iter();
            let texts = fields.filter_map(|field| field.to_str().ok());
            texts
                .flat_map(|text| text.split(','))
                .any(|part| part.trim().eq_ignore_ascii_case(word))
        };
        let is_asked = has(UPGRADE, "websocket")
            && has(CONNECTION, "upgrade")
            && has(SEC_WEBSOCKET_VERSION, "13");
        let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| is_asked)?;
        let accept = derive_accept_key(key.as_bytes());
        Some(Switch { upgrade: hyper::upgrade::on(request), accept })
    }
}

/// A request.
pub(super) struct AdminRequest {
    pub(super) api: Arc<AdminApi>,
    pub(super) peer: AdminPeer,
    /// What stands in the path for each `{name}` of its endpoint.
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    /// Null without a body.
    pub(super) body: Value,
    pub(super) last_event: Option<String>,
    /// The tags that it holds for; `None`: it holds in any case.
    pub(super) if_match: Option<Vec<String>>,
    /// If it asks for a WebSocket.
    pub(super) switch: Option<Switch>,
}

impl AdminRequest {
    /// What stands in the path for `{name}`.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What the query says for `name`.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number of the query between 1 and `most`.
    pub(super) fn number(
        &self,
        name: &str,
        usual: usize,
        most: usize,
    ) -> Result<usize, ApiProblem> {
        let Some(text) = self.asked(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| {
            let expected = format!("expected a whole number from 1 to {most}, found {text:?}");
            ApiProblem::of_parameter(name, expected)
        })
    }

    /// A duration of the query, ten minutes at most.
    pub(super) fn time(&self, name: &str, usual: Duration) -> Result<Duration, ApiProblem> {
        let Some(text) = self.asked(name) else { return Ok(usual) };
        let time: Timespan = text.parse().map_err(|error| ApiProblem::of_parameter(name, error))?;
        if time.0 > LONGEST_WAIT {
            let expected = format!("expected at most {}, found {text:?}", Timespan(LONGEST_WAIT));
            return Err(ApiProblem::of_parameter(name, expected));
        }
        Ok(time.0)
    }

    /// How long the answer may wait for what it is about. Default: not at all.
    pub(super) fn wait(&self) -> Result<Duration, ApiProblem> {
        self.time("wait", Duration::ZERO)
    }

    /// Whether the query says `name`, or `name=true`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiProblem> {
        match self.asked(name) {
            Some("" | "true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(other) => {
                let expected = format!("expected true or false, found {other:?}");
                Err(ApiProblem::of_parameter(name, expected))
            }
        }
    }

    /// The body as a struct; a missing one is an empty object.
    pub(super) fn body_as<T: DeserializeOwned>(&self) -> Result<T, ApiProblem> {
        let body = match &self.body {
            Value::Null => Value::Object(Map::new()),
            body => body.clone(),
        };
        serde_path_to_error::deserialize(&body).map_err(|error| {
            let at: String = error.path().iter().map(|key| format!("/{key}")).collect();
            ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", error.inner().to_string())
                .at(at)
        })
    }
}

/// The body of what holds for a time.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ForBody {
    #[serde(rename = "for")]
    within: Option<String>,
}

impl ForBody {
    /// For how long: `usual` where nothing is said, and no longer than `longest`.
    pub(super) fn time(&self, usual: Duration, longest: Duration) -> Result<Duration, ApiProblem> {
        let Some(text) = &self.within else { return Ok(usual) };
        let time = text.parse().ok().filter(|time: &Timespan| !time.is_zero() && time.0 <= longest);
        time.map(|time| time.0).ok_or_else(|| {
            let most = Timespan(longest);
            let text = format!(
                "/for: expected a duration of more than \"0s\" and at most \"{most}\", such as \"10m\""
            );
            ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "config", text).at("/for")
        })
    }
}

/// One part of a path as it was meant.
///
/// # Errors
/// What is no text of UTF-8, or has characters that no name has.
pub(super) fn segment(text: &str) -> Result<String, ApiProblem> {
    let wrong = || {
        ApiProblem::bad_request("path: expected percent-encoded UTF-8 without control characters")
    };
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| wrong())?;
    if decoded.chars().any(char::is_control) { Err(wrong()) } else { Ok(decoded.into_owned()) }
}
