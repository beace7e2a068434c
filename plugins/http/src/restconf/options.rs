//! [`RestconfOptions`].

use crate::options::HttpOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `restconf`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestconfOptions {
    /// The root of the API, such as `/restconf`. Not set: what the server tells under `/.well-known/host-meta`.
    pub root: Option<String>,
    /// In which form data is, where an operation does not say.
    pub format: Form,
    /// Options of the client of `http` by which requests are made.
    pub client: HttpOptions,
}

/// How data is written (RFC 8040 §3.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `application/yang-data+json` (RFC 7951).
    #[default]
    Json,
    /// `application/yang-data+xml`.
    Xml,
}

impl Form {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/yang-data+json",
            Form::Xml => "application/yang-data+xml",
        }
    }
}
