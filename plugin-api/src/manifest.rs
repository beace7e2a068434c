//! What a plugin says of itself: constants that authors write, and the JSON that hosts read.
//!
//! The same JSON stands twice: without schemas in an ELF section, read before any code of the plugin
//! runs, and whole from `describe`.

use crate::facets::Facets;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The ABI major: both sides must have the same.
pub const ABI_MAJOR: u32 = 1;
/// The ABI minor of this crate: what a plugin is built with, and the most a host offers.
pub const ABI_MINOR: u32 = 0;

/// Whether a driver reaches the outside world or speaks over what something below gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Turns an address into a session by itself.
    Transport,
    /// Needs a byte stream: its carrier.
    Layer,
}

/// Who runs a driver's futures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeMode {
    /// The host; the driver uses host services and needs no tokio context. Fastest.
    Host,
    /// The host polls, inside a tokio runtime that the plugin has for itself.
    Private,
}

/// What the part of a URI after `?` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Part of the address, as in http.
    Address,
    /// Options of the driver, as in `serial:///dev/ttyS0?baud=9600`.
    Options,
}

/// One URI scheme: `wss` is the stack `ws+tls+tcp` with port 443.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// Lower case.
    pub name: &'static str,
    /// The whole stack it stands for, top first, joined by `+`.
    pub stack: &'static str,
    /// Port when the URI has none.
    pub port: Option<u16>,
}

/// A driver's constants.
#[derive(Clone, Copy, Debug)]
pub struct DriverInfo {
    /// Unique name, lower case; also its first scheme.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Transport or layer.
    pub kind: Kind,
    /// Its schemes; the first one's stack tells what it rides on by default.
    pub schemes: &'static [Scheme],
    /// Can connect.
    pub client: bool,
    /// Can accept (a layer) or listen (a transport).
    pub server: bool,
    /// The facets its sessions may have.
    pub facets: Facets,
    /// Who runs it.
    pub runtime: RuntimeMode,
    /// What a URI's query is.
    pub query: Query,
}

/// A handler's constants.
#[derive(Clone, Copy, Debug)]
pub struct HandlerInfo {
    /// Unique name among handlers, lower case.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The facets of which a session must have at least one.
    pub facets: Facets,
}

/// A plugin's constants, filled in by [`crate::export_plugin!`].
#[derive(Clone, Copy, Debug)]
pub struct PluginInfo {
    /// Package name.
    pub name: &'static str,
    /// Package version.
    pub version: &'static str,
    /// Package description.
    pub description: &'static str,
    /// Package licence.
    pub license: &'static str,
    /// The exported symbol.
    pub symbol: &'static str,
    /// Its drivers.
    pub drivers: &'static [DriverInfo],
    /// Its handlers.
    pub handlers: &'static [HandlerInfo],
}

/// A plugin as hosts read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// Form of this JSON; 1.
    pub manifest: u32,
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Package description.
    #[serde(default)]
    pub description: String,
    /// Package licence.
    #[serde(default)]
    pub license: String,
    /// What it needs of the ABI.
    pub abi: Abi,
    /// What it was built for: `x86_64-linux-gnu`.
    pub target: String,
    /// `unwind` or `abort`; with `abort` a panic ends the host.
    #[serde(default)]
    pub panic: String,
    /// The exported symbol.
    pub symbol: String,
    /// Its drivers.
    #[serde(default)]
    pub drivers: Vec<DriverManifest>,
    /// Its handlers.
    #[serde(default)]
    pub handlers: Vec<HandlerManifest>,
}

/// Which ABI a plugin was built with and which the host must at least offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abi {
    /// Must equal the host's.
    pub major: u32,
    /// Of the crate it was built with.
    pub minor: u32,
    /// The least the host must have.
    pub required_minor: u32,
}

/// A driver as hosts read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriverManifest {
    /// Unique name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Transport or layer.
    pub kind: Kind,
    /// Its schemes.
    pub schemes: Vec<SchemeManifest>,
    /// `client`, `server`.
    pub roles: Vec<String>,
    /// What its sessions may have.
    pub facets: Facets,
    /// Who runs it.
    pub runtime: RuntimeMode,
    /// What a URI's query is.
    pub query: Query,
    /// JSON Schema of its options; only from `describe`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
    /// Its operations; only from `describe`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// What it wants of the layer directly below it; the first that fits counts. Only from `describe`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<Below>,
    /// The most sessions that one target bears at the same time; without it any number. Only from
    /// `describe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
}

/// Options that a driver wants of the layer directly below it, whichever that is. What a user has set
/// wins, and options that the layer does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Below {
    /// Values that options of the driver itself must be set to; empty: always.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub when: Map<String, Value>,
    /// The options, by name.
    pub options: Map<String, Value>,
}

impl Below {
    /// Wants `option` to be `value`, whatever the driver's own options are.
    pub fn new(option: &str, value: impl Into<Value>) -> Self {
        let options = Map::from_iter([(option.to_owned(), value.into())]);
        Below { when: Map::new(), options }
    }

    /// Only where the driver's own `option` is set to `value`.
    #[must_use]
    pub fn when(mut self, option: &str, value: impl Into<Value>) -> Self {
        self.when.insert(option.to_owned(), value.into());
        self
    }
}

/// A scheme as hosts read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeManifest {
    /// Lower case.
    pub name: String,
    /// The stack it stands for.
    pub stack: String,
    /// Port when the URI has none.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A handler as hosts read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandlerManifest {
    /// Unique name among handlers.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The facets of which a session must have at least one.
    pub facets: Facets,
    /// JSON Schema of its options; only from `describe`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
}

/// A named operation of a driver's sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Lower case, `snake_case`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its parameters, an object.
    pub params: Value,
    /// JSON Schema of its result.
    pub result: Value,
}

impl Operation {
    /// An operation whose parameters and result are described by their types.
    pub fn new<P: schemars::JsonSchema, R: schemars::JsonSchema>(
        name: &str,
        summary: &str,
    ) -> Self {
        Operation {
            name: name.to_owned(),
            summary: summary.to_owned(),
            params: schema_of::<P>(),
            result: schema_of::<R>(),
        }
    }
}

/// A type's JSON Schema (2020-12).
pub(crate) fn schema_of<T: schemars::JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
