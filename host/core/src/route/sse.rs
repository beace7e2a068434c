//! What a session sends, as server-sent events (`text/event-stream`), the answer to a GET.
//!
//! Of a stream each line is an event; of messages and datagrams, each one. What is not UTF-8 is replaced
//! by U+FFFD, since the format knows nothing else. Each request has a session of its own, to which nothing
//! is sent, and which ends when the client leaves.

use super::Far;
use crate::relay::End;
use crate::shutdown::Stopping;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Error, HeaderBlock, Messages, Result, ServerEvent, Stream,
};
use std::str::from_utf8;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Silence after which a comment shows that the connection is still there, to the client and to us.
const QUIET: Duration = Duration::from_secs(15);

/// Room for one read.
const READ: usize = 4 << 10;

/// Whether a request may have events.
pub(super) enum Asked {
    /// The listener takes server-sent events.
    Events,
    /// It wants only the head of such an answer.
    Head,
    /// It wants something else.
    Other,
}

impl Asked {
    pub(super) fn of(head: &HeaderBlock) -> Self {
        match head.get(":method") {
            Some(b"GET") => Asked::Events,
            Some(b"HEAD") => Asked::Head,
            _ => Asked::Other,
        }
    }
}

/// An answer with events.
pub(super) fn answer(body: Body) -> Result<Envelope> {
    let fields =
        [(":status", "200"), ("content-type", "text/event-stream"), ("cache-control", "no-store")];
    Ok(Envelope::new(HeaderBlock::new(fields)?, body))
}

/// An answer to what asks for no events.
pub(super) fn refusal() -> Result<Envelope> {
    let fields =
        [(":status", "405"), ("allow", "GET, HEAD"), ("content-type", "text/plain; charset=utf-8")];
    Ok(Envelope::new(
        HeaderBlock::new(fields)?,
        Body::full("this is a stream of events; request it by GET\n"),
    ))
}

/// What `far` sends as events, until it ends or the host stops. A line of more than `longest` bytes
/// becomes several.
pub(super) fn events(far: Far, longest: usize, stopping: Stopping) -> Result<Body> {
    let source = match End::of(far.session()) {
        Some(End::Stream(stream)) => {
            EventSource::Lines { stream, text: BytesMut::new(), longest, ended: false }
        }
        Some(End::Messages(messages)) => EventSource::Messages(messages),
        Some(End::Datagrams(datagrams)) => {
            EventSource::Messages(crate::relay::messages_of(datagrams))
        }
        Some(End::Watched(_)) | None => {
            let text = "events of a session without a stream, messages or datagrams to give";
            return Err(Error::unsupported(text));
        }
    };
    let events = Events { source, stopping, _far: far };
    // The head goes out at once, with something to show.
    let first = futures_util::stream::iter([Ok(BodyPart::Data(ServerEvent::nothing()))]);
    let rest = futures_util::stream::try_unfold(events, Events::next);
    Ok(Body::new(Box::pin(first.chain(rest))))
}

struct Events {
    // Dropped in this order.
    source: EventSource,
    stopping: Stopping,
    /// Lives as long as what was taken of it, so that it counts as in use.
    _far: Far,
}

impl Events {
    async fn next(mut self) -> Result<Option<(BodyPart, Self)>> {
        let more = tokio::select! {
            biased;
            () = self.stopping.told() => return Ok(None),
            more = self.source.more() => more?,
            () = jackfield_timers::sleep(QUIET) => Some(ServerEvent::nothing()),
        };
        Ok(more.map(|bytes| (BodyPart::Data(bytes), self)))
    }
}

enum EventSource {
    Lines { stream: Stream, text: BytesMut, longest: usize, ended: bool },
    Messages(Messages),
}

impl EventSource {
    /// At least one event on the wire; `None` at the end. Cancel safe.
    async fn more(&mut self) -> Result<Option<Bytes>> {
        match self {
            EventSource::Messages(messages) => match messages.next().await {
                Some(message) => event(&message?.payload).map(Some),
                None => Ok(None),
            },
            EventSource::Lines { stream, text, longest, ended } => loop {
                let mut out = BytesMut::new();
                while let Some(line) = line(text, *longest) {
                    out.extend_from_slice(&event(&line)?);
                }
                if *ended && !text.is_empty() {
                    out.extend_from_slice(&event(&text.split())?);
                }
                if *ended || !out.is_empty() {
                    return Ok((!out.is_empty()).then(|| out.freeze()));
                }
                text.reserve(READ);
                *ended = stream.read_buf(text).await? == 0;
            },
        }
    }
}

/// Takes the first line out of `text`, without its end; of one that is too long, as much as may be.
fn line(text: &mut BytesMut, longest: usize) -> Option<BytesMut> {
    let Some(at) = text.iter().position(|byte| *byte == b'\n').filter(|at| *at <= longest) else {
        return (text.len() > longest).then(|| text.split_to(whole(&text[..longest])));
    };
    let mut line = text.split_to(at + 1);
    line.truncate(at);
    if line.ends_with(b"\r") {
        line.truncate(at - 1);
    }
    Some(line)
}

/// Where `bytes` end at the latest, if not in the middle of a character.
fn whole(bytes: &[u8]) -> usize {
    match from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn event(data: &[u8]) -> Result<Bytes> {
    let data = String::from_utf8_lossy(data);
    ServerEvent::new(&data).encode()
}

#[cfg(test)]
mod tests {
    use super::line;
    use bytes::BytesMut;

    #[test]
    fn lines_are_cut_at_their_ends_and_where_they_are_too_long() {
        let mut text = BytesMut::from("a\r\n\nlonger than\ncafés\nrest".as_bytes());
        let mut found = Vec::new();
        while let Some(line) = line(&mut text, 4) {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(found, ["a", "", "long", "er t", "han", "caf", "és"]);
        assert_eq!(text, "rest");
    }
}
