//! [`Login`]: answers prompts with credentials.

use super::kept;
use super::patterns::Patterns;
use super::talk::{Dialogue, RETURN, SETTLE};
use crate::deadline::Deadline;
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret, Session};
use jackfield_timers::timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A login dialogue: the prompts, and the answers to them. Patterns are regular expressions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// What is said to `user_prompt`. Default: none; then being asked is an error.
    pub username: Option<String>,
    /// What is said to `password_prompt`. Default: none; then being asked is an error.
    pub password: Option<Secret>,
    /// Asks for a name.
    pub user_prompt: String,
    /// Asks for the password.
    pub password_prompt: String,
    /// Says that one is in. What matches must be the last for 0.1 s, so that no banner is taken for it.
    pub prompt: String,
    /// Says that one is not let in.
    pub refused: String,
    /// Sent to a console that says nothing by itself, once it was silent for a second. Default: nothing.
    pub wake: String,
    /// Names and passwords that are asked for before those, in this order: of a terminal server in front of the
    /// device. Each is used once. In a file, a text is the name of `[credentials.NAME]`. Default: none.
    pub first: Vec<LoginPair>,
    /// Lines sent once one is in, each when `prompt` has come. Default: none.
    pub then: Vec<ThenLine>,
    /// What ends each line that is sent.
    pub end: String,
    /// The most that all of it may take; the limits of the operation around it hold beside it.
    pub timeout: Timespan,
    /// Match bytes as they come, with terminal sequences, backspaces and carriage returns in them.
    pub raw: bool,
}

/// A name and a password that are said to one who asks for them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginPair {
    /// What is said to `user_prompt`. Default: none; then being asked is an error.
    pub username: Option<String>,
    /// What is said to `password_prompt`. Default: none; then being asked is an error.
    pub password: Option<Secret>,
}

/// A line that is sent once one is in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ThenLine {
    /// Nothing but a prompt follows.
    Plain(String),
    /// A password may be asked for.
    Asked(AskedLine),
}

/// A line to which the peer answers by asking for a password, as `enable` and `sudo -i` are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedLine {
    /// The line.
    pub line: String,
    /// What is said to `password_prompt`, once. Default: none; then being asked is an error.
    #[serde(default)]
    pub password: Option<Secret>,
    /// In a file: the password is that of this role of the credentials. Default: none.
    #[serde(default)]
    pub role: Option<String>,
}

impl ThenLine {
    fn line(&self) -> &str {
        match self {
            ThenLine::Plain(line) => line,
            ThenLine::Asked(asked) => &asked.line,
        }
    }

    fn password(&self) -> Option<&Secret> {
        match self {
            ThenLine::Plain(_) => None,
            ThenLine::Asked(asked) => asked.password.as_ref(),
        }
    }
}

impl From<&str> for ThenLine {
    fn from(line: &str) -> Self {
        ThenLine::Plain(line.to_owned())
    }
}

impl Default for Login {
    fn default() -> Self {
        Login {
            username: None,
            password: None,
            user_prompt: r"(?i)(login|user ?name|user): ?$".to_owned(),
            password_prompt: r"(?i)pass(word|phrase|code)[^\r\n]*: ?$".to_owned(),
            prompt: r"[$#>%] ?$".to_owned(),
            refused: r"(?i)(login|authentication) (incorrect|failed|invalid)|access denied|bad (password|secrets)"
                .to_owned(),
            wake: String::new(),
            first: Vec::new(),
            then: Vec::new(),
            end: RETURN.to_owned(),
            timeout: Timespan::seconds(20),
            raw: false,
        }
    }
}

const REFUSED: usize = 0;
const USER: usize = 1;
const PROMPT: usize = 3;

impl Login {
    /// Whether its patterns are regular expressions.
    ///
    /// # Errors
    /// The key of the first that is none.
    pub fn check(&self) -> Result<()> {
        for (key, pattern) in [
            ("user_prompt", &self.user_prompt),
            ("password_prompt", &self.password_prompt),
            ("prompt", &self.prompt),
            ("refused", &self.refused),
        ] {
            Patterns::new([pattern]).map_err(|error| Error::option(key, error.message()))?;
        }
        for line in &self.then {
            if let ThenLine::Asked(AskedLine { role: Some(role), password: None, .. }) = line {
                let text = format!("the credentials have no role {role:?} with a password");
                return Err(Error::option("then", text));
            }
        }
        if self.timeout.is_zero() {
            return Err(Error::option("timeout", "expected a duration of at least 1ms"));
        }
        Ok(())
    }

    /// Logs in, within `limit` and its own timeout. The prompt that says so is taken, and known from then on.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the peer refuses, or asks for something that is not set, or asks again when all that
    /// is set was said; else as [`Dialogue::expect`].
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        limit: Duration,
    ) -> Result<()> {
        let deadline = Deadline::after(limit.min(self.timeout.0));
        let patterns =
            Patterns::new([&self.refused, &self.user_prompt, &self.password_prompt, &self.prompt])?;
        dialogue.set_raw(self.raw);
        if !self.wake.is_empty() {
            dialogue.hear_greeting(&patterns, SETTLE.min(deadline.left())).await?;
            if !dialogue.waits(&patterns) {
                dialogue.send(&self.wake).await?;
            }
        }
        let mut line = self.answer_prompts(dialogue, &patterns, deadline).await?;
        for then in &self.then {
            dialogue.know_prompt(&line);
            let command = format!("{}{}", then.line(), self.end);
            dialogue.send_anew(&command, deadline.left()).await?;
            line = self.answered(dialogue, then, deadline).await?;
        }
        dialogue.know_prompt(&line);
        Ok(())
    }

    /// The line with the prompt that comes after a line was sent, and perhaps a password.
    async fn answered<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        then: &ThenLine,
        deadline: Deadline,
    ) -> Result<Vec<u8>> {
        let ThenLine::Asked(AskedLine { line, .. }) = then else {
            let patterns = Patterns::new([&self.prompt])?;
            return Ok(dialogue.expect_prompt(&patterns, 0, deadline).await?.1);
        };
        let patterns = Patterns::new([&self.refused, &self.password_prompt, &self.prompt])?;
        let mut password = then.password();
        loop {
            let denied = |text: String| Err(Error::new(ErrorKind::Denied, text));
            match (dialogue.expect_prompt(&patterns, 2, deadline).await?, password.take()) {
                ((0, _), _) => return denied(format!("the peer refused {line:?}")),
                ((1, _), None) if then.password().is_some() => {
                    return denied(format!("the peer asked for the password of {line:?} again"));
                }
                ((1, _), None) => {
                    let text = "and none is set for that line";
                    return denied(format!("the peer asked for a password after {line:?}, {text}"));
                }
                ((1, _), Some(password)) => {
                    dialogue.send_secret(password).await?;
                    dialogue.send(&self.end).await?;
                }
                ((_, line), _) => return Ok(line),
            }
        }
    }

    /// Answers until the prompt has come; gives the line that it stands in.
    async fn answer_prompts<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        patterns: &Patterns,
        deadline: Deadline,
    ) -> Result<Vec<u8>> {
        let last = LoginPair { username: self.username.clone(), password: self.password.clone() };
        let pairs: Vec<&LoginPair> = self.first.iter().chain([&last]).collect();
        let mut at = 0;
        let (mut named, mut proven) = (false, false);
        loop {
            let (index, line) = dialogue.expect_prompt(patterns, PROMPT, deadline).await?;
            if index == PROMPT {
                return Ok(line);
            }
            if index == REFUSED {
                return Err(Error::new(ErrorKind::Denied, "the peer refused the login"));
            }
            // Who asks anew for what was proven is another one: the device behind a terminal server.
            let is_done = proven || (index == USER && named && pairs[at].password.is_none());
            if is_done && at + 1 < pairs.len() {
                at += 1;
                (named, proven) = (false, false);
            }
            let pair = pairs[at];
            let denied = |text: &str| {
                let error = Error::new(ErrorKind::Denied, text);
                Err(if self.first.is_empty() {
                    error
                } else {
                    error.with("logins", self.first.len() + 1)
                })
            };
            match (index, &pair.username, &pair.password) {
                (USER, ..) if named => return denied("the peer asked for the user name again"),
                (USER, None, _) => {
                    return denied("the peer asked for a user name, and `user` is not set");
                }
                (USER, Some(name), _) => {
                    named = true;
                    dialogue.send(&format!("{name}{}", self.end)).await?;
                }
                (..) if proven => return denied("the peer asked for the password again"),
                (_, _, None) => {
                    return denied("the peer asked for a password, and `password` is not set");
                }
                (_, _, Some(password)) => {
                    proven = true;
                    dialogue.send_secret(password).await?;
                    dialogue.send(&self.end).await?;
                }
            }
        }
    }

    /// Logs in on a session, within `limit`; the answer is the session to go on with. Its stream begins with
    /// the prompt, for a person who comes to it; its info has it as the fact `prompt`, by which a [`Dialogue`]
    /// passes over it. Not cancel safe: the session is dropped.
    ///
    /// # Errors
    /// As [`Login::run`]; [`ErrorKind::Unsupported`] if the session has no byte stream.
    pub async fn session(&self, session: Session, limit: Duration) -> Result<Session> {
        let stream = session.take_stream();
        let stream = stream.ok_or_else(|| Error::unsupported("logging in without a stream"))?;
        let mut dialogue = Dialogue::new(stream);
        // Writing has no deadline of its own.
        let run = timeout(limit, self.run(&mut dialogue, limit)).await;
        match run {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.with("step", "login")),
            Err(_) => {
                let error = Error::new(ErrorKind::TimedOut, format!("no login within {limit:?}"));
                return Err(dialogue.explain(error));
            }
        }
        let (stream, rest, known) = dialogue.into_parts();
        Ok(kept::session(session, stream, known.prompt, &rest))
    }
}
