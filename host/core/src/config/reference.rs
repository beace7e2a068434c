//! Values that refer to something else in the configuration.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::nearest::did_you_mean;
use crate::stack::uri::StackUri;

/// What a text of a configuration or a command refers to: where a route, an upstream's target or a verb
/// leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `upstreams.NAME`
    Upstream(String),
    /// `connections.NAME`
    Connection(String),
    /// `devices.NAME` or `devices.NAME.PATH`
    Device(DevicePath),
    /// `handlers.NAME`
    Handler(String),
    /// `admin`: the admin API of the host itself.
    Admin,
    /// A stack by its URI. Empty stands for "not given" and does not pass the checks.
    Uri(StackUri),
}

/// A path of a device: `devices.NAME.PATH`, or its default path: `devices.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePath {
    /// The device's name or one of its aliases.
    pub device: String,
    /// The path; `None`: the default one.
    pub path: Option<String>,
}

/// What dials for something else: `connections.NAME`, which `NAME` alone is short for,
/// `devices.NAME.PATH`, or a URI, which stands for a connection that nothing else uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// A connection.
    Connection(String),
    /// A path of a device.
    Device(DevicePath),
    /// A stack by its URI.
    Uri(Box<StackUri>),
}

/// Why a text refers to nothing. Never quotes a URI, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReferenceError(String);

type Build = fn(String) -> Reference;

/// A constructor for each table that a route can lead to.
const TABLES: &[(&str, Build)] = &[
    ("upstreams", Reference::Upstream),
    ("connections", Reference::Connection),
    ("devices", |name| Reference::Device(DevicePath::from_name(&name))),
    ("handlers", Reference::Handler),
];

/// How the admin API is written.
const ADMIN: &str = "admin";

pub(super) const DESTINATION: &str = "\"upstreams.NAME\", \"connections.NAME\", \"devices.NAME.PATH\", \
                                      \"handlers.NAME\", \"admin\" or a URI";
pub(super) const URI: &str = "a URI such as \"tcp://host:port\"";
pub(super) const VIA: &str = "\"connections.NAME\", \"devices.NAME.PATH\" or a URI";

impl Default for Reference {
    fn default() -> Self {
        Self::Uri(StackUri::default())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            return text.parse().map(Self::Uri).map_err(|error| {
                ReferenceError(format!("expected {DESTINATION}, but at {error}"))
            });
        }
        if text == ADMIN {
            return Ok(Self::Admin);
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
        let mut why = format!("expected {DESTINATION}");
        if is_name(text) {
            why.push_str(&format!("; a connection of that name is \"connections.{text}\""));
        }
        Err(ReferenceError(why))
    }
}

impl DevicePath {
    /// `NAME` or `NAME.PATH`: neither can have a dot in it.
    pub fn from_name(text: &str) -> Self {
        let (device, path) = match text.split_once('.') {
            Some((device, path)) => (device, Some(path.to_owned())),
            None => (text, None),
        };
        Self { device: device.to_owned(), path }
    }
}

impl fmt::Display for DevicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "devices.{}.{path}", self.device),
            None => write!(f, "devices.{}", self.device),
        }
    }
}

impl FromStr for Via {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            let uri: Result<StackUri, _> = text.parse();
            return uri
                .map(|uri| Self::Uri(uri.into()))
                .map_err(|error| ReferenceError(format!("expected {VIA}, but at {error}")));
        }
        let is_table = |name: &str| TABLES.iter().any(|(table, _)| *table == name);
        match text.split_once('.') {
            Some(("connections", name)) => Ok(Self::Connection(name.to_owned())),
            Some(("devices", name)) => Ok(Self::Device(DevicePath::from_name(name))),
            Some((table, _)) if is_table(table) => {
                Err(ReferenceError(format!("expected {VIA}: [{table}] cannot dial")))
            }
            _ if is_name(text) => Ok(Self::Connection(text.to_owned())),
            _ => Err(ReferenceError(format!("expected {VIA}"))),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "upstreams.{name}"),
            Self::Connection(name) => write!(f, "connections.{name}"),
            Self::Device(path) => path.fmt(f),
            Self::Handler(name) => write!(f, "handlers.{name}"),
            Self::Admin => f.write_str(ADMIN),
            Self::Uri(uri) => write!(f, "{uri}"),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(name) => write!(f, "connections.{name}"),
            Self::Device(path) => path.fmt(f),
            Self::Uri(uri) => uri.fmt(f),
        }
    }
}

/// Whether `name` may name a connection, an upstream, credentials or a handler, and without a dot a
/// device or one of its paths: a lower-case letter or digit,
/// then those, `_`, `.` and `-`; at most 64 bytes.
pub fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    first && name.len() <= 64 && name.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte)
}

/// Without a password, as [`StackUri`].
impl serde::Serialize for Via {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Uri(uri) = self {
            return uri.serialize(serializer);
        }
        serializer.collect_str(self)
    }
}

/// Without its password.
impl serde::Serialize for StackUri {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
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

deserialize_by_parsing!(Reference: DESTINATION, Via: VIA, StackUri: URI);
