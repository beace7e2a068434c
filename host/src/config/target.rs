//! One target of an upstream: a URI, or a table around it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::model::Labels;
use super::reference::Via;
use super::tree::Options;
use crate::stack::uri::StackUri;

/// One place that an upstream can connect to. Written as a URI alone, or as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What to connect to. Required.
    pub uri: StackUri,
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
    /// Free labels. Default: none.
    pub labels: Labels,
}

/// [`Target`] as a table.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TargetTable {
    uri: StackUri,
    weight: u16,
    priority: u16,
    max_connections: Option<u32>,
    options: Options,
    via: Option<Via>,
    labels: Labels,
}

impl Default for TargetTable {
    fn default() -> Self {
        let Target { uri, weight, priority, max_connections, options, via, labels } =
            Target::from(StackUri::default());
        Self { uri, weight, priority, max_connections, options, via, labels }
    }
}

impl Target {
    /// Values out of range: the key, and what was expected.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        const SHARE: &str = "expected a whole number from 0 to 1000";
        let none = self.max_connections == Some(0);
        let wrong = [
            (self.weight > 1000, "weight", SHARE),
            (self.priority > 1000, "priority", SHARE),
            (none, "max_connections", "expected a whole number of at least 1"),
        ];
        let wrong = wrong.into_iter().filter(|(wrong, ..)| *wrong);
        wrong.map(|(_, key, expected)| (key, expected)).collect()
    }
}

impl From<StackUri> for Target {
    fn from(uri: StackUri) -> Self {
        Self {
            uri,
            weight: 1,
            priority: 0,
            max_connections: None,
            options: Options::default(),
            via: None,
            labels: Labels::new(),
        }
    }
}

struct TargetVisitor;

impl<'de> de::Visitor<'de> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URI, or a table with the key uri")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
        text.parse().map(|uri: StackUri| uri.into()).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        let table = TargetTable::deserialize(MapAccessDeserializer::new(map))?;
        let TargetTable { uri, weight, priority, max_connections, options, via, labels } = table;
        Ok(Target { uri, weight, priority, max_connections, options, via, labels })
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let uri = generator.subschema_for::<StackUri>();
        let table = generator.subschema_for::<TargetTable>();
        json_schema!({ "anyOf": [uri, table] })
    }
}
