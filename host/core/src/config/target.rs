//! One target of an upstream: a URI, a named connection or a path of a device, or a table around it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::connection::NO_URI;
use super::model::Labels;
use super::reference::{Reference, Via};
use super::tree::Options;
use crate::stack::uri::StackUri;
use jackfield_text::range::{Problem, Ranges};

/// One place that an upstream can connect to. Written as a URI or a name alone, or as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetConfig {
    /// What to connect to. Required, unless there is `to`.
    pub uri: StackUri,
    /// In place of `uri`: `"connections.NAME"` or `"devices.NAME.PATH"`. The upstream opens sessions of its
    /// own, by what is said there of options, `via`, `login` and credentials. Default: none.
    pub to: Option<Via>,
    /// Share of the sessions, relative to the other targets; 0 to 1000. 0 drains the target: it gets
    /// no sessions. Default: 1.
    pub weight: u16,
    /// 0 serves first; targets of a higher number only when none of a lower one is healthy or has
    /// room. 0 to 1000. Default: 0.
    pub priority: u16,
    /// Sessions at this target at a time; when it is full, others serve. Default: no limit.
    pub max_connections: Option<u32>,
    /// Options of the drivers in the stack. Default: none.
    pub options: Options,
    /// The connection that dials for this target: `"connections.NAME"`. Default: the host dials.
    pub via: Option<Via>,
    /// How one logs in on a new session; name and password are those of the credentials, unless it
    /// has its own. Default: nothing is said.
    pub login: Option<Options>,
    /// The credentials of this target. Default: none.
    pub credentials: Option<String>,
    /// Free labels. Default: none.
    pub labels: Labels,
}

/// [`TargetConfig`] as a table.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TargetTable {
    uri: StackUri,
    to: Option<Via>,
    weight: u16,
    priority: u16,
    max_connections: Option<u32>,
    options: Options,
    via: Option<Via>,
    login: Option<Options>,
    credentials: Option<String>,
    labels: Labels,
}

impl Default for TargetTable {
    fn default() -> Self {
        let target = TargetConfig::from(StackUri::default());
        Self {
            uri: target.uri,
            to: target.to,
            weight: target.weight,
            priority: target.priority,
            max_connections: target.max_connections,
            options: target.options,
            via: target.via,
            login: target.login,
            credentials: target.credentials,
            labels: target.labels,
        }
    }
}

impl From<TargetTable> for TargetConfig {
    fn from(table: TargetTable) -> Self {
        Self {
            uri: table.uri,
            to: table.to,
            weight: table.weight,
            priority: table.priority,
            max_connections: table.max_connections,
            options: table.options,
            via: table.via,
            login: table.login,
            credentials: table.credentials,
            labels: table.labels,
        }
    }
}

impl TargetConfig {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        const SHARE: &str = "expected a whole number from 0 to 1000";
        const THERE: &str = "expected beside uri only: what `to` names has its own";
        let none = self.max_connections == Some(0);
        let named = self.to.is_some();
        let is_uri = matches!(self.to, Some(Via::Uri(_)));
        let wrong = [
            (self.uri.is_empty() && !named, "uri", NO_URI),
            (
                is_uri,
                "to",
                "expected \"connections.NAME\" or \"devices.NAME.PATH\"; a URI stands in uri",
            ),
            (!self.uri.is_empty() && named, "to", "expected either uri or to, found both"),
            (named && !self.options.is_empty(), "options", THERE),
            (named && self.via.is_some(), "via", THERE),
            (named && self.login.is_some(), "login", THERE),
            (named && self.credentials.is_some(), "credentials", THERE),
            (self.weight > 1000, "weight", SHARE),
            (self.priority > 1000, "priority", SHARE),
            (none, "max_connections", "expected a whole number of at least 1"),
        ];
        let found = |ranges: Ranges, (wrong, key, expected): (bool, &str, &str)| {
            ranges.expect(!wrong, key, expected)
        };
        wrong.into_iter().fold(Ranges::new(), found).problems()
    }
}

/// What differs from the defaults. A password in the URI is left out.
impl Serialize for TargetConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.uri.is_empty() {
            map.serialize_entry("uri", &self.uri)?;
        }
        self.to.iter().try_for_each(|to| map.serialize_entry("to", to))?;
        if self.weight != 1 {
            map.serialize_entry("weight", &self.weight)?;
        }
        if self.priority != 0 {
            map.serialize_entry("priority", &self.priority)?;
        }
        self.max_connections
            .iter()
            .try_for_each(|it| map.serialize_entry("max_connections", it))?;
        if !self.options.is_empty() {
            map.serialize_entry("options", &self.options)?;
        }
        self.via.iter().try_for_each(|via| map.serialize_entry("via", via))?;
        self.login.iter().try_for_each(|login| map.serialize_entry("login", login))?;
        self.credentials.iter().try_for_each(|it| map.serialize_entry("credentials", it))?;
        if !self.labels.is_empty() {
            map.serialize_entry("labels", &self.labels)?;
        }
        map.end()
    }
}

impl From<StackUri> for TargetConfig {
    fn from(uri: StackUri) -> Self {
        Self {
            uri,
            to: None,
            weight: 1,
            priority: 0,
            max_connections: None,
            options: Options::default(),
            via: None,
            login: None,
            credentials: None,
            labels: Labels::new(),
        }
    }
}

impl From<Via> for TargetConfig {
    fn from(to: Via) -> Self {
        Self { to: Some(to), ..TargetConfig::from(StackUri::default()) }
    }
}

/// A target as a text alone.
impl FromStr for TargetConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return text.parse().map(|uri: StackUri| uri.into()).map_err(|error| error.to_string());
        }
        match text.parse() {
            Ok(Reference::Connection(name)) => Ok(Via::Connection(name).into()),
            Ok(Reference::Device(path)) => Ok(Via::Device(path).into()),
            _ => Err(format!("expected {EXPECTED}")),
        }
    }
}

struct TargetVisitor;

pub(super) const EXPECTED: &str =
    "a URI, \"connections.NAME\", \"devices.NAME.PATH\", or a table with the key uri or to";

impl<'de> de::Visitor<'de> for TargetVisitor {
    type Value = TargetConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetConfig, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TargetConfig, A::Error> {
        TargetTable::deserialize(MapAccessDeserializer::new(map)).map(TargetConfig::from)
    }
}

impl<'de> Deserialize<'de> for TargetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

impl JsonSchema for TargetConfig {
    fn schema_name() -> Cow<'static, str> {
        "TargetConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let uri = generator.subschema_for::<StackUri>();
        let table = generator.subschema_for::<TargetTable>();
        json_schema!({ "anyOf": [uri, table], "description": EXPECTED })
    }
}
