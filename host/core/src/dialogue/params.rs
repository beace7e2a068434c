//! Parameters and results of the operations of a dialogue.

use super::execute::settle;
use super::rules::Rule;
use super::talk::RETURN;
use crate::units::Timespan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters of `send`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    /// What to send.
    pub(super) text: String,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    pub(super) end: String,
}

/// Parameters of `expect`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// A regular expression.
    pub(super) pattern: Option<String>,
    /// Several; the first to match wins.
    #[serde(default)]
    pub(super) patterns: Vec<String>,
    /// How long to wait. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    pub(super) timeout: Timespan,
    /// Match bytes as they come, with terminal sequences, backspaces and carriage returns in them. Default:
    /// false.
    #[serde(default)]
    pub(super) raw: bool,
}

/// Parameters of `send_expect`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendExpectParams {
    /// What to send.
    pub(super) text: String,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    pub(super) end: String,
    /// A regular expression.
    pub(super) pattern: Option<String>,
    /// Several; the first to match wins.
    #[serde(default)]
    pub(super) patterns: Vec<String>,
    /// How long sending and waiting may take. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    pub(super) timeout: Timespan,
    /// How long a peer that was just connected may greet before it is sent to; it is not waited for longer than
    /// it needs. Default: `"5s"`.
    #[serde(default = "settle")]
    pub(super) settle: Timespan,
    /// Match bytes as they come, with terminal sequences, backspaces and carriage returns in them. Default:
    /// false.
    #[serde(default)]
    pub(super) raw: bool,
}

/// Parameters of `converse`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Converse {
    /// The line to send first. Default: none; then text received before counts.
    pub(super) text: Option<String>,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    pub(super) end: String,
    /// Patterns, and the answers to them.
    pub(super) rules: Vec<Rule>,
    /// How long all of it may take; a rule may let it begin again. Default: `"10s"`.
    #[serde(default = "ten_seconds")]
    pub(super) timeout: Timespan,
    /// How many rules may apply before the last. Default: 100.
    #[serde(default = "hundred")]
    pub(super) most: u32,
    /// How long a peer that was just connected may greet before it is sent to; it is not waited for longer than
    /// it needs. Default: `"5s"`.
    #[serde(default = "settle")]
    pub(super) settle: Timespan,
    /// Match bytes as they come, with terminal sequences, backspaces and carriage returns in them. Default:
    /// false.
    #[serde(default)]
    pub(super) raw: bool,
}

/// What was heard last, and which rules applied before, from 0.
#[derive(Serialize, JsonSchema)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) last: HeardReply,
    /// Rules that applied before it.
    pub(super) applied: Vec<usize>,
}

/// What was heard.
#[derive(Serialize, JsonSchema)]
pub(super) struct HeardReply {
    /// What came before the match, with `\n` at the end of lines; of an answer without the echo, and without the
    /// beginning of a prompt whose end has matched.
    pub(super) before: String,
    /// What matched.
    pub(super) matched: String,
    /// The groups in brackets.
    pub(super) groups: Vec<Option<String>>,
    /// Which of the patterns, from 0.
    pub(super) index: usize,
}

/// Nothing.
#[derive(JsonSchema)]
pub(super) struct Nothing {}

pub(super) fn end() -> String {
    RETURN.to_owned()
}

pub(super) const fn ten_seconds() -> Timespan {
    Timespan::seconds(10)
}

pub(super) const fn hundred() -> u32 {
    100
}
