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

macro_rules! named {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal since $since:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// What only a newer side knows.
            #[serde(other)]
            Unknown,
        }

        impl $name {
            /// The word in the manifest.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* $name::Unknown => "unknown" }
            }

            /// The ABI minor that brought it: a plugin with it needs such a host.
            pub const fn since(self) -> u32 {
                match self { $($name::$variant => $since,)* $name::Unknown => 0 }
            }
        }
    };
}

named! {
    /// Whether a driver reaches the outside world or speaks over what something below gives it.
    Kind {
        /// Turns an address into a session by itself.
        Transport = "transport" since 0,
        /// Needs a byte stream: its carrier.
        Layer = "layer" since 0,
    }
}

named! {
    /// Who runs the futures of a driver or handler.
    RuntimeMode {
        /// The host; what runs uses host services and needs no tokio context. Fastest.
        Host = "host" since 0,
        /// The host polls, inside a tokio runtime that the plugin has for itself. Needs the feature
        /// `private-runtime`.
        Private = "private" since 0,
    }
}

named! {
    /// What the part of a URI after `?` is.
    Query {
        /// Part of the address, as in http.
        Address = "address" since 0,
        /// Options of the driver, as in `serial:///dev/ttyS0?baud=9600`.
        Options = "options" since 0,
    }
}

mod info;

pub use info::{DriverInfo, HandlerInfo, PluginInfo, Requirement, Scheme, plugin_info};

/// A plugin as hosts read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// `release`, or `debug` for a build with debug assertions, which is slow.
    #[serde(default)]
    pub profile: String,
    /// The exported symbol.
    pub symbol: String,
    /// Its drivers.
    #[serde(default)]
    pub drivers: Vec<DriverManifest>,
    /// Its handlers.
    #[serde(default)]
    pub handlers: Vec<HandlerManifest>,
    /// Its interceptors.
    #[serde(default)]
    pub interceptors: Vec<InterceptorManifest>,
    /// Its README, Markdown; only from `describe`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub readme: String,
}

impl PluginManifest {
    /// What only a newer host can run, in words; `None` if there is nothing of the kind.
    pub fn unknown_part(&self) -> Option<String> {
        let words =
            |what: &str, name: &str| Some(format!("{what} of {name:?} that is not known here"));
        let driver = |it: &DriverManifest| match it {
            _ if it.kind == Kind::Unknown => words("a kind of driver", &it.name),
            _ if it.runtime == RuntimeMode::Unknown => words("a kind of runtime", &it.name),
            _ if it.query == Query::Unknown => words("a kind of URI query", &it.name),
            _ => None,
        };
        let handler = |it: &HandlerManifest| {
            (it.runtime == RuntimeMode::Unknown).then(|| words("a kind of runtime", &it.name))?
        };
        let drivers = self.drivers.iter().find_map(driver);
        drivers.or_else(|| self.handlers.iter().find_map(handler))
    }

    /// What makes it unusable, in words: names that no URI or configuration can reach, a driver without
    /// a role or scheme. A plugin of this crate's is checked when it is compiled.
    pub fn problem(&self) -> Option<String> {
        let drivers = self.drivers.iter().map(|it| ("driver", &it.name));
        let handlers = self.handlers.iter().map(|it| ("handler", &it.name));
        let interceptors = self.interceptors.iter().map(|it| ("interceptor", &it.name));
        let schemes = self.drivers.iter().flat_map(|it| &it.schemes).map(|it| ("scheme", &it.name));
        let mut names = drivers.chain(handlers).chain(interceptors).chain(schemes);
        if let Some((what, name)) = names.find(|(_, name)| !info::is_name(name)) {
            return Some(format!("the {what} name {name:?} is not a lower-case word"));
        }
        self.drivers.iter().find_map(|driver| {
            let name = &driver.name;
            if driver.roles.is_empty() {
                return Some(format!("driver {name:?} has no role"));
            }
            match driver.schemes.first() {
                None => Some(format!("driver {name:?} has no scheme")),
                Some(first) if first.name != *name => Some(format!(
                    "the first scheme of driver {name:?} is {:?}, not its name",
                    first.name
                )),
                Some(_) => None,
            }
        })
    }
}

/// Which ABI a plugin was built with and which the host must at least offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abi {
    /// Must equal the host's.
    pub major: u32,
    /// Of the crate it was built with.
    pub minor: u32,
    /// The least the host must have.
    pub required_minor: u32,
    /// Why it must have that.
    #[serde(default)]
    pub requires: Vec<RequirementManifest>,
    /// Fingerprint of the tables of each minor from 0 on, 16 hexadecimal digits each.
    #[serde(default)]
    pub layouts: Vec<String>,
}

/// Something that a host has from a minor on, and a plugin cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementManifest {
    /// The minor.
    pub minor: u32,
    /// What came with it, in words.
    pub what: String,
}

impl Abi {
    /// What a host of `minor` lacks, in words; `None` if it has all.
    pub fn lacking(&self, minor: u32) -> Option<String> {
        if self.required_minor <= minor {
            return None;
        }
        let newer = self.requires.iter().filter(|it| it.minor > minor);
        let words: Vec<String> =
            newer.map(|it| format!("{} (minor {})", it.what, it.minor)).collect();
        Some(if words.is_empty() { "what it does not name".to_owned() } else { words.join(", ") })
    }
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
    /// What it is and does, at length; only from `describe`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
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
    /// Whether an address of it needs a port. Only from `describe`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_port: bool,
    /// Whether it tells who a client is. Only from `describe`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_client: bool,
}

/// Options that a driver wants of the layer directly below it, whichever that is. What a user has set
/// wins, and options that the layer does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Who runs it.
    #[serde(default = "host_runtime")]
    pub runtime: RuntimeMode,
    /// What it is and does, at length; only from `describe`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of its options; only from `describe`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
}

fn host_runtime() -> RuntimeMode {
    RuntimeMode::Host
}

/// An interceptor as hosts read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterceptorManifest {
    /// Unique name among interceptors.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Where it stands among others; lower ones are further outside.
    #[serde(default)]
    pub order: i32,
    /// JSON Schema of its options; only from `describe`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub options: Value,
}

/// A named operation of a driver's sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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

/// What a change of an option means while the host runs. A driver says it in the schema of its options:
///
/// ```
/// # use schemars::JsonSchema;
/// #[derive(JsonSchema)]
/// struct Options {
///     /// The most bytes of a message.
///     #[schemars(extend("x-apply" = "live"))]
///     max_size: u32,
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Apply {
    /// Sessions that are open take it over: the driver is configured anew, and its endpoint shared.
    Live,
    /// It holds for sessions that are opened from then on; those that are open keep what they have.
    #[default]
    NewSessions,
    /// Only a restart of what uses the driver, such as a listener, takes it over.
    Restart,
}

impl Apply {
    /// The key in a schema.
    pub const KEY: &'static str = "x-apply";

    /// What the schema of an object's options says of `option`.
    pub fn of(schema: &Value, option: &str) -> Apply {
        let says =
            schema.get("properties").and_then(|all| all.get(option)?.get(Apply::KEY)?.as_str());
        match says {
            Some("live") => Apply::Live,
            Some("restart") => Apply::Restart,
            _ => Apply::NewSessions,
        }
    }

    /// The word in a schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Apply::Live => "live",
            Apply::NewSessions => "new_sessions",
            Apply::Restart => "restart",
        }
    }
}

/// A type's JSON Schema (2020-12).
pub(crate) fn schema_of<T: schemars::JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
