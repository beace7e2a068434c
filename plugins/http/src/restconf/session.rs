//! The session: each operation is a request below the root of the API.

use super::discovery::{HOST_META, USUAL_ROOT, root_in};
use super::failure::failure;
use super::options::Form;
use crate::call::{Params, asked, run};
use crate::client::Client;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Facets, Info, Operation, Result, Session, params,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// What sessions have.
pub(super) const FACETS: Facets = Facets::CALL.union(Facets::PING).union(Facets::DRAIN);

/// The longest `host-meta` that is looked at.
const MAX_META: usize = 64 * 1024;

/// Parameters of what reads or removes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct At {
    /// Below the root, with keys percent-encoded: `/data/ietf-interfaces:interfaces/interface=eth0`.
    #[serde(default = "data")]
    path: String,
    /// `content`, `depth`, `fields`, `with-defaults` and others (RFC 8040 §4.8).
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Only if the entity tag of the resource is still this one.
    #[serde(default)]
    if_match: Option<String>,
    /// In which form data is; not set: as the option says.
    #[serde(default)]
    format: Option<Form>,
}

fn data() -> String {
    "/data".to_owned()
}

/// Parameters of what sends data.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// Below the root, with keys percent-encoded.
    #[serde(default = "data")]
    path: String,
    /// The data: JSON (RFC 7951) or, where the form is `xml`, a text.
    data: Value,
    /// `insert`, `point` (RFC 8040 §4.8).
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// Only if the entity tag of the resource is still this one.
    #[serde(default)]
    if_match: Option<String>,
    /// In which form data is; not set: as the option says.
    #[serde(default)]
    format: Option<Form>,
}

/// Parameters of `operations`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Invoke {
    /// The operation, as in `example-ops:reboot`. Not set: those that there are, are listed.
    #[serde(default)]
    path: Option<String>,
    /// Its input, as in `{ "example-ops:input": { … } }`.
    #[serde(default)]
    data: Option<Value>,
    /// In which form data is; not set: as the option says.
    #[serde(default)]
    format: Option<Form>,
}

/// Result of each operation.
#[derive(Debug, Serialize, JsonSchema)]
struct Outcome {
    /// The status of HTTP.
    status: u16,
    /// The data as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// The data as XML.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// The entity tag of the resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// Where what was made is.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<At, Outcome>("get", "Gets data"),
        Operation::new::<With, Outcome>("put", "Creates or replaces data"),
        Operation::new::<With, Outcome>("post", "Creates data"),
        Operation::new::<With, Outcome>("patch", "Merges data"),
        Operation::new::<At, Outcome>("delete", "Deletes data"),
        Operation::new::<Invoke, Outcome>(
            "operations",
            "Runs an operation of the server, or lists them",
        ),
    ]
}

/// A connection to a server, and where its API is. Without a root the server is asked for it when it is needed.
pub(super) struct RestconfControl {
    pub(super) client: Arc<Client>,
    root: OnceCell<String>,
    pub(super) format: Form,
}

/// One request as it is meant, and in which form its data is.
pub(super) struct Asks {
    method: &'static str,
    path: String,
    query: BTreeMap<String, Value>,
    if_match: Option<String>,
    data: Option<Value>,
    form: Form,
}

impl RestconfControl {
    pub(super) fn new(client: Arc<Client>, root: Option<String>, format: Form) -> Self {
        RestconfControl { client, root: OnceCell::new_with(root), format }
    }

    /// A session whose operations are requests.
    pub(super) fn session(self) -> Session {
        Session::builder(self).facets(FACETS).build()
    }

    /// The same within `call_timeout`.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.client.endpoint.calls.timeout;
        self.client.host.timeout(limit, "the call", work).await
    }

    pub(super) fn asks(&self, operation: &str, given: Value) -> Result<Asks> {
        let read = |method, At { path, query, if_match, format }: At| {
            let form = format.unwrap_or(self.format);
            Asks { method, path, query, if_match, data: None, form }
        };
        let with = |method, With { path, data, query, if_match, format }: With| {
            let form = format.unwrap_or(self.format);
            Asks { method, path, query, if_match, data: Some(data), form }
        };
        Ok(match operation {
            "get" => read("get", params(given)?),
            "delete" => read("delete", params(given)?),
            "put" => with("put", params(given)?),
            "post" => with("post", params(given)?),
            "patch" => with("patch", params(given)?),
            "operations" => {
                let Invoke { path, data, format } = params(given)?;
                let method = if path.is_some() { "post" } else { "get" };
                let below = path.map(|path| format!("/{}", path.trim_start_matches('/')));
                let path = format!("/operations{}", below.unwrap_or_default());
                let form = format.unwrap_or(self.format);
                Asks { method, path, query: BTreeMap::new(), if_match: None, data, form }
            }
            _ => return Err(Error::unsupported(&format!("operation {operation:?}"))),
        })
    }

    /// The root of the API.
    async fn root(&self) -> Result<&str> {
        let find = || async {
            let accept = BTreeMap::from([("accept".to_owned(), "application/xrd+xml".to_owned())]);
            let given =
                Params { path: Some(HOST_META.to_owned()), headers: accept, ..Params::default() };
            let answer = run(&self.client, asked("get", given, "/")?).await?;
            let body = answer.body.unwrap_or_default();
            match answer.status {
                200 if body.len() <= MAX_META => root_in(&body).ok_or_else(|| {
                    let text = "the server's host-meta names no root of RESTCONF";
                    Error::new(ErrorKind::Protocol, text).with("hint", "the option root says it")
                }),
                404 => Ok(USUAL_ROOT.to_owned()),
                status => Err(failure(status, &body).with("path", HOST_META)),
            }
        };
        self.root.get_or_try_init(find).await.map(String::as_str)
    }

    pub(super) async fn ask(&self, asks: Asks) -> Result<Value> {
        let media = asks.form.media_type();
        let mut headers = BTreeMap::from([("accept".to_owned(), media.to_owned())]);
        if let Some(tag) = asks.if_match {
            headers.insert("if-match".to_owned(), tag);
        }
        let body = match (asks.data, asks.form) {
            (None, _) => None,
            (Some(Value::String(text)), _) => Some(text),
            (Some(value), Form::Json) => Some(value.to_string()),
            (Some(_), Form::Xml) => {
                let text = "expected a text with XML, as the form is xml";
                return Err(Error::new(ErrorKind::Config, text).with("parameter", "data"));
            }
        };
        if body.is_some() {
            headers.insert("content-type".to_owned(), media.to_owned());
        }
        let path = format!("{}/{}", self.root().await?, asks.path.trim_start_matches('/'));
        let given =
            Params { path: Some(path), query: asks.query, headers, body, ..Params::default() };
        let answer = run(&self.client, asked(asks.method, given, "/")?).await?;
        let body = answer.body.unwrap_or_default();
        if !(200..300).contains(&answer.status) {
            return Err(failure(answer.status, &body).with("at", answer.path));
        }
        let field =
            |name: &str| answer.headers.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_json = field("content-type").is_some_and(|kind| kind.contains("json"));
        let mut outcome = Outcome {
            status: answer.status,
            data: None,
            output: None,
            etag: field("etag"),
            location: field("location"),
        };
        if is_json && !body.is_empty() {
            let data = serde_json::from_str(&body).map_err(|error| {
                Error::new(ErrorKind::Protocol, format!("the server's JSON is none: {error}"))
            })?;
            outcome.data = Some(data);
        } else if !body.is_empty() {
            outcome.output = Some(body);
        }
        serde_json::to_value(outcome)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }
}

impl Control for RestconfControl {
    fn info(&self) -> Info {
        let info = self.client.info.clone();
        match self.root.get() {
            Some(root) => info.with("root", json!(root)),
            None => info,
        }
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        let asks = self.asks(&operation, params)?;
        self.within(self.ask(asks)).await
    }

    /// The root itself; any answer below 500 is one.
    async fn ping(&self) -> Result<Duration> {
        let begun = self.client.host.now();
        let given = Params { path: Some(format!("{}/", self.root().await?)), ..Params::default() };
        let answer = run(&self.client, asked("head", given, "/")?).await?;
        if answer.status >= 500 {
            return Err(failure(answer.status, ""));
        }
        Ok(self.client.host.now().saturating_sub(begun))
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.client.end();
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.client.drain().await;
        Ok(())
    }
}
