//! [`Reply`]: the same answer to every request, or an account of it.

use crate::answering::{answer, answer_all, checked, text};
use bytes::BytesMut;
use data_encoding::BASE64;
use futures_util::StreamExt;
use hyper::StatusCode;
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Error, Facets, Handler, HandlerInfo, HeaderBlock, Host, Result,
    Secret, Session,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Options of `reply`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplyOptions {
    /// The status, 200 to 599.
    pub status: u16,
    /// Fields of the answer, by name.
    pub headers: BTreeMap<String, Secret>,
    /// Content as text.
    pub body: Option<String>,
    /// Content as JSON.
    pub json: Option<Value>,
    /// Answer with the request as JSON: method, path, fields and content.
    pub echo: bool,
    /// The longest content of a request that `echo` takes, in bytes.
    pub max_body: u32,
}

impl Default for ReplyOptions {
    fn default() -> Self {
        ReplyOptions {
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            json: None,
            echo: false,
            max_body: 1 << 20,
        }
    }
}

/// Answers every request alike.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    fields: Vec<(String, Secret)>,
    /// `None`: the request itself.
    content: Option<String>,
    most: usize,
}

impl Handler for Reply {
    const INFO: HandlerInfo = HandlerInfo::new(
        "reply",
        "Answers every request with one answer, or with an account of it",
        Facets::EXCHANGE,
    );
    type Options = ReplyOptions;

    fn new(_host: Host, options: ReplyOptions) -> Result<Self> {
        let status = StatusCode::from_u16(options.status).ok();
        let status = status
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or_else(|| Error::option("status", "must be 200 to 599"))?;
        let mut fields = checked(&options.headers)?;
        let (content, kind) = match (options.body, options.json, options.echo) {
            (None, Some(json), false) => (Some(json.to_string()), "application/json"),
            (body, None, false) => (Some(body.unwrap_or_default()), "text/plain; charset=utf-8"),
            (None, None, true) => (None, "application/json"),
            _ => return Err(Error::option("body", "and `json` and `echo` exclude each other")),
        };
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            fields.push(("content-type".to_owned(), kind.to_owned()));
        }
        let fields = fields.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let most = usize::try_from(options.max_body).unwrap_or(usize::MAX);
        Ok(Reply { status, fields, content, most })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        answer_all(session, |request| self.answer(request)).await
    }
}

impl Reply {
    async fn answer(&self, request: Envelope) -> Result<Envelope> {
        let content = match &self.content {
            Some(content) => content.clone(),
            None => match account(request, self.most).await? {
                Some(account) => account.to_string(),
                None => return text(StatusCode::PAYLOAD_TOO_LARGE, "the content is too long"),
            },
        };
        let fields = self.fields.iter().map(|(name, value)| (name, value.expose()));
        answer(self.status, fields, Body::full(content))
    }
}

/// The request as JSON; `None` if its content is too long.
async fn account(mut request: Envelope, most: usize) -> Result<Option<Value>> {
    let mut content = BytesMut::new();
    while let Some(part) = request.body.next().await {
        if let BodyPart::Data(bytes) = part? {
            if content.len() + bytes.len() > most {
                return Ok(None);
            }
            content.extend_from_slice(&bytes);
        }
    }
    let text = |name: &str| request.head.get(name).map(String::from_utf8_lossy);
    let mut account = json!({
        "method": text(":method"),
        "path": text(":path"),
        "authority": text(":authority"),
        "headers": fields(&request.head),
    });
    match std::str::from_utf8(&content) {
        Ok(body) => account["body"] = body.into(),
        Err(_) => account["body_base64"] = BASE64.encode(&content).into(),
    }
    Ok(Some(account))
}

fn fields(head: &HeaderBlock) -> Vec<[String; 2]> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.iter()
        .filter(|(name, _)| !name.starts_with(b":"))
        .map(|(name, value)| [shown(name), shown(value)])
        .collect()
}
