//! Operations: one request with its answer as JSON, for people and scripts.

use crate::client::Client;
use crate::decode::{Coding, codings, decode};
use crate::head::Origin;
use crate::redirect::{Next, next};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures_util::StreamExt;
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Error, ErrorKind, HeaderBlock, Operation, Result,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// Parameters of every operation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Params {
    /// The method; of `request` only.
    pub(crate) method: Option<String>,
    /// The path, with or without a query; without it that of the address.
    pub(crate) path: Option<String>,
    /// Pairs that are added to the query.
    pub(crate) query: BTreeMap<String, Value>,
    /// Fields of the request.
    pub(crate) headers: BTreeMap<String, String>,
    /// Content as text.
    pub(crate) body: Option<String>,
    /// Content as base64.
    pub(crate) body_base64: Option<String>,
    /// Content as JSON.
    pub(crate) json: Option<Value>,
    /// Seconds for the whole call.
    pub(crate) timeout: Option<f64>,
    /// Redirects to follow within the same origin.
    pub(crate) redirects: Option<u32>,
}

/// The result of every operation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Fields by name; of a repeated one, a list.
    pub(crate) headers: BTreeMap<String, Value>,
    /// Content that is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// Content that is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// Fields after the content.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trailers: BTreeMap<String, Value>,
    /// Which path was asked for last.
    pub(crate) path: String,
    /// How many redirects were followed.
    redirects: u32,
    /// Milliseconds from the first request to the last byte.
    duration_ms: f64,
}

const METHODS: [(&str, &str); 7] = [
    ("get", "Get a resource"),
    ("head", "Get the header fields of a resource"),
    ("post", "Send content to be processed"),
    ("put", "Create or replace a resource"),
    ("patch", "Change a resource in part"),
    ("delete", "Delete a resource"),
    ("options", "Ask which methods a resource has"),
];

pub(crate) fn operations() -> Vec<Operation> {
    let request = ("request", "Send a request of any method");
    METHODS
        .into_iter()
        .chain([request])
        .map(|(name, summary)| Operation::new::<Params, Answer>(name, summary))
        .collect()
}

/// One request, ready to be sent more than once.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    fields: Vec<(String, String)>,
    pub(crate) content: Option<Bytes>,
    /// Whether the content is JSON, as far as no field says another type.
    is_json: bool,
    redirects: Option<u32>,
}

/// What parameters ask for.
pub(crate) fn asked(operation: &str, params: Params, target: &str) -> Result<Asked> {
    let bad = |text: &str| Error::new(ErrorKind::Config, text);
    if operation != "request" && !METHODS.iter().any(|(name, _)| *name == operation) {
        return Err(Error::unsupported(&format!("operation {operation:?}")));
    }
    let method = match (operation, params.method) {
        ("request", Some(method)) => method.to_uppercase(),
        ("request", None) => return Err(bad("the operation request needs a method")),
        (_, Some(_)) => return Err(bad("method is a parameter of request only")),
        (name, None) => name.to_uppercase(),
    };
    if method == "CONNECT" {
        return Err(bad("CONNECT gives a connection; dial makes one"));
    }
    let fields: Vec<_> = params.headers.into_iter().collect();
    let is_json = params.json.is_some();
    let content = match (params.body, params.body_base64, params.json) {
        (None, None, None) => None,
        (Some(text), None, None) => Some(Bytes::from(text)),
        (None, Some(text), None) => Some(Bytes::from(
            BASE64.decode(text.as_bytes()).map_err(|_| bad("body_base64 is not base64"))?,
        )),
        (None, None, Some(json)) => Some(Bytes::from(json.to_string())),
        _ => return Err(bad("body, body_base64 and json exclude each other")),
    };
    let path = with_query(params.path.as_deref().unwrap_or(target), &params.query)?;
    Ok(Asked { method, path, fields, content, is_json, redirects: params.redirects })
}

/// All but what never needs it (RFC 3986 §2.3): `start-time` stays as servers know it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn with_query(path: &str, query: &BTreeMap<String, Value>) -> Result<String> {
    if path != "*" && !path.starts_with('/') {
        let text = "path must start with a slash";
        return Err(Error::new(ErrorKind::Config, text).with("path", path));
    }
    let mut path = path.to_owned();
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    for (name, value) in query {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = match value {
                Value::String(text) => encode(text),
                other => encode(&other.to_string()),
            };
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{}={text}", encode(name)));
        }
    }
    Ok(path)
}

/// Sends it, follows redirects, and gives the last answer, with how many were followed.
pub(crate) async fn reach(client: &Arc<Client>, asked: &mut Asked) -> Result<(Envelope, u32)> {
    let most = asked.redirects.unwrap_or(client.endpoint.calls.redirects);
    let mut followed = 0;
    loop {
        let place = url(client, &asked.path);
        let answer = client.exchange(asked.envelope(client, place.as_ref())?).await?;
        if let (Some(cookies), Some(url)) = (&client.endpoint.cookies, &place) {
            cookies.take(&answer.head, url);
        }
        let status = status_of(&answer.head);
        if most > 0
            && let Some(location) = answer.head.get("location")
            && let Next::Follow { path, as_get } =
                next(status, location, &asked.method, &asked.path, &client.origin)?
        {
            if followed == most {
                let text = format!("more than {most} redirects");
                return Err(Error::new(ErrorKind::Limit, text).with("path", &asked.path));
            }
            followed += 1;
            // Read to its end, so that the connection can be used again.
            collect(client, answer.body).await?;
            asked.path = path;
            if as_get {
                asked.turn_into_get();
            }
            continue;
        }
        return Ok((answer, followed));
    }
}

/// Sends it, follows redirects, and collects the answer.
pub(crate) async fn run(client: &Arc<Client>, mut asked: Asked) -> Result<Answer> {
    let start = client.host.now();
    let (answer, redirects) = reach(client, &mut asked).await?;
    let (content, trailers) = collect(client, answer.body).await?;
    let content = decoded(client, &answer.head, content, &asked.method).await?;
    let taken = client.host.now().saturating_sub(start);
    let mut result = Answer {
        status: status_of(&answer.head),
        headers: by_name(&answer.head),
        body: None,
        body_base64: None,
        trailers: by_name(&trailers),
        path: asked.path,
        redirects,
        duration_ms: taken.as_secs_f64() * 1000.0,
    };
    match String::from_utf8(content) {
        Ok(text) => result.body = Some(text),
        Err(error) => result.body_base64 = Some(BASE64.encode(error.as_bytes())),
    }
    Ok(result)
}

impl Asked {
    fn envelope(&self, client: &Client, url: Option<&Url>) -> Result<Envelope> {
        let mut fields = vec![(":method", self.method.as_str()), (":path", self.path.as_str())];
        fields.extend(self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let given = |name: &str| self.fields.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        let cookie = match (&client.endpoint.cookies, url) {
            (Some(cookies), Some(url)) if !given("cookie") => cookies.of(url),
            _ => None,
        };
        // What the options say of every request is added to it later, where it does not say it itself.
        let own = |name: &str| client.endpoint.headers.iter().any(|(it, _)| it == name);
        let has = |name: &str| given(name) || own(name);
        fields.extend(cookie.as_ref().map(|cookie| ("cookie", cookie.expose())));
        if client.endpoint.calls.decompress && !has("accept-encoding") {
            fields.push(("accept-encoding", "gzip, br, zstd"));
        }
        if self.is_json && !has("content-type") {
            fields.push(("content-type", "application/json"));
        }
        if !has("accept") {
            fields.push(("accept", "*/*"));
        }
        if !has("user-agent") {
            fields.push(("user-agent", concat!("jackfield/", env!("CARGO_PKG_VERSION"))));
        }
        let body = self.content.clone().map_or_else(Body::empty, Body::full);
        Ok(Envelope::new(HeaderBlock::new(fields)?, body))
    }

    fn turn_into_get(&mut self) {
        "GET".clone_into(&mut self.method);
        (self.content, self.is_json) = (None, false);
        self.fields.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
    }
}

/// The place that cookies are for; there is none for `*`.
fn url(client: &Client, path: &str) -> Option<Url> {
    let Origin { scheme, authority } = &client.origin;
    let place = path.starts_with('/').then(|| format!("{scheme}://{authority}{path}"))?;
    Url::parse(&place).ok()
}

pub(crate) fn status_of(head: &HeaderBlock) -> u16 {
    let text = head.get(":status").map(String::from_utf8_lossy).unwrap_or_default();
    text.parse().unwrap_or_default()
}

pub(crate) async fn collect(client: &Client, mut body: Body) -> Result<(Bytes, HeaderBlock)> {
    let mut content = BytesMut::new();
    let mut trailers = HeaderBlock::default();
    let most = client.endpoint.calls.max_body;
    while let Some(part) = body.next().await {
        match part? {
            BodyPart::Data(bytes) if content.len() + bytes.len() > most => {
                return Err(too_long(most));
            }
            BodyPart::Data(bytes) => content.extend_from_slice(&bytes),
            BodyPart::Trailers(fields) => trailers = fields,
        }
    }
    Ok((content.freeze(), trailers))
}

async fn decoded(
    client: &Client,
    head: &HeaderBlock,
    content: Bytes,
    method: &str,
) -> Result<Vec<u8>> {
    let most = client.endpoint.calls.max_body;
    let found: Vec<Coding> = match head.get("content-encoding") {
        Some(names) if client.endpoint.calls.decompress && method != "HEAD" => codings(names),
        _ => Vec::new(),
    };
    if found.is_empty() || content.is_empty() {
        return Ok(content.into());
    }
    // Much may come out of little.
    client.host.blocking(move || decode(&content, &found, most)).await?
}

pub(crate) fn too_long(most: usize) -> Error {
    Error::new(ErrorKind::Limit, format!("the content is longer than {most} bytes"))
        .with("option", "max_body")
}

fn by_name(head: &HeaderBlock) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in head.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let value = Value::String(String::from_utf8_lossy(value).into_owned());
        match found.entry(String::from_utf8_lossy(name).into_owned()).or_insert(Value::Null) {
            slot @ Value::Null => *slot = value,
            Value::Array(values) => values.push(value),
            slot => *slot = Value::Array(vec![slot.take(), value]),
        }
    }
    found
}
