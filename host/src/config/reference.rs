//! Values that refer to something else in the configuration.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::nearest::did_you_mean;
use crate::stack::uri::StackUri;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `upstreams.NAME`
    Upstream(String),
    /// `connections.NAME`
    Connection(String),
    /// `handlers.NAME`
    Handler(String),
    /// A stack by its URI. Empty stands for "not given" and does not pass the checks.
    Uri(StackUri),
}

/// The connection that dials for another one, by name: `connections.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via(pub String);

/// Why a text refers to nothing. Never quotes a URI, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReferenceError(String);

type Build = fn(String) -> Destination;

/// A constructor for each table that a route can lead to.
const TABLES: &[(&str, Build)] = &[
    ("upstreams", Destination::Upstream),
    ("connections", Destination::Connection),
    ("handlers", Destination::Handler),
];

const DESTINATION: &str = "\"upstreams.NAME\", \"connections.NAME\", \"handlers.NAME\" or a URI";
const URI: &str = "a URI such as \"tcp://host:port\"";
const VIA: &str = "\"connections.NAME\"";

impl Default for Destination {
    fn default() -> Self {
        Self::Uri(StackUri::default())
    }
}

impl FromStr for Destination {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            return text.parse().map(Self::Uri).map_err(|error| {
                ReferenceError(format!("expected {DESTINATION}, but at {error}"))
            });
        }
        if let Some((table, name)) = text.split_once('.') {
            if let Some((_, build)) = TABLES.iter().find(|(known, _)| *known == table) {
                return Ok(build(name.to_owned()));
            }
            let near = did_you_mean(table, TABLES.iter().map(|(known, _)| *known));
            if let Some(near) = near {
                let hint = format!("expected {DESTINATION} (did you mean \"{near}.{name}\"?)");
                return Err(ReferenceError(hint));
            }
        }
        Err(ReferenceError(format!("expected {DESTINATION}")))
    }
}

impl FromStr for Via {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.split_once('.') {
            Some(("connections", name)) => Ok(Self(name.to_owned())),
            _ if !text.is_empty() && text.bytes().all(is_name_byte) && !text.contains('.') => Err(
                ReferenceError(format!("expected {VIA} (did you mean \"connections.{text}\"?)")),
            ),
            _ => Err(ReferenceError(format!("expected {VIA}"))),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "upstreams.{name}"),
            Self::Connection(name) => write!(f, "connections.{name}"),
            Self::Handler(name) => write!(f, "handlers.{name}"),
            Self::Uri(uri) => write!(f, "{uri}"),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connections.{}", self.0)
    }
}

/// Whether `name` may name a connection, an upstream or a handler: a lower-case letter or digit,
/// then those, `_`, `.` and `-`; at most 64 bytes.
pub fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first && name.len() <= 64 && name.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte)
}

impl serde::Serialize for Via {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Without its password.
impl serde::Serialize for StackUri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct ParseVisitor<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for ParseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! deserialize_by_parsing {
    ($($type:ty: $expecting:expr),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ParseVisitor($expecting, std::marker::PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $expecting })
            }
        }
    )*};
}

deserialize_by_parsing!(Destination: DESTINATION, Via: VIA, StackUri: URI);
