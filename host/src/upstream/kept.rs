//! Sessions around sessions: the calls go to the one inside, and what is to live as long lives in
//! the control.

use jackfield_plugin_api::{
    Address, Control, Datagrams, Event, Exchange, Facets, Info, Messages, Result, Session, Stream,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The data facets of a session, each given away once.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) stream: Option<Stream>,
    pub(super) messages: Option<Messages>,
    pub(super) datagrams: Option<Datagrams>,
    pub(super) exchange: Option<Exchange>,
}

impl Parts {
    /// All that `session` still has.
    pub(super) fn of(session: &Session) -> Self {
        Parts {
            stream: session.take_stream(),
            messages: session.take_messages(),
            datagrams: session.take_datagrams(),
            exchange: session.take_exchange(),
        }
    }
}

/// What those that share a session with others may not do: its data, its events and its end belong
/// to nobody of them.
const NOT_SHARED: Facets = Facets::EVENTS
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN)
    .union(Facets::ACCEPT_STREAM)
    .union(Facets::TAKE_FD)
    .union(Facets::RESET);

struct Kept<G> {
    inner: Arc<Session>,
    shared: bool,
    _guard: G,
}

/// `session` with `parts` for its data, to one user; `guard` lives as long as the result.
pub(super) fn whole<G: Send + Sync + 'static>(
    session: Arc<Session>,
    parts: Parts,
    guard: G,
) -> Session {
    let facets = session.facets();
    let mut builder =
        Session::builder(Kept { inner: session, shared: false, _guard: guard }).facets(facets);
    if let Some(stream) = parts.stream {
        builder = builder.stream(stream);
    }
    if let Some(messages) = parts.messages {
        builder = builder.messages(messages);
    }
    if let Some(datagrams) = parts.datagrams {
        builder = builder.datagrams(datagrams);
    }
    if let Some(exchange) = parts.exchange {
        builder = builder.exchange(exchange);
    }
    builder.build()
}

/// A session for its user, and the same one for whoever watches over it.
pub fn shared(session: Session) -> (Session, Arc<Session>) {
    let parts = Parts::of(&session);
    let inner = Arc::new(session);
    (whole(Arc::clone(&inner), parts, ()), inner)
}

/// Only the calls of `session`, which others use too: it has no data, and its close ends nothing.
pub(super) fn calls_of(session: Arc<Session>) -> Session {
    let facets = session.facets().difference(NOT_SHARED);
    Session::builder(Kept { inner: session, shared: true, _guard: () }).facets(facets).build()
}

impl<G: Send + Sync + 'static> Control for Kept<G> {
    fn info(&self) -> Info {
        self.inner.info()
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.inner.call(&operation, &params).await
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        self.inner.open_stream(&params).await
    }

    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.inner.accept_stream().await
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        self.inner.dial(&address).await
    }

    async fn ping(&self) -> Result<Duration> {
        self.inner.ping().await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        if self.shared { Ok(None) } else { self.inner.next_event().await }
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        if self.shared { Ok(()) } else { self.inner.close(code, &reason).await }
    }

    async fn reset(&self) -> Result<()> {
        if self.shared { Ok(()) } else { self.inner.reset().await }
    }

    async fn drain(&self) -> Result<()> {
        if self.shared { Ok(()) } else { self.inner.drain().await }
    }
}
