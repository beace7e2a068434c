//! [`Execute`]: a command behind a prompt, and its output as a person would read it.

use super::login::Login;
use super::matcher::line_start;
use super::patterns::Patterns;
use super::prompt::Prompt;
use super::rules::{Rule, answer};
use super::talk::{Dialogue, RETURN, SETTLE, Scope};
use crate::deadline::Deadline;
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::timeout_at;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Says that a pager waits in the middle, and that it has come to its end.
const PAGER: [&str; 2] = [
    r"(?i)(-+ ?\(?more\b[^\r\n]{0,80}|<-+ ?more ?-+>|press any key[^\r\n]{0,80}|^lines \d+-\d+[^\r\n]{0,40})$",
    r"\(END\) ?$",
];

/// A command that is run behind a prompt.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    /// The command, without what ends its line.
    pub command: String,
    /// What ends it. Default: a carriage return, as of a terminal's Return key.
    #[serde(default = "end")]
    pub end: String,
    /// A regular expression for the line that the peer waits behind afterwards. Default: the prompt it has had
    /// before, also in another mode or folder.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Questions that may come before the prompt, and the answers to them. The pagers of most devices
    /// are answered without one.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// How long all of it may take. Default: `"30s"`.
    #[serde(default = "half_a_minute")]
    pub timeout: Timespan,
    /// How long a peer that was just connected may greet before it is sent to; it is not waited for longer than
    /// it needs. Default: `"5s"`.
    #[serde(default = "settle")]
    pub settle: Timespan,
    /// The most bytes of output. Default: 4194304.
    #[serde(default = "four_mib")]
    #[schemars(range(min = 1))]
    pub max_output: u32,
}

/// What a command has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its output, without its echo, the prompt and the questions of a pager. Lines end with `\n`.
    pub output: String,
    /// The prompt that came after it.
    pub prompt: String,
}

fn end() -> String {
    RETURN.to_owned()
}

const fn half_a_minute() -> Timespan {
    Timespan::seconds(30)
}

pub(super) const fn settle() -> Timespan {
    Timespan(SETTLE)
}

const fn four_mib() -> u32 {
    4 << 20
}

impl Execute {
    /// A command with the defaults of the rest.
    pub fn new(command: impl Into<String>) -> Self {
        Execute {
            command: command.into(),
            end: end(),
            prompt: None,
            rules: Vec::new(),
            timeout: half_a_minute(),
            settle: settle(),
            max_output: four_mib(),
        }
    }

    /// Runs the command, within `limit` and its own timeout: waits until the peer has a prompt, sends the command,
    /// answers pagers and `rules`, and gives the output up to the next prompt. Not cancel safe: the
    /// command may go on.
    ///
    /// # Errors
    /// As [`Dialogue::send_expect`]; [`ErrorKind::Denied`] where the peer asks for a login;
    /// [`ErrorKind::NotFound`] where it has no prompt; [`ErrorKind::Limit`] for output over the limit.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        limit: Duration,
    ) -> Result<Output> {
        let deadline = Deadline::after(limit.min(self.timeout.0));
        let kept = dialogue.keep_whole(self.max_output as usize);
        let output = self.run_within(dialogue, deadline).await;
        dialogue.keep_last(kept);
        output
    }

    async fn run_within<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        deadline: Deadline,
    ) -> Result<Output> {
        let rules = Patterns::some(self.rules.iter().map(|rule| &rule.pattern))?;
        let pager = Patterns::new(PAGER)?;
        dialogue.set_raw(false);
        let prompt = match &self.prompt {
            Some(prompt) => {
                let prompt = Patterns::new([prompt])?;
                dialogue.settle(&prompt, self.settle.0.min(deadline.left() / 2)).await?;
                prompt
            }
            None => self.find_prompt(dialogue, deadline).await?.pattern()?,
        };
        let (asked, paged) = (self.rules.len(), self.rules.len() + PAGER.len());
        let all = Patterns::joined([&rules, &pager, &prompt])?;
        dialogue.send_anew(&format!("{}{}", self.command, self.end), deadline.left()).await?;
        let mut output = Vec::new();
        loop {
            let found = dialogue.expect_in(Scope::LastLine, &all, deadline.left()).await?;
            output.extend_from_slice(&found.before);
            // What stands before the match on its line is a part of the prompt, or the indent of a pager.
            let line = line_start(&output);
            if found.index >= paged || output[line..].trim_ascii().is_empty() {
                output.truncate(line);
            }
            if output.len() > self.max_output as usize {
                let text = format!("the output has more than {} bytes", self.max_output);
                return Err(Error::new(ErrorKind::Limit, text).with("option", "max_output"));
            }
            if found.index >= paged {
                let prompt = String::from_utf8_lossy(&dialogue.line).into_owned();
                let output = String::from_utf8_lossy(&output).into_owned();
                return Ok(Output { output, prompt });
            }
            let answering = async {
                match self.rules.get(found.index) {
                    Some(rule) => answer(rule, dialogue).await,
                    None if found.index == asked => dialogue.send(" ").await,
                    None => dialogue.send("q").await,
                }
            };
            let answered = timeout_at(deadline.instant(), answering).await;
            answered.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::TimedOut,
                    "the peer did not read the answer to its question",
                ))
            })?;
            if found.index < asked {
                output.extend_from_slice(&found.matched);
            }
        }
    }

    /// The prompt that the peer waits behind: known, heard, or got by an empty line.
    async fn find_prompt<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        deadline: Deadline,
    ) -> Result<Prompt> {
        let login = Login::default();
        let login = Patterns::new([login.user_prompt, login.password_prompt])?;
        let limit = || self.settle.0.min(deadline.left() / 2);
        dialogue.settle(&login, limit()).await?;
        dialogue.hear_what_is_there().await;
        if dialogue.known.prompt.is_none() && dialogue.matcher.last_line().trim_ascii().is_empty() {
            dialogue.matcher.forget();
            dialogue.send(&self.end).await?;
            dialogue.hear_greeting(&login, limit()).await?;
        }
        if let Some(prompt) = &dialogue.known.prompt {
            return Ok(prompt.clone());
        }
        let line = dialogue.matcher.last_line();
        if dialogue
            .matcher
            .find(&login, 0)
            .is_some_and(|(end, _)| end == dialogue.matcher.heard().len())
        {
            let text = "the peer asked for a login: set `login`";
            return Err(dialogue.explain(Error::new(ErrorKind::Denied, text)));
        }
        let prompt = Prompt::of_line(line).ok_or_else(|| {
            let text = "the peer shows no prompt, not even after an empty line; `prompt` says which it has";
            dialogue.explain(Error::new(ErrorKind::NotFound, text))
        })?;
        dialogue.known.prompt = Some(prompt.clone());
        Ok(prompt)
    }
}
