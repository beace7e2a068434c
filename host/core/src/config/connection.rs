//! The keys of `[connections.NAME]`.

use std::sync::LazyLock;

use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::model::Labels;
use super::reference::Via;
use super::templates::Extends;
use super::tree::Options;
use crate::connection::Policy;
use crate::stack::uri::StackUri;

/// `[connections.NAME]`: one named connection. A route that leads to it opens a session of its own
/// for each of its own; connections that go via it share one session, which is opened when first
/// needed and watched as its [`Policy`] says.
///
/// Serialised, it has every key; [`sparse`] leaves out those at their defaults. A password in the URI is
/// left out of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionConfig {
    /// The template whose keys it has, too, as far as it does not say them itself; see `[templates.NAME]`. Files
    /// only. Default: none.
    #[serde(skip_serializing)]
    #[schemars(extend("x-apply" = "none"))]
    pub extends: Extends,
    /// What to connect to. Required.
    #[schemars(extend("x-apply" = "drain"))]
    pub uri: StackUri,
    /// Options of the drivers in the stack; see `jackfield drivers NAME`. Default: none.
    pub options: Options,
    /// What dials for this one: `"connections.NAME"`, short `"NAME"`, or `"devices.NAME.PATH"`.
    /// Default: the host dials.
    #[schemars(extend("x-apply" = "drain"))]
    pub via: Option<Via>,
    /// Login dialogue of a new session, before it counts as open: prompts to expect and what to send. Default:
    /// nothing is sent.
    pub login: Option<Options>,
    /// What stands around its operations: names of `[interceptors.NAME]`, of the same order from the outside
    /// to the inside. Default: `[]`.
    pub interceptors: Vec<String>,
    /// Free labels. Default: none.
    pub labels: Labels,
    /// What it does by itself.
    #[serde(flatten)]
    pub policy: Policy,
}

impl ConnectionConfig {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        problems(&self.uri, &self.policy)
    }
}

/// Values out of range of a connection or of a path.
pub(super) fn problems(uri: &StackUri, policy: &Policy) -> Vec<Problem> {
    let mut found = Ranges::new().expect(!uri.is_empty(), "uri", NO_URI).problems();
    found.extend(policy.problems());
    found
}

static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let defaults = serde_json::to_value(ConnectionConfig::default());
    defaults.ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
});

/// Serialises the keys of `config` that differ from their defaults.
///
/// # Errors
/// Those of the serializer.
pub fn sparse<S: Serializer>(config: &ConnectionConfig, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(config).map_err(S::Error::custom)?;
    if let Some(table) = value.as_object_mut() {
        table.retain(|key, value| DEFAULTS.get(key) != Some(value));
    }
    value.serialize(serializer)
}

/// What is said of a URI that is missing.
pub(super) const NO_URI: &str = "expected a URI such as \"tcp://host:port\", found none";
