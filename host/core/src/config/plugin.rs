//! The keys of `[plugins.NAME]`, `[handlers.NAME]` and `[interceptors.NAME]`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::model::Config;
use super::tree::Options;
use crate::nearest::did_you_mean;
use crate::secret::SecretRef;

/// `[plugins.NAME]`: what one plugin may do; NAME is that of its package, as `jackfield plugins` shows it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// `[plugins.NAME.secrets]`: the secrets that the plugin may read from the host, by the names that it
    /// asks for. Default: none.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// Where a secret is kept: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = ["PROGRAM"] }` or
/// `{ prompt = "TEXT" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource(pub SecretRef);

/// `[handlers.NAME]`: a handler of a plugin, with its options.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HandlerConfig {
    /// The name the plugin gives its handler. Default: the NAME of this table.
    pub handler: Option<String>,
    /// Options of the handler. Default: none.
    pub options: Options,
}

/// `[interceptors.NAME]`: an interceptor of a plugin, with its options.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InterceptorConfig {
    /// The name the plugin gives its interceptor. Default: the NAME of this table.
    #[serde(rename = "use")]
    pub interceptor: Option<String>,
    /// Options of the interceptor. Default: none.
    pub options: Options,
}

/// What a secret has to be.
pub(super) const SOURCE: &str =
    "{ env = \"NAME\" }, { file = \"PATH\" }, { command = [\"PROGRAM\"] } or { prompt = \"TEXT\" }";

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretSource::detect(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl SecretSource {
    /// Where `value` says that a secret is, or what was expected.
    pub(super) fn detect(value: &Value) -> Result<Self, String> {
        SecretRef::detect(value).map(SecretSource).ok_or_else(|| {
            // The value may be the secret itself: only a key is looked at.
            let only = value.as_object().filter(|table| table.len() == 1);
            let key = only.and_then(|table| table.keys().next());
            let near = key.and_then(|key| did_you_mean(key, ["env", "file", "command", "prompt"]));
            let near = near.filter(|near| key.is_some_and(|key| key != near));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            format!("expected {SOURCE}{hint}")
        })
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": SOURCE })
    }
}

impl Config {
    /// Every list of interceptors, by the table that it stands in.
    pub(super) fn interceptor_lists(&self) -> impl Iterator<Item = (Vec<&str>, &[String])> {
        let connections = self.connections.iter().map(|(name, connection)| {
            (vec!["connections", name.as_str()], &connection.interceptors[..])
        });
        let upstreams = self
            .upstreams
            .iter()
            .map(|(name, upstream)| (vec!["upstreams", name.as_str()], &upstream.interceptors[..]));
        let paths = self.devices.iter().flat_map(|(device, with)| {
            with.paths.iter().map(move |(name, path)| {
                (vec!["devices", device.as_str(), "paths", name.as_str()], &path.interceptors[..])
            })
        });
        connections.chain(paths).chain(upstreams)
    }

    /// Leaves out the interceptors that nothing names.
    pub fn retain_used_interceptors(&mut self) {
        let lists = self.interceptor_lists().flat_map(|(_, names)| names);
        let used: Vec<String> = lists.cloned().collect();
        self.interceptors.retain(|name, _| used.contains(name));
    }
}
