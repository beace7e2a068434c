//! The keys of `[[routes]]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::reference::Reference;
use super::tree::Options;
use crate::listener::ListenerOptions;
use crate::route::RouteOptions;
use crate::stack::uri::StackUri;

/// `[[routes]]`: joins what a listener accepts to something.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// What to listen on. Required.
    pub listen: StackUri,
    /// Where sessions are joined to: `"upstreams.NAME"`, `"connections.NAME"`,
    /// `"devices.NAME.PATH"`, `"handlers.NAME"`, `"admin"`, the admin API of the host, or the URI of a stack. Required.
    pub to: Reference,
    /// Whether sessions only watch what passes on an exclusive path of a device; what they send is
    /// discarded. Default: false.
    pub observe: bool,
    /// Options of the drivers in the stack listened on. Default: none.
    pub options: Options,
    /// Whom its listener lets in.
    #[serde(flatten)]
    pub listener: ListenerOptions,
    /// How sessions are joined to where it leads.
    #[serde(flatten)]
    pub joining: RouteOptions,
}
