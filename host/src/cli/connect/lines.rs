//! Standard input and output as messages: a line is a text message, in both directions.

use super::output::{Sent, Shown, Sink};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Messages, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, stdin};
use tokio::sync::watch;
use tokio::time::timeout;

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
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
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
    loop {
        let message = tokio::select! {
            biased;
            message = messages.next() => message,
            () = silence(&mut sent, linger) => return Ok(Shown::All),
        };
        let Some(message) = message.transpose()? else { return Ok(Shown::All) };
        let end: &[u8] =
            if message.kind == MessageKind::TEXT && !form.binary { b"\n" } else { b"" };
        if !sink.write(&[&message.payload, end]).await? {
            return Ok(Shown::NoReader);
        }
    }
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
