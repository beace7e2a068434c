//! Requests that hold only for what somebody has seen: `ETag` and `If-Match` (RFC 9110, 8.8.3 and 13.1.1).
//!
//! Each definition has a number that is another one after each change of it, and so has everything that was changed at
//! run time; the configuration as a whole has its version. A tag is such a number with the name of this run of the host,
//! so that none means anything after a restart. Changes of one object that are asked for here are done one after the
//! other, so that none comes between the look and the change.

use super::endpoints::Endpoint;
use super::problem::ApiProblem;
use super::server::AdminApi;
use crate::lock::IgnorePoison;
use hyper::StatusCode;
use hyper::header::{HeaderMap, IF_MATCH};
use jackfield_timers::timeout;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// What of a host has a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    /// A definition, as `upstreams.NAME`.
    Object(String),
    /// All that was changed at run time.
    RunTime,
    /// The version of the configuration in force.
    Configuration,
}

/// The kinds of what the tables of endpoints have under these names.
const KINDS: [(&str, &str); 8] = [
    ("connections", "connections"),
    ("devices", "devices"),
    ("upstreams", "upstreams"),
    ("targets", "upstreams"),
    ("pools", "upstreams"),
    ("handlers", "handlers"),
    ("routes", "routes"),
    ("listeners", "routes"),
];

impl Tagged {
    /// What an endpoint is about, if that has a tag: by what stands in the path, and in the body of one that adds a
    /// route.
    pub(super) fn of(
        endpoint: &Endpoint,
        params: &[(String, String)],
        body: &Value,
    ) -> Option<Self> {
        if !Self::has_tag(endpoint) {
            return None;
        }
        let param = |name: &str| {
            params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        match endpoint.path {
            "/v1/config/runtime" => return Some(Tagged::RunTime),
            path if path.starts_with("/v1/config/") => return Some(Tagged::Configuration),
            "/v1/routes" => {
                return Some(Tagged::Object(format!("routes.{}", body["listen"].as_str()?)));
            }
            _ => {}
        }
        let noun = endpoint.path.split('/').nth(2)?;
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == noun)?;
        let name = param("upstream").or(param("name"))?;
        let path = param("path").map(|path| format!(".{path}")).unwrap_or_default();
        Some(Tagged::Object(format!("{kind}.{name}{path}")))
    }

    /// Whether an endpoint shows or changes something that has a tag.
    pub(super) fn has_tag(endpoint: &Endpoint) -> bool {
        let path = endpoint.path;
        let noun = path.split('/').nth(2).unwrap_or_default();
        let is_definition = KINDS.iter().any(|(known, _)| *known == noun) && path.contains('{');
        match endpoint.method {
            "GET" => {
                // What is shown beside definitions changes by itself.
                (is_definition && !path.ends_with("/diagnosis") && !path.ends_with("/stream"))
                    || path.starts_with("/v1/config/")
            }
            "PUT" | "DELETE" => {
                let is_verb =
                    ["/connect", "/close", "/drain"].iter().any(|verb| path.ends_with(verb))
                        && !path.starts_with("/v1/targets/");
                (is_definition && !is_verb) || path == "/v1/routes" || path == "/v1/config/runtime"
            }
            _ => path.starts_with("/v1/config/"),
        }
    }

    /// Its tag now, with its quotes; `None` if there is no such thing.
    pub(super) async fn tag(&self, api: &AdminApi) -> Option<String> {
        let boot = &api.boot;
        match self {
            Tagged::Object(what) => {
                let number = api.manager.revision(what)?;
                Some(format!("\"{boot}-{number}\""))
            }
            Tagged::RunTime => Some(format!("\"{boot}-{}\"", api.manager.last_revision())),
            Tagged::Configuration => {
                let version = api.reloader.as_ref()?.version().await;
                Some(format!("\"{version}\""))
            }
        }
    }
}

/// The tags that a request holds for; `None` if it holds in any case.
pub(super) fn if_match(headers: &HeaderMap) -> Option<Vec<String>> {
    let fields: Vec<_> = headers.get_all(IF_MATCH).iter().collect();
    if fields.is_empty() {
        return None;
    }
    let texts = fields.into_iter().filter_map(|field| field.to_str().ok());
    Some(texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect())
}

/// # Errors
/// 412 if none of the tags of a request is `now`.
pub(super) fn judge(wanted: &[String], now: Option<&str>) -> Result<(), ApiProblem> {
    let holds = |tag: &str| wanted.iter().any(|wanted| wanted == "*" || wanted == tag);
    if now.is_some_and(holds) {
        return Ok(());
    }
    let text = match now {
        Some(now) => format!(
            "expected if-match with the tag of what is there now, {now}: it has changed since"
        ),
        None => "expected what if-match names, and it is not there".to_owned(),
    };
    Err(ApiProblem::new(StatusCode::PRECONDITION_FAILED, "changed", text))
}

/// The turns of changes, by what they change.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn<()>>>>);

impl Turns {
    /// The turn of a change of `what`, until the answer is dropped.
    ///
    /// # Errors
    /// 409 if another change takes longer than `limit`.
    pub(super) async fn take(
        &self,
        what: &str,
        limit: Duration,
    ) -> Result<OwnedMutexGuard<()>, ApiProblem> {
        let turn = {
            let mut turns = self.0.lock().ignore_poison();
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(what).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                turns.insert(what.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        timeout(limit, turn.lock_owned()).await.map_err(|_| {
            let text = format!("another change of {what} is under way; ask again in a moment");
            ApiProblem::new(StatusCode::CONFLICT, "in_use", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::endpoints::ENDPOINTS;

    fn tagged(method: &str, path: &str, params: &[(&str, &str)]) -> Option<Tagged> {
        let found = ENDPOINTS.iter().find(|it| it.method == method && it.path == path).unwrap();
        let params: Vec<_> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Tagged::of(found, &params, &serde_json::json!({ "listen": "tcp://h:1" }))
    }

    #[test]
    fn definitions_have_tags_and_what_happens_by_itself_has_none() {
        let object = |what: &str| Some(Tagged::Object(what.to_owned()));
        let name = ("name", "a");
        assert_eq!(tagged("GET", "/v1/connections/{name}", &[name]), object("connections.a"));
        assert_eq!(tagged("PUT", "/v1/connections/{name}", &[name]), object("connections.a"));
        assert_eq!(tagged("DELETE", "/v1/listeners/{name}", &[name]), object("routes.a"));
        assert_eq!(tagged("PUT", "/v1/routes", &[]), object("routes.tcp://h:1"));
        let target = [("upstream", "u"), ("name", "t")];
        assert_eq!(
            tagged("PUT", "/v1/targets/{upstream}/{name}/weight", &target),
            object("upstreams.u")
        );
        let path = [("name", "d"), ("path", "p")];
        assert_eq!(tagged("PUT", "/v1/devices/{name}/paths/{path}", &path), object("devices.d.p"));
        assert_eq!(tagged("POST", "/v1/config/reload", &[]), Some(Tagged::Configuration));
        assert_eq!(tagged("DELETE", "/v1/config/runtime", &[]), Some(Tagged::RunTime));
        assert_eq!(tagged("PUT", "/v1/connections/{name}/close", &[name]), None);
        assert_eq!(tagged("GET", "/v1/events", &[]), None);
        assert_eq!(tagged("GET", "/v1/connections", &[]), None);
    }

    #[test]
    fn one_of_the_tags_that_is_the_one_of_now_is_enough() {
        let wanted = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, text.parse().unwrap());
            if_match(&headers).unwrap()
        };
        assert!(judge(&wanted("\"b-1\", \"b-2\""), Some("\"b-2\"")).is_ok());
        assert!(judge(&wanted("*"), Some("\"b-2\"")).is_ok());
        for other in ["\"b-1\"", "W/\"b-2\"", "b-2", ""] {
            let problem = judge(&wanted(other), Some("\"b-2\"")).unwrap_err();
            assert_eq!(problem.status, StatusCode::PRECONDITION_FAILED, "{other}");
        }
        assert!(judge(&wanted("*"), None).is_err());
        assert_eq!(if_match(&HeaderMap::new()), None);
    }
}
