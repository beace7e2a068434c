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
    /// The session is the notifications of this stream (RFC 8040 §6): its name, as in `NETCONF`, whose address the
    /// server tells, or a path that begins with a slash.
    pub stream: Option<String>,
    /// Of `stream`: those since that time are told first (RFC 3339), where the server keeps them.
    pub start_time: Option<String>,
    /// Of `stream`: the last that are told are of that time; needs `start_time`.
    pub stop_time: Option<String>,
    /// Of `stream`: which are told, as XPath.
    pub filter: Option<String>,
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
    /// As a server calls it where it tells what its streams are written in (RFC 8040 §6.2).
    pub(super) fn encoding(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Xml => "xml",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/yang-data+json",
            Form::Xml => "application/yang-data+xml",
        }
    }
}
