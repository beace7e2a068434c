//! [`Span`]: what was done, from when to when, in which trace.

use super::SpanContext;
use crate::addr::Addr;
use jackfield_plugin_api::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whose part of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Somebody has asked the host for it.
    Server,
    /// The host has asked somebody for it.
    Client,
}

/// Something that was asked of the host, or by it, and has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where it stands in its trace.
    pub context: SpanContext,
    /// Whose part it is.
    pub kind: SpanKind,
    /// What it is called: what is alike has one name.
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970.
    pub end: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        SpanValue::Text(text)
    }
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        SpanValue::Text(text.to_owned())
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        SpanValue::Number(number.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        SpanValue::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Span {
    /// Of what was asked of the host and has ended now, after so long.
    pub fn new(context: SpanContext, name: impl Into<String>, took: Duration) -> Self {
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start = end.saturating_sub(took);
        let [start, end] =
            [start, end].map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let (name, attributes) = (name.into(), Vec::with_capacity(16));
        Span { context, kind: SpanKind::Server, name, start, end, attributes, error: None }
    }

    /// With an attribute, unless it is an empty text: what is not known is left out.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<SpanValue>) -> Self {
        let value = value.into();
        if value != SpanValue::Text(String::new()) {
            self.attributes.push((key, value));
        }
        self
    }

    /// With the address of the peer.
    #[must_use]
    pub fn with_peer(self, peer: Option<&Addr>) -> Self {
        match (peer, peer.and_then(Addr::socket)) {
            (_, Some(socket)) => self
                .with("network.peer.address", socket.ip().to_string())
                .with("network.peer.port", socket.port()),
            (Some(other), None) => self.with("network.peer.address", other.to_string()),
            (None, None) => self,
        }
    }

    /// That it failed, if there is an error, and why.
    #[must_use]
    pub fn with_error(mut self, error: Option<&Error>) -> Self {
        let Some(error) = error else { return self };
        self.error = Some(error.to_string());
        self.with("error.type", error.kind().as_str())
    }
}
