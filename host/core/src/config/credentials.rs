//! `[credentials.NAME]`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::tree::Options;

/// `[credentials.NAME]`: options that let one in, by the names that drivers give them, and which
/// credentials are tried next. `Debug` shows the names only.
#[derive(Clone, Default, PartialEq)]
pub struct CredentialsConfig {
    /// Credentials tried in this order when these were refused. Default: `[]`.
    pub fallback: Vec<String>,
    /// Those of one role, such as `enable`, `sudo` or `bmc`, in the place of these: for lines of a login and for paths
    /// that name the role. Default: none.
    pub roles: BTreeMap<String, Options>,
    /// Options for whichever driver of a stack has them. `username` and `user` are the same.
    pub options: Options,
}

impl fmt::Debug for CredentialsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fallback, roles, options } = self;
        f.debug_struct("CredentialsConfig")
            .field("fallback", fallback)
            .field("roles", roles)
            .field("options", options)
            .finish()
    }
}

struct CredentialsVisitor;

impl<'de> de::Visitor<'de> for CredentialsVisitor {
    type Value = CredentialsConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut fallback, mut roles, mut options) = (Vec::new(), BTreeMap::new(), Map::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "fallback" => fallback = map.next_value()?,
                "roles" => roles = map.next_value()?,
                _ => drop(options.insert(key, map.next_value::<Value>()?)),
            }
        }
        Ok(CredentialsConfig { fallback, roles, options: Options(options) })
    }
}

impl<'de> Deserialize<'de> for CredentialsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CredentialsVisitor)
    }
}

impl JsonSchema for CredentialsConfig {
    fn schema_name() -> Cow<'static, str> {
        "CredentialsConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fallback = generator.subschema_for::<Vec<String>>();
        let roles = generator.subschema_for::<BTreeMap<String, Map<String, Value>>>();
        json_schema!({
            "type": "object",
            "properties": { "fallback": fallback, "roles": roles },
            "additionalProperties": true,
        })
    }
}
