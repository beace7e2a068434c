//! [`Login`]: answers prompts with credentials.

use super::kept;
use super::patterns::Patterns;
use super::talk::{Dialogue, RETURN};
use crate::deadline::Deadline;
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret, Session};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// How one logs in: which prompts come, and what is said to them. Patterns are regular expressions.
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
    /// Says that one is in.
    pub prompt: String,
    /// Says that one is not let in.
    pub refused: String,
    /// Sent before anything is awaited, for a console that says nothing by itself. Default: nothing.
    pub wake: String,
    /// Lines sent once one is in, each when `prompt` has come. Default: none.
    pub then: Vec<String>,
    /// What ends each line that is sent.
    pub end: String,
    /// The most that all of it may take, beside the limits of what it is part of.
    pub timeout: Timespan,
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
            then: Vec::new(),
            end: RETURN.to_owned(),
            timeout: Timespan::seconds(20),
        }
    }
}

const REFUSED: usize = 0;
const USER: usize = 1;
const PASSWORD: usize = 2;

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
        if self.timeout.is_zero() {
            return Err(Error::option("timeout", "expected a duration of at least 1ms"));
        }
        Ok(())
    }

    /// Logs in, within `limit` and its own timeout. The prompt that says so is heard once more by whoever
    /// goes on with the dialogue.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] when the peer refuses, or asks for what is not there or a second time; else as
    /// [`Dialogue::expect`].
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        dialogue: &mut Dialogue<S>,
        limit: Duration,
    ) -> Result<()> {
        let deadline = Deadline::after(limit.min(self.timeout.0));
        let patterns =
            Patterns::new([&self.refused, &self.user_prompt, &self.password_prompt, &self.prompt])?;
        if !self.wake.is_empty() {
            dialogue.send(&self.wake).await?;
        }
        let (mut named, mut proven) = (false, false);
        let prompt = loop {
            let found = dialogue.expect(&patterns, deadline.left()).await?;
            let denied = |text: &str| Err(Error::new(ErrorKind::Denied, text));
            match (found.index, &self.username, &self.password) {
                (REFUSED, ..) => return denied("the peer does not let us in"),
                (USER, ..) if named => return denied("the peer asks for a name again"),
                (USER, None, _) => return denied("the peer asks for a name, and there is none"),
                (USER, Some(name), _) => {
                    named = true;
                    dialogue.send(&format!("{name}{}", self.end)).await?;
                }
                (PASSWORD, ..) if proven => return denied("the peer asks for a password again"),
                (PASSWORD, _, None) => {
                    return denied("the peer asks for a password, and there is none");
                }
                (PASSWORD, _, Some(password)) => {
                    proven = true;
                    dialogue.send_secret(password).await?;
                    dialogue.send(&self.end).await?;
                }
                _ => break found.matched,
            }
        };
        let mut last = prompt;
        if !self.then.is_empty() {
            let patterns = Patterns::new([&self.prompt])?;
            for line in &self.then {
                let line = format!("{line}{}", self.end);
                last = dialogue.send_expect(&line, &patterns, deadline.left()).await?.matched;
            }
        }
        dialogue.put_back(&last);
        Ok(())
    }

    /// Logs in on a session, within `limit`; the answer is the session to go on with. Not cancel safe: the
    /// session is dropped.
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
        let (stream, heard) = dialogue.into_parts();
        Ok(kept::session(session, stream, heard))
    }
}
