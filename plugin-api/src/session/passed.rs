//! A session of one plugin on its way to another, such as a layer's carrier: the host stands between, so
//! that plugins never hold each other's objects. Each sees the host's version of the tables only, and
//! the host knows at any time whose code runs.

use super::Session;
use crate::control::Control;
use crate::error::Result;
use crate::info::{Event, Info};
use crate::request::Address;
use serde_json::Value;
use std::time::Duration;

struct Passed(Session);

/// The same session, as one of this binary.
pub(super) fn pass(session: Session) -> Session {
    let stream = session.take_stream();
    let messages = session.take_messages();
    let datagrams = session.take_datagrams();
    let exchange = session.take_exchange();
    let facets = session.facets();
    let mut builder = Session::builder(Passed(session)).facets(facets);
    builder.parts.stream = stream;
    builder.parts.messages = messages;
    builder.parts.datagrams = datagrams;
    builder.parts.exchange = exchange;
    builder.build()
}

impl Control for Passed {
    fn info(&self) -> Info {
        self.0.info()
    }
    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.0.call(&operation, &params).await
    }
    async fn open_stream(&self, params: Value) -> Result<Session> {
        self.0.open_stream(&params).await
    }
    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.0.accept_stream().await
    }
    async fn dial(&self, address: Address) -> Result<Session> {
        self.0.dial(&address).await
    }
    async fn ping(&self) -> Result<Duration> {
        self.0.ping().await
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        self.0.next_event().await
    }
    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.0.close(code, &reason).await
    }
    async fn reset(&self) -> Result<()> {
        self.0.reset().await
    }
    async fn drain(&self) -> Result<()> {
        self.0.drain().await
    }
}
