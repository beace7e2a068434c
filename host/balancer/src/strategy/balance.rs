//! [`Balance`]: a strategy, by its name in configurations.

use super::{STRATEGIES, StrategyInfo, find};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

/// How an upstream picks its next target: a name out of [`STRATEGIES`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance(pub &'static StrategyInfo);

impl Default for Balance {
    fn default() -> Self {
        Self(&STRATEGIES[0])
    }
}

static NAMES: LazyLock<Vec<&str>> =
    LazyLock::new(|| STRATEGIES.iter().map(|info| info.name).collect());

struct BalanceVisitor;

impl de::Visitor<'_> for BalanceVisitor {
    type Value = Balance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
        write!(f, "one of {}", quoted.join(", "))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Balance, E> {
        find(text).map(Balance).ok_or_else(|| E::unknown_variant(text, &NAMES))
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BalanceVisitor)
    }
}

impl JsonSchema for Balance {
    fn schema_name() -> Cow<'static, str> {
        "Balance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let each: Vec<Schema> = STRATEGIES
            .iter()
            .map(|info| json_schema!({ "const": info.name, "description": info.summary }))
            .collect();
        json_schema!({ "oneOf": each })
    }
}
