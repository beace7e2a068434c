//! Sessions over a session: what is dialled or opened over a connection is traffic of that connection, so that
//! one which carries others is not taken for idle.

use super::counted::{CountedMessages, CountedStream};
use super::counted_more::{CountedDatagrams, CountedExchange};
use super::live::Live;
use crate::relay::Totals;
use jackfield_plugin_api::{
    Address, Control, Datagrams, Event, Exchange, Facets, Info, Messages, Result, Session, Stream,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A session whose bytes and messages also count as those of what carries it. Its stream gives its descriptor
/// to no caller, since its bytes would not be counted.
struct Carried {
    inner: Session,
    carrier: Arc<Totals>,
}

/// `session`, whose traffic is also that of `carrier`: bytes, messages, datagrams, the content of requests and
/// answers, and what operations carry.
pub(super) fn carried(session: Session, carrier: &Arc<Totals>) -> Session {
    let stream = session.take_stream();
    let messages = session.take_messages();
    let (datagrams, exchange) = (session.take_datagrams(), session.take_exchange());
    let facets = session.facets().difference(Facets::TAKE_FD);
    let inner = Carried { inner: session, carrier: Arc::clone(carrier) };
    let mut builder = Session::builder(inner).facets(facets);
    if let Some(stream) = stream {
        builder = builder.stream(Stream::new(CountedStream::new(stream, Arc::clone(carrier))));
    }
    if let Some(messages) = messages {
        let messages = CountedMessages::new(messages, Arc::clone(carrier));
        builder = builder.messages(Messages::new(messages));
    }
    if let Some(datagrams) = datagrams {
        let datagrams = CountedDatagrams::new(datagrams, Arc::clone(carrier));
        builder = builder.datagrams(Datagrams::new(datagrams));
    }
    if let Some(exchange) = exchange {
        let exchange = CountedExchange::new(exchange, Arc::clone(carrier));
        builder = builder.exchange(Exchange::new(exchange));
    }
    builder.build()
}

impl Control for Carried {
    fn info(&self) -> Info {
        self.inner.info()
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.carrier.sent(weight(&params), 0);
        let result = self.inner.call(&operation, &params).await?;
        self.carrier.received(weight(&result), 0);
        Ok(result)
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        Ok(carried(self.inner.open_stream(&params).await?, &self.carrier))
    }

    async fn accept_stream(&self) -> Result<Option<Session>> {
        let accepted = self.inner.accept_stream().await?;
        Ok(accepted.map(|session| carried(session, &self.carrier)))
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        Ok(carried(self.inner.dial(&address).await?, &self.carrier))
    }

    async fn ping(&self) -> Result<Duration> {
        self.inner.ping().await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        self.inner.next_event().await
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.inner.close(code, &reason).await
    }

    async fn reset(&self) -> Result<()> {
        self.inner.reset().await
    }

    async fn drain(&self) -> Result<()> {
        self.inner.drain().await
    }
}

impl Live {
    /// Opens one more stream over its session, which is waited for at most for `limit`; what passes over it
    /// counts as its own. Cancel safe.
    ///
    /// # Errors
    /// As [`Live::wait_ready`]; [`ErrorKind::Unsupported`](jackfield_plugin_api::ErrorKind::Unsupported) if its
    /// sessions have no streams to open; what opening says.
    pub async fn open_stream(&self, params: &Value, limit: Duration) -> Result<Session> {
        let session = self.wait_ready(limit).await?;
        let opened = session.open_stream(params).await?;
        self.record_activity();
        Ok(carried(opened, &self.traffic))
    }

    /// The next stream that its peer opens, as [`Live::open_stream`]; `None` when there will be no more.
    ///
    /// # Errors
    /// As there.
    pub async fn accept_stream(&self, limit: Duration) -> Result<Option<Session>> {
        let session = self.wait_ready(limit).await?;
        let accepted = session.accept_stream().await?;
        self.record_activity();
        Ok(accepted.map(|accepted| carried(accepted, &self.traffic)))
    }
}

/// The bytes of texts in `value`, names included: what it carries, without what JSON adds.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + weight(value)).sum()
        }
    }
}
