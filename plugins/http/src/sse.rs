//! A session of the server-sent events that one GET is answered with.

use crate::call::{Params, asked, reach};
use crate::client::Client;
use crate::failure::closed;
use crate::session::refused;
use crate::sse_reader::{Heard, Reader};
use bytes::Bytes;
use futures_util::{Sink, Stream as FuturesStream, StreamExt};
use jackfield_plugin_api::{
    Body, BodyPart, Control, Envelope, Error, ErrorKind, Info, Message, MessageKind, Messages,
    Result, Session,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What is told of an event beside what SSE itself says, by its data.
pub(crate) type Facts = fn(&str) -> Map<String, Value>;

/// Asks for the events of `target`.
pub(crate) async fn asked_for(
    client: &Arc<Client>,
    target: &str,
    query: &BTreeMap<String, Value>,
) -> Result<Envelope> {
    // Compressed ones would wait for others to be packed with.
    let fields = [
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("cache-control", "no-store"),
    ];
    let own = |name: &str| client.endpoint.headers.iter().any(|(have, _)| have == name);
    let fields = fields.into_iter().filter(|(name, _)| !own(name));
    let headers = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let params = Params { headers, query: query.clone(), ..Params::default() };
    let mut asked = asked("get", params, target)?;
    Ok(reach(client, &mut asked).await?.0)
}

/// A session of the events in an answer.
///
/// # Errors
/// The answer has none.
pub(crate) fn session(client: Arc<Client>, answer: Envelope, facts: Facts) -> Result<Session> {
    check(&answer)?;
    let reader = Reader::new(client.endpoint.max_event);
    let events = Events { body: Some(answer.body), bytes: Bytes::new(), reader, facts };
    let messages = Messages::new(events);
    Ok(Session::builder(EventsControl { client }).messages(messages).build())
}

/// Whether an answer has events.
fn check(answer: &Envelope) -> Result<()> {
    let field = |name| answer.head.get(name).unwrap_or_default();
    let status = field(":status");
    if status != b"200" {
        return Err(refused(status, "gives no events"));
    }
    let kind = String::from_utf8_lossy(field("content-type"));
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/event-stream") {
        let text = "the server answered with something else than server-sent events";
        return Err(Error::new(ErrorKind::Protocol, text).with("content_type", kind));
    }
    match field("content-encoding").trim_ascii() {
        b"" | b"identity" => Ok(()),
        coding => {
            let text = "the server compresses its events although it was asked not to";
            let coding = String::from_utf8_lossy(coding);
            Err(Error::new(ErrorKind::Protocol, text).with("content_encoding", coding))
        }
    }
}

/// The message facet: each event is a message.
struct Events {
    /// `None`: it has ended.
    body: Option<Body>,
    /// Of the body, and not read yet.
    bytes: Bytes,
    reader: Reader,
    facts: Facts,
}

impl FuturesStream for Events {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Events { body, bytes, reader, facts } = &mut *self;
        let failed = loop {
            match reader.next(bytes) {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(message(event, *facts)))),
                Ok(None) => {}
                Err(error) => break error,
            }
            // What has not ended with an empty line is none.
            let Some(rest) = body else { return Poll::Ready(None) };
            match ready!(rest.poll_next_unpin(cx)) {
                Some(Ok(BodyPart::Data(more))) => *bytes = more,
                Some(Ok(BodyPart::Trailers(_))) => {}
                Some(Err(error)) => break error,
                None => *body = None,
            }
        };
        (*body, *bytes) = (None, Bytes::new());
        Poll::Ready(Some(Err(failed)))
    }
}

fn message(event: Heard, more: Facts) -> Message {
    let mut facts = more(&event.data);
    facts.insert("event".to_owned(), Value::String(event.name));
    if !event.id.is_empty() {
        facts.insert("id".to_owned(), Value::String(event.id));
    }
    if let Some(retry) = event.retry {
        facts.insert("retry".to_owned(), retry.into());
    }
    let metadata = Bytes::from(Value::Object(facts).to_string());
    Message::of(MessageKind::TEXT, event.data.into()).with_metadata(metadata)
}

impl Sink<Message> for Events {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(match self.body {
            Some(_) => Ok(()),
            None => Err(closed()),
        })
    }

    fn start_send(self: Pin<&mut Self>, _: Message) -> Result<()> {
        Err(Error::unsupported("sending to where server-sent events come from"))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct EventsControl {
    client: Arc<Client>,
}

impl Control for EventsControl {
    fn info(&self) -> Info {
        self.client.info.clone()
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.client.end();
        Ok(())
    }
}
