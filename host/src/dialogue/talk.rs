//! [`Dialogue`]: a [`Matcher`] on a stream.

use super::matcher::{Found, Look, Matcher};
use super::patterns::Patterns;
use crate::deadline::Deadline;
use futures_util::FutureExt;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// What ends a line that is sent: what the Return key of a terminal sends.
pub const RETURN: &str = "\r";

/// What is kept of what was heard, in bytes, unless said otherwise.
const KEPT: usize = 64 * 1024;

/// How much is read at once.
const PIECE: usize = 4096;

/// Sends to a peer and waits for what is expected of it.
#[derive(Debug)]
pub struct Dialogue<S> {
    stream: S,
    matcher: Matcher,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    /// A dialogue over `stream`, that keeps 64 KiB of what was heard and not matched.
    pub fn new(stream: S) -> Self {
        Dialogue::keeping(KEPT, stream)
    }

    /// As [`Dialogue::new`], keeping at most `bytes`: of more, the oldest are forgotten.
    pub fn keeping(bytes: usize, stream: S) -> Self {
        Dialogue { stream, matcher: Matcher::new(bytes), ended: false }
    }

    /// Goes on with a stream and what was heard of it before, as [`Dialogue::into_parts`] gave them.
    pub fn resumed(stream: S, heard: &[u8]) -> Self {
        let mut dialogue = Dialogue::new(stream);
        dialogue.put_back(heard);
        dialogue
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

    /// As [`Dialogue::send`], of what is never to be shown: errors leave it out of what was heard.
    ///
    /// # Errors
    /// As there.
    pub async fn send_secret(&mut self, secret: &Secret) -> Result<()> {
        self.matcher.hide(secret);
        self.send(secret.expose()).await
    }

    /// Waits at most `limit` until one of `patterns` is heard, and takes it with all that came before.
    /// What was heard before it was called counts. Cancel safe: what was heard is kept.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::Closed`] when the peer has ended, or the stream's own; each
    /// says what was awaited and what was heard last.
    pub async fn expect(&mut self, patterns: &Patterns, limit: Duration) -> Result<Found> {
        let begun = Instant::now();
        let mut room = [0; PIECE];
        loop {
            let left = match self.matcher.look(patterns, begun.elapsed(), limit) {
                Look::Found(found) => return Ok(found),
                Look::Late(error) => return Err(error),
                Look::Wait(left) => left,
            };
            if self.ended {
                return Err(self.over(patterns, begun));
            }
            match timeout(left, self.stream.read(&mut room)).await {
                // The look before the next read says so.
                Err(_) => {}
                Ok(Ok(0)) => self.ended = true,
                Ok(Ok(count)) => self.matcher.hear(&room[..count]),
                Ok(Err(error)) => {
                    let error = Error::from(error).with("awaited", patterns);
                    return Err(self.matcher.explain(error));
                }
            }
        }
    }

    fn over(&self, patterns: &Patterns, begun: Instant) -> Error {
        let text = format!("the peer ended the session while {patterns} was awaited");
        let error = Error::new(ErrorKind::Closed, text);
        self.matcher.explain(error.with("waited", format!("{:?}", begun.elapsed())))
    }

    /// Sends text and waits for an answer, all within `limit`. What was heard before is forgotten, so
    /// that only what the peer says from now on can match.
    ///
    /// # Errors
    /// As [`Dialogue::send`] and [`Dialogue::expect`].
    pub async fn send_expect(
        &mut self,
        text: &str,
        patterns: &Patterns,
        limit: Duration,
    ) -> Result<Found> {
        let deadline = Deadline::after(limit);
        self.send_anew(text, limit).await?;
        self.expect(patterns, deadline.left()).await
    }

    /// Forgets what was heard, and sends text within `limit`: only what the peer says from now on can match.
    /// Not cancel safe, as [`Dialogue::send`].
    ///
    /// # Errors
    /// As there; [`ErrorKind::TimedOut`] if the peer takes nothing.
    pub async fn send_anew(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.hear_what_is_there().await;
        self.matcher.forget();
        timeout(limit, self.send(text)).await.unwrap_or_else(|_| {
            let text = format!("the peer takes nothing, for {limit:?}");
            Err(self.matcher.explain(Error::new(ErrorKind::TimedOut, text)))
        })
    }

    /// Hears what has arrived, without waiting for more: after a login its prompt, or what a console has said
    /// unasked.
    async fn hear_what_is_there(&mut self) {
        // What has arrived meanwhile is known to the runtime only after it was let look.
        tokio::task::yield_now().await;
        let mut room = [0; PIECE];
        while !self.ended {
            match self.stream.read(&mut room).now_or_never() {
                Some(Ok(0)) => self.ended = true,
                Some(Ok(count)) => self.matcher.hear(&room[..count]),
                // The next read says so, too.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Hears `bytes` once more.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.matcher.put_back(bytes);
    }

    pub(super) fn explain(&self, error: Error) -> Error {
        self.matcher.explain(error)
    }

    /// The stream, and what was heard and not matched.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.matcher.into_heard())
    }
}
