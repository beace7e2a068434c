//! Standard input and output as messages: a line is a text message, in both directions.

use super::output::{Sent, Shown, Sink};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, Stream, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Messages, Result};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, stdin};
use tokio::sync::watch;
use tokio::time::timeout;

/// Bytes that are read at once, and about how many are shown at once. What standard input and output take at once goes
/// through a thread of its own each time, so that few bytes cost as much as many.
const CHUNK: usize = 64 * 1024;

/// How messages look on standard input and output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Whether what is read is sent as it comes, in binary messages, instead of by lines.
    pub(super) binary: bool,
    /// The longest line.
    pub(super) max: usize,
}

/// Sends standard input until its end. It does not close: that would cut off what the peer still
/// answers.
pub(super) async fn send(messages: &mut SplitSink<Messages, Message>, form: Form) -> Result<Sent> {
    let mut input = stdin();
    let mut waiting = BytesMut::new();
    loop {
        waiting.reserve(CHUNK);
        if input.read_buf(&mut waiting).await? == 0 {
            if !waiting.is_empty() {
                messages.send(text_or_bytes(waiting.split().freeze())).await?;
            }
            return Ok(Sent::All);
        }
        if form.binary {
            messages.send(Message::binary(waiting.split().freeze())).await?;
            continue;
        }
        // All lines that are here leave together.
        while let Some(end) = memchr::memchr(b'\n', &waiting) {
            let mut line = waiting.split_to(end + 1).freeze();
            line.truncate(end);
            messages.feed(text_or_bytes(line)).await?;
        }
        messages.flush().await?;
        if waiting.len() > form.max {
            let text = format!("a line of more than {} bytes; use --binary", form.max);
            return Err(Error::new(ErrorKind::Limit, text));
        }
    }
}

fn text_or_bytes(line: Bytes) -> Message {
    let kind = match std::str::from_utf8(&line) {
        Ok(_) => MessageKind::TEXT,
        Err(_) => MessageKind::BINARY,
    };
    Message::of(kind, line)
}

/// Shows what the peer sends, until its end, or until it has been silent for `linger` after `sent`
/// has said that all was sent.
pub(super) async fn show(
    messages: &mut SplitStream<Messages>,
    mut sink: Sink,
    form: Form,
    mut sent: watch::Receiver<bool>,
    linger: Duration,
) -> Result<Shown> {
    let mut text = Vec::new();
    loop {
        let end = tokio::select! {
            biased;
            end = gather(messages, form, &mut text) => end,
            () = silence(&mut sent, linger) => return Ok(Shown::All),
        };
        if !text.is_empty() && !sink.write(&[&text]).await? {
            return Ok(Shown::NoReader);
        }
        text.clear();
        if let Some(end) = end {
            return end.map(|()| Shown::All);
        }
    }
}

/// Adds the messages that are here to `text`, up to [`CHUNK`] and one message; waits for the first of them. `Some` is
/// the end behind them. Cancel safe: while it waits, it has taken nothing.
async fn gather(
    messages: &mut (impl Stream<Item = Result<Message>> + Unpin),
    form: Form,
    text: &mut Vec<u8>,
) -> Option<Result<()>> {
    poll_fn(|cx| {
        while text.len() < CHUNK {
            match messages.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    text.extend_from_slice(&message.payload);
                    if message.kind == MessageKind::TEXT && !form.binary {
                        text.push(b'\n');
                    }
                }
                Poll::Ready(end) => return Poll::Ready(Some(end.transpose().map(drop))),
                Poll::Pending if text.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(None)
    })
    .await
}

/// Completes `linger` after all was sent.
pub(super) async fn silence(sent: &mut watch::Receiver<bool>, linger: Duration) {
    if sent.wait_for(|all| *all).await.is_err() {
        // Nobody says so any more.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(linger).await;
}

/// Ends our direction, but not for ever.
pub(super) async fn close(messages: &mut SplitSink<Messages, Message>, limit: Duration) {
    let _ = timeout(limit, messages.close()).await;
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Form, gather};
    use futures_util::{FutureExt, StreamExt, stream};
    use jackfield_plugin_api::{Error, ErrorKind, Message, Result};

    const LINES: Form = Form { binary: false, max: 100 };

    #[test]
    fn messages_that_are_here_are_shown_at_once_and_before_what_ends_them() {
        let lost = || Error::new(ErrorKind::Closed, "lost");
        let here: [Result<Message>; 3] =
            [Ok(Message::text("a")), Ok(Message::binary(&b"b"[..])), Err(lost())];
        let (mut text, mut messages) = (Vec::new(), stream::iter(here));
        let end = gather(&mut messages, LINES, &mut text).now_or_never().expect("no wait");
        assert_eq!(text, b"a\nb");
        assert_eq!(end.expect("an end").expect_err("the loss").kind(), ErrorKind::Closed);
    }

    #[test]
    fn what_is_here_is_shown_without_waiting_for_more() {
        let mut messages = stream::iter([Ok(Message::text("a"))]).chain(stream::pending());
        let mut text = Vec::new();
        assert!(gather(&mut messages, LINES, &mut text).now_or_never().expect("no wait").is_none());
        assert_eq!(text, b"a\n");
        assert!(gather(&mut messages, LINES, &mut Vec::new()).now_or_never().is_none());
    }

    #[test]
    fn a_peer_that_never_rests_is_shown_in_pieces() {
        let endless = stream::repeat_with(|| Ok(Message::text("x".repeat(1000))));
        let (mut text, mut messages) = (Vec::new(), endless);
        assert!(gather(&mut messages, LINES, &mut text).now_or_never().expect("no wait").is_none());
        assert!((CHUNK..CHUNK + 1001).contains(&text.len()), "{}", text.len());
    }
}
