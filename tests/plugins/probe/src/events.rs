//! A handler whose answers go on until the host stops.

use futures_util::stream::{StreamExt, once};
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Facets, Handler, HandlerInfo, HeaderBlock, Host, Incoming, Result,
    ServerEvent, Serving, Session,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::future::{poll_fn, ready};

/// No options.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsOptions {}

/// The handler.
#[derive(Debug)]
pub struct Events(Host);

impl Handler for Events {
    const INFO: HandlerInfo = HandlerInfo::new(
        "probe-events",
        "Answers with events that end when the host stops",
        Facets::EXCHANGE,
    );
    type Options = EventsOptions;

    fn new(host: Host, EventsOptions {}: EventsOptions) -> Result<Self> {
        Ok(Events(host))
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let Some(exchange) = session.take_exchange() else { return Ok(()) };
        let mut serving = Serving::new(exchange, 100);
        let host = self.0;
        poll_fn(|cx| serving.poll(cx, |incoming| answer(host, incoming))).await
    }
}

async fn answer(host: Host, incoming: Incoming) {
    let fields = [(":status", "200"), ("content-type", "text/event-stream")];
    let Ok(head) = HeaderBlock::new(fields) else { return };
    let event = |text: &'static str| ServerEvent::new(text).encode().map(BodyPart::Data);
    let last = once(Box::pin(async move {
        host.stopping().await;
        event("bye")
    }));
    let body = Body::new(once(ready(event("hello"))).chain(last));
    // The client may be gone.
    let _ = incoming.answer.send(Envelope::new(head, body)).await;
}
