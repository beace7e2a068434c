//! The operations that any session with a byte stream has, beside its driver's own.

use super::login::Login;
use super::matcher::Found;
use super::patterns::Patterns;
use super::rules::{Rule, Rules};
use super::talk::{Dialogue, RETURN};
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Operation, Result, Session};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Parameters of `send`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// What to send.
    text: String,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    end: String,
}

/// Parameters of `expect`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// A regular expression.
    pattern: Option<String>,
    /// Several; the first to match wins.
    #[serde(default)]
    patterns: Vec<String>,
    /// How long to wait. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    timeout: Timespan,
}

/// Parameters of `send_expect`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendExpect {
    /// What to send.
    text: String,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    end: String,
    /// A regular expression.
    pattern: Option<String>,
    /// Several; the first to match wins.
    #[serde(default)]
    patterns: Vec<String>,
    /// How long sending and waiting may take. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    timeout: Timespan,
}

/// Parameters of `converse`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Converse {
    /// What to send first. Default: nothing; then what was heard before counts.
    text: Option<String>,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    end: String,
    /// What may be heard, and what is said to it.
    rules: Vec<Rule>,
    /// How long all of it may take; a rule may let it begin again. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    timeout: Timespan,
    /// How many rules may apply before the last. Default: 100.
    #[serde(default = "hundred")]
    most: u32,
}

/// What was heard last, and which rules applied before, from 0.
#[derive(Serialize, JsonSchema)]
struct Told {
    #[serde(flatten)]
    last: Heard,
    /// Rules that applied before it.
    applied: Vec<usize>,
}

/// What was heard.
#[derive(Serialize, JsonSchema)]
struct Heard {
    /// What came before the match.
    before: String,
    /// What matched.
    matched: String,
    /// The groups in brackets.
    groups: Vec<Option<String>>,
    /// Which of the patterns, from 0.
    index: usize,
}

/// Nothing.
#[derive(JsonSchema)]
struct Nothing {}

fn end() -> String {
    RETURN.to_owned()
}

const fn ten_seconds() -> Timespan {
    Timespan::seconds(10)
}

const fn hundred() -> u32 {
    100
}

/// All of them.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    OPERATIONS.get_or_init(|| {
        vec![
            Operation::new::<Send, Nothing>("send", "Sends a line"),
            Operation::new::<Expect, Heard>("expect", "Waits for what matches a pattern"),
            Operation::new::<SendExpect, Heard>("send_expect", "Sends a line, waits for an answer"),
            Operation::new::<Converse, Told>("converse", "Answers what is heard, by rules"),
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
        let text = if shown { text } else { "a parameter is not of the right kind".to_owned() };
        Error::new(ErrorKind::Config, text)
    })
}

fn patterns(one: Option<String>, more: Vec<String>) -> Result<Patterns> {
    Patterns::new(one.into_iter().chain(more))
}

fn heard(found: &Found) -> Heard {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Heard {
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
    let rules = Rules::new(params.rules, params.most)?;
    if let Some(text) = params.text {
        dialogue.send_anew(&format!("{text}{}", params.end), limit).await?;
    }
    let conversed = rules.run(dialogue, limit).await?;
    value(&Told { last: heard(&conversed.found), applied: conversed.applied })
}

/// Runs one of [`operations`].
///
/// # Errors
/// Parameters that are not right; [`ErrorKind::Unsupported`] for a name that is none of them; else as
/// [`Dialogue::expect`], [`Rules::run`] and [`Login::run`].
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
            let Expect { pattern, patterns: more, timeout } = parse(params)?;
            value(&heard(&dialogue.expect(&patterns(pattern, more)?, timeout.0).await?))
        }
        "send_expect" => {
            let SendExpect { text, end, pattern, patterns: more, timeout } = parse(params)?;
            let line = format!("{text}{end}");
            let patterns = patterns(pattern, more)?;
            value(&heard(&dialogue.send_expect(&line, &patterns, timeout.0).await?))
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
    call(&mut Dialogue::new(stream), operation, params).await
}
