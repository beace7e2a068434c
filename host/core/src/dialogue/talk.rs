//! [`Dialogue`]: a [`Matcher`] on a stream.

use super::known::Known;
use super::matcher::{Found, Matcher, line_start};
use super::patterns::Patterns;
use super::prompt::{self, Prompt};
use crate::deadline::Deadline;
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Secret};
use jackfield_timers::timeout;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// What ends a line that is sent: what the Return key of a terminal sends.
pub const RETURN: &str = "\r";

/// Bytes of received text that are kept, unless set otherwise.
const KEPT: usize = 64 * 1024;

/// How much is read at once.
const PIECE: usize = 4096;

/// How long a peer that was just connected may go on with its greeting, unless said otherwise.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// After so long without a byte a greeting is over, or there is none.
const SILENCE: Duration = Duration::from_secs(1);

/// After so long without a byte what looks like a prompt is one.
const CALM: Duration = Duration::from_millis(100);

/// After so long without a byte there is no echo.
const NO_ECHO: Duration = Duration::from_millis(300);

/// Sends to a peer and waits until its answer matches.
#[derive(Debug)]
pub struct Dialogue<S> {
    stream: S,
    pub(super) matcher: Matcher,
    ended: bool,
    pub(super) known: Known,
    /// The line whose answer is waited for.
    sent: Option<SentLine>,
    /// More bytes than the matcher keeps are an error.
    whole: bool,
    /// The line that the last match has ended, as far as it goes.
    pub(super) line: Vec<u8>,
}

#[derive(Debug)]
struct SentLine {
    line: String,
    /// Whether the peer has answered no line before.
    first: bool,
}

/// Where patterns are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In all that was heard.
    All,
    /// In the line that has not ended.
    LastLine,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    /// A dialogue over `stream`, that keeps 64 KiB of received text that has not matched. Input is
    /// taken as text, as [`Matcher::new`] has it, unless [`Dialogue::set_raw`] says otherwise.
    pub fn new(stream: S) -> Self {
        Dialogue::keeping(KEPT, stream)
    }

    /// As [`Dialogue::new`], keeping at most `bytes`: of more, the oldest are forgotten.
    pub fn keeping(bytes: usize, stream: S) -> Self {
        Dialogue {
            stream,
            matcher: Matcher::new(bytes),
            ended: false,
            known: Known::default(),
            sent: None,
            whole: false,
            line: Vec::new(),
        }
    }

    /// A dialogue over the stream of a session that is described by `info`: after a [`Login`](super::Login) its
    /// prompt is known and not heard again.
    pub fn of_session(stream: S, info: &Info) -> Self {
        Dialogue { known: Known::of(info), ..Dialogue::new(stream) }
    }

    /// Goes on with a stream, what was heard of it before, and what is known of the peer, as
    /// [`Dialogue::into_parts`] gave them.
    pub fn resumed(stream: S, heard: &[u8], known: Known) -> Self {
        let mut dialogue = Dialogue { known, ..Dialogue::new(stream) };
        dialogue.hear(heard);
        dialogue
    }

    /// Whether input is taken byte by byte from now on, with its terminal sequences. Default: false.
    pub fn set_raw(&mut self, raw: bool) {
        self.matcher.set_raw(raw);
    }

    /// Sends text. Not cancel safe: a part of it may have been sent.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// As [`Dialogue::send`], for secrets: errors leave them out of the text received.
    ///
    /// # Errors
    /// As there.
    pub async fn send_secret(&mut self, secret: &Secret) -> Result<()> {
        self.matcher.hide(secret);
        self.send(secret.expose()).await
    }

    /// Waits at most `limit` until one of `patterns` is heard, and takes it with all that came before.
    /// Text received before the call counts, unless it came before [`Dialogue::send_anew`].
    /// Cancel safe: the text received is kept.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::Closed`] when the peer has ended, or the stream's own; each
    /// names the patterns and the last text received.
    pub async fn expect(&mut self, patterns: &Patterns, limit: Duration) -> Result<Found> {
        self.expect_in(Scope::All, patterns, limit).await
    }

    pub(super) async fn expect_in(
        &mut self,
        scope: Scope,
        patterns: &Patterns,
        limit: Duration,
    ) -> Result<Found> {
        let begun = Instant::now();
        let mut held = None;
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let echo = self.echo();
            let after = echo.unwrap_or(0);
            let from = match scope {
                Scope::All => after,
                Scope::LastLine => after.max(line_start(self.matcher.heard())),
            };
            if let Some((end, mut found)) = self.matcher.find(patterns, from) {
                found.before.splice(..0, self.matcher.heard()[after..from].iter().copied());
                let over = held.get_or_insert_with(Instant::now).elapsed() >= SILENCE;
                let sure = over || self.ended || left.is_zero() || !self.may_be_old(echo, &found);
                if sure || !self.hear_more(left.min(NO_ECHO), patterns).await? {
                    return Ok(self.taken(echo, end, found));
                }
                continue;
            }
            if let Some((end, found)) = self.find_in_echo(echo, patterns) {
                // The answer of a peer that only echoes its input.
                let over = self.ended || left.is_zero();
                if over || !self.hear_more(left.min(SILENCE), patterns).await? {
                    return Ok(self.taken(Some(0), end, found));
                }
                continue;
            }
            if left.is_zero() {
                return Err(self.matcher.late(patterns, limit));
            }
            if self.ended {
                return Err(self.over(patterns, begun));
            }
            self.hear_more(left, patterns).await?;
        }
    }

    /// Where the answer to the line that was sent begins; `None` while its echo has not come.
    fn echo(&self) -> Option<usize> {
        match &self.sent {
            Some(sent) => prompt::echo_end(self.matcher.heard(), &sent.line),
            None => Some(0),
        }
    }

    /// A match in the echo of the line that was sent, where nothing else was heard.
    fn find_in_echo(&self, echo: Option<usize>, patterns: &Patterns) -> Option<(usize, Found)> {
        let only = echo.is_some_and(|end| end > 0 && end == self.matcher.heard().len());
        self.sent.as_ref().filter(|_| only).and_then(|_| self.matcher.find(patterns, 0))
    }

    /// Whether a match may be output that the peer sent before it took the line: it has not echoed it, or
    /// nothing stands between the echo and a first answer, as of a line that came before the peer was ready.
    fn may_be_old(&self, echo: Option<usize>, found: &Found) -> bool {
        let Some(sent) = &self.sent else { return false };
        match echo {
            None => sent.first || self.known.echoes != Some(false),
            Some(end) => {
                let lines = &found.before[..line_start(&found.before)];
                sent.first && end > 0 && lines.trim_ascii().is_empty()
            }
        }
    }

    /// Takes a match out of the text received; of the answer to a line, echo and prompt are left out.
    fn taken(&mut self, echo: Option<usize>, end: usize, mut found: Found) -> Found {
        let last = end == self.matcher.heard().len();
        self.matcher.take(end);
        self.known.settled = true;
        self.line = [&found.before[line_start(&found.before)..], &found.matched].concat();
        let Some(sent) = self.sent.take() else { return found };
        if echo != Some(0) {
            self.known.echoes = Some(echo.is_some());
        }
        if sent.first {
            let twice = prompt::echo_end(&found.before, &sent.line).filter(|end| *end > 0);
            if let Some(end) =
                twice.filter(|end| prompt::stands_before(&found.before[..*end], &sent.line))
            {
                found.before.drain(..end);
            }
        }
        let prompt = self.known.prompt.as_ref();
        let keep = prompt::without_prompt(&found.before, &found.matched, prompt, last);
        if last && prompt.is_none() {
            self.known.prompt = Prompt::of_line(&self.line).filter(Prompt::looks_like_one);
        }
        found.before.truncate(keep);
        found
    }

    fn hear(&mut self, bytes: &[u8]) {
        let skip = &mut self.known.skip;
        let same = bytes.iter().zip(&*skip).take_while(|(byte, skipped)| byte == skipped).count();
        if same == skip.len() || same == bytes.len() {
            skip.drain(..same);
            self.matcher.hear(&bytes[same..]);
        } else {
            skip.clear();
            self.matcher.hear(bytes);
        }
    }

    /// Waits at most `limit` for more; false when nothing came. An end is something.
    async fn hear_more(&mut self, limit: Duration, awaited: &Patterns) -> Result<bool> {
        let mut room = [0; PIECE];
        match timeout(limit, self.stream.read(&mut room)).await {
            Err(_) => return Ok(false),
            Ok(Ok(0)) => self.ended = true,
            Ok(Ok(count)) => self.hear(&room[..count]),
            Ok(Err(error)) => {
                let error = Error::from(error).with("awaited", awaited);
                return Err(self.matcher.explain(error));
            }
        }
        if self.whole && self.matcher.lost() > 0 {
            let text = "the answer is longer than max_output";
            return Err(Error::new(ErrorKind::Limit, text).with("option", "max_output"));
        }
        Ok(true)
    }

    fn over(&self, patterns: &Patterns, begun: Instant) -> Error {
        let text = format!("the peer ended the session before it sent {patterns}");
        let error = Error::new(ErrorKind::Closed, text);
        self.matcher.explain(error.with("waited", format!("{:?}", begun.elapsed())))
    }

    /// Sends a line and waits for its answer, all within `limit`: only what the peer says after it has taken
    /// the line can match. What matches before the line's echo has come was on its way before and is passed
    /// over; where no echo comes within 300 ms, it is the answer. A match in the echo itself counts where nothing
    /// else comes for 1 s. Of the answer, [`Found::before`] leaves out the
    /// echo, and the beginning of a prompt whose end has matched.
    ///
    /// On a session that has just been opened the peer may first greet: see [`Dialogue::settle`].
    ///
    /// # Errors
    /// As [`Dialogue::send`] and [`Dialogue::expect`].
    pub async fn send_expect(
        &mut self,
        line: &str,
        patterns: &Patterns,
        limit: Duration,
    ) -> Result<Found> {
        let deadline = Deadline::after(limit);
        self.settle(patterns, SETTLE.min(limit / 2)).await?;
        self.send_anew(line, deadline.left()).await?;
        self.expect(patterns, deadline.left()).await
    }

    /// Lets a peer that was just connected greet before it is sent to: waits until what it has said ends with
    /// one of `patterns` or with what looks like a prompt, and 0.1 s are quiet after that; or until it says nothing
    /// for 1 s; for `limit` at most. Does nothing once the peer has answered, or after a login. Cancel safe.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn settle(&mut self, patterns: &Patterns, limit: Duration) -> Result<()> {
        if !self.known.settled {
            self.hear_greeting(patterns, limit).await?;
            self.known.settled = true;
        }
        Ok(())
    }

    pub(super) async fn hear_greeting(
        &mut self,
        patterns: &Patterns,
        limit: Duration,
    ) -> Result<()> {
        let deadline = Deadline::after(limit);
        while !self.ended && !deadline.is_over() {
            let pause = if self.waits(patterns) { CALM } else { SILENCE };
            if !self.hear_more(pause.min(deadline.left()), patterns).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the text received ends with one of `patterns`, or with something like a prompt.
    pub(super) fn waits(&self, patterns: &Patterns) -> bool {
        let heard = self.matcher.heard();
        let matches =
            |found: Option<(usize, Found)>| found.is_some_and(|(end, _)| end == heard.len());
        let line = Prompt::of_line(self.matcher.last_line());
        !heard.is_empty()
            && (line.is_some_and(|line| line.looks_like_one())
                || matches(self.matcher.find(patterns, 0)))
    }

    /// Waits for one of `patterns`; that numbered `prompt` only where nothing follows it for a while. Gives which
    /// one it was, and the line that it ends.
    pub(super) async fn expect_prompt(
        &mut self,
        patterns: &Patterns,
        prompt: usize,
        deadline: Deadline,
    ) -> Result<(usize, Vec<u8>)> {
        loop {
            let found = self.expect(patterns, deadline.left()).await?;
            let line = std::mem::take(&mut self.line);
            let last = self.matcher.heard().is_empty() && !self.ended;
            let sure = found.index != prompt || !last;
            if sure || !self.hear_more(CALM.min(deadline.left()), patterns).await? {
                return Ok((found.index, line));
            }
            self.matcher.put_back(&line);
        }
    }

    /// Remembers the line that the peer waits behind after a login.
    pub(super) fn know_prompt(&mut self, line: &[u8]) {
        self.known.prompt = Prompt::of_line(line);
        self.known.settled = true;
    }

    /// Forgets the text received, and sends a line within `limit`: only later input can match.
    /// Not cancel safe, as [`Dialogue::send`].
    ///
    /// # Errors
    /// As there; [`ErrorKind::TimedOut`] if the peer takes nothing.
    pub async fn send_anew(&mut self, line: &str, limit: Duration) -> Result<()> {
        self.hear_what_is_there().await;
        if let Some(prompt) =
            Prompt::of_line(self.matcher.last_line()).filter(Prompt::looks_like_one)
        {
            self.known.prompt = Some(prompt);
        }
        self.matcher.forget();
        let first = self.known.echoes.is_none();
        self.sent = Some(SentLine { line: line.to_owned(), first });
        timeout(limit, self.send(line)).await.unwrap_or_else(|_| {
            let text = format!("the peer has read nothing for {limit:?}");
            Err(self.matcher.explain(Error::new(ErrorKind::TimedOut, text)))
        })
    }

    /// Hears what has arrived, without waiting for more: after a login its prompt, or what a console has said
    /// unasked.
    pub(super) async fn hear_what_is_there(&mut self) {
        // What has arrived meanwhile is known to the runtime only after it was let look.
        tokio::task::yield_now().await;
        let mut room = [0; PIECE];
        while !self.ended {
            match self.stream.read(&mut room).now_or_never() {
                Some(Ok(0)) => self.ended = true,
                Some(Ok(count)) => self.hear(&room[..count]),
                // The next read says so, too.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Keeps at most so many bytes from now on, of which none may be forgotten; answers how many it has kept.
    pub(super) fn keep_whole(&mut self, bytes: usize) -> usize {
        self.whole = true;
        self.matcher.keep(bytes)
    }

    /// Keeps at most so many bytes, of more the last ones.
    pub(super) fn keep_last(&mut self, bytes: usize) {
        self.whole = false;
        self.matcher.keep(bytes);
    }

    pub(super) fn explain(&self, error: Error) -> Error {
        self.matcher.explain(error)
    }

    /// The stream, the received text that has not matched, and the facts known about the peer.
    pub fn into_parts(self) -> (S, Vec<u8>, Known) {
        (self.stream, self.matcher.into_heard(), self.known)
    }
}
