//! [`Rules`]: which answer is sent to which pattern, again and again until one of them is
//! the last.

use super::matcher::Found;
use super::patterns::Patterns;
use super::talk::{Dialogue, RETURN};
use crate::deadline::Deadline;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret};
use jackfield_timers::timeout_at;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A pattern, and what is done when it matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A regular expression.
    pub pattern: String,
    /// What is said to it. Default: nothing.
    #[serde(default)]
    pub answer: Option<String>,
    /// What is said to it in place of `answer`, and shown nowhere.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// What ends the answer. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    pub end: String,
    /// Whether it ends the conversation. Default: whether it has no answer.
    #[serde(default)]
    pub last: Option<bool>,
    /// Whether the time to wait begins again.
    #[serde(default)]
    pub renew: bool,
}

fn end() -> String {
    RETURN.to_owned()
}

/// Several rules; of the input the first match counts, and of two at one place the first rule.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    patterns: Patterns,
    most: u32,
}

/// How a conversation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversed {
    /// What ended it.
    pub found: Found,
    /// The rules that applied before, from 0, in order.
    pub applied: Vec<usize>,
}

impl Rule {
    fn is_last(&self) -> bool {
        self.last.unwrap_or(self.answer.is_none() && self.secret.is_none())
    }
}

impl Rules {
    /// Makes rules ready, of which at most `most` apply before the last.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] as [`Patterns::new`]; for a rule with two answers; if none is the last.
    pub fn new(rules: Vec<Rule>, most: u32) -> Result<Self> {
        let patterns = Patterns::new(rules.iter().map(|rule| &rule.pattern))?;
        let wrong = |text: &str| Err(Error::new(ErrorKind::Config, text));
        if rules.iter().any(|rule| rule.answer.is_some() && rule.secret.is_some()) {
            return wrong("a rule has `answer` or `secret`, not both");
        }
        if !rules.iter().any(Rule::is_last) {
            return wrong(
                "no rule ends the dialogue: expected one without an answer, or with `last`",
            );
        }
        Ok(Rules { rules, patterns, most })
    }

    /// Converses until the last rule applies, within `limit`. What was heard before counts. Not cancel safe:
    /// a part of an answer may have been sent.
    ///
    /// # Errors
    /// As [`Dialogue::expect`]; [`ErrorKind::Limit`] when too many rules apply and none is the last.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        limit: Duration,
    ) -> Result<Conversed> {
        let mut deadline = Deadline::after(limit);
        let mut applied = Vec::new();
        loop {
            let found = dialogue.expect(&self.patterns, deadline.left()).await?;
            let Some(rule) = self.rules.get(found.index) else {
                return Err(Error::new(ErrorKind::Other, "a match of no rule"));
            };
            if rule.renew {
                deadline = Deadline::after(limit);
            }
            let answering = timeout_at(deadline.instant(), answer(rule, dialogue)).await;
            answering.unwrap_or_else(|_| {
                let text = format!("the peer has read nothing for {limit:?}");
                Err(dialogue.explain(Error::new(ErrorKind::TimedOut, text)))
            })?;
            if rule.is_last() {
                return Ok(Conversed { found, applied });
            }
            if applied.len() >= self.most as usize {
                let text =
                    format!("{} rules have matched, and none ended the dialogue", applied.len());
                let error = Error::new(ErrorKind::Limit, text).with("pattern", &rule.pattern);
                return Err(dialogue.explain(error));
            }
            applied.push(found.index);
        }
    }
}

pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    rule: &Rule,
    dialogue: &mut Dialogue<S>,
) -> Result<()> {
    match (&rule.answer, &rule.secret) {
        (Some(text), _) => dialogue.send(&format!("{text}{}", rule.end)).await,
        (None, Some(secret)) => {
            dialogue.send_secret(secret).await?;
            dialogue.send(&rule.end).await
        }
        (None, None) => Ok(()),
    }
}
