//! The operations that any session with a byte stream has, beside its driver's own.

use super::execute::{Execute, Output};
use super::login::Login;
use super::matcher::Found;
use super::params::{Converse, Expect, HeardReply, Nothing, Send, SendExpectParams, Told};
use super::patterns::Patterns;
use super::rules::Rules;
use super::talk::Dialogue;
use crate::deadline::Deadline;
use jackfield_plugin_api::{Error, ErrorKind, Operation, Result, Session};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// All of them.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    OPERATIONS.get_or_init(|| {
        vec![
            Operation::new::<Send, Nothing>("send", "Sends a line"),
            Operation::new::<Expect, HeardReply>(
                "expect",
                "Waits until what is received matches a pattern",
            ),
            Operation::new::<SendExpectParams, HeardReply>(
                "send_expect",
                "Sends a line and waits until the answer matches a pattern",
            ),
            Operation::new::<Execute, Output>(
                "execute",
                "Runs a command behind a prompt, pagers included, and gives its output",
            ),
            Operation::new::<Converse, Told>("converse", "Answers what the peer sends, by rules"),
            Operation::new::<Login, Nothing>("login", "Answers prompts with credentials"),
        ]
    })
}

/// The operation of that name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    operations().iter().find(|operation| operation.name == name)
}

fn parse<T: DeserializeOwned>(params: &Value) -> Result<T> {
    let params = if params.is_null() { json!({}) } else { params.clone() };
    // The value that is wrong may be secret, and the parser's own words may show it.
    serde_json::from_value(params).map_err(|error| {
        let text = error.to_string();
        let shown = text.starts_with("missing field") || text.starts_with("unknown field");
        let text = if shown { text } else { "a parameter has the wrong type".to_owned() };
        Error::new(ErrorKind::Config, text)
    })
}

fn patterns(one: Option<String>, more: Vec<String>) -> Result<Patterns> {
    Patterns::new(one.into_iter().chain(more))
}

fn heard(found: &Found) -> HeardReply {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    HeardReply {
        before: text(&found.before),
        matched: text(&found.matched),
        groups: found.groups.iter().map(|group| group.as_deref().map(text)).collect(),
        index: found.index,
    }
}

fn value(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

async fn answer_by_rules<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    params: Converse,
) -> Result<Value> {
    let limit = params.timeout.0;
    let last = Patterns::new(params.rules.iter().map(|rule| &rule.pattern))?;
    let rules = Rules::new(params.rules, params.most)?;
    dialogue.set_raw(params.raw);
    if let Some(text) = params.text {
        dialogue.settle(&last, params.settle.0.min(limit / 2)).await?;
        dialogue.send_anew(&format!("{text}{}", params.end), limit).await?;
    }
    let conversed = rules.run(dialogue, limit).await?;
    value(&Told { last: heard(&conversed.found), applied: conversed.applied })
}

async fn send_expect<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    params: SendExpectParams,
) -> Result<Value> {
    let patterns = patterns(params.pattern, params.patterns)?;
    let deadline = Deadline::after(params.timeout.0);
    dialogue.set_raw(params.raw);
    dialogue.settle(&patterns, params.settle.0.min(params.timeout.0 / 2)).await?;
    dialogue.send_anew(&format!("{}{}", params.text, params.end), deadline.left()).await?;
    value(&heard(&dialogue.expect(&patterns, deadline.left()).await?))
}

/// Runs one of [`operations`].
///
/// # Errors
/// Parameters that are not right; [`ErrorKind::Unsupported`] for a name that is none of them; else as
/// [`Dialogue::expect`], [`Rules::run`], [`Execute::run`] and [`Login::run`].
pub async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    operation: &str,
    params: &Value,
) -> Result<Value> {
    match operation {
        "send" => {
            let Send { text, end } = parse(params)?;
            dialogue.send(&format!("{text}{end}")).await?;
            Ok(json!({}))
        }
        "expect" => {
            let Expect { pattern, patterns: more, timeout, raw } = parse(params)?;
            dialogue.set_raw(raw);
            value(&heard(&dialogue.expect(&patterns(pattern, more)?, timeout.0).await?))
        }
        "send_expect" => send_expect(dialogue, parse(params)?).await,
        "execute" => {
            let execute: Execute = parse(params)?;
            value(&execute.run(dialogue, Duration::MAX).await?)
        }
        "converse" => answer_by_rules(dialogue, parse(params)?).await,
        "login" => {
            let login: Login = parse(params)?;
            login.check()?;
            login.run(dialogue, Duration::MAX).await.map(|()| json!({}))
        }
        _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
    }
}

/// Runs one of [`operations`] on the stream of `session`, which is used up.
///
/// # Errors
/// As [`call`]; [`ErrorKind::Unsupported`] if the session has no byte stream to give.
pub async fn converse(session: &Session, operation: &str, params: &Value) -> Result<Value> {
    let stream = session.take_stream();
    let stream = stream.ok_or_else(|| Error::unsupported("a dialogue without a stream"))?;
    call(&mut Dialogue::of_session(stream, &session.info()), operation, params).await
}
