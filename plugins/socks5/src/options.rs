//! [`Socks5Options`].

use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `socks5`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Socks5Options {
    /// User for proxies that want one; that of the URI counts more.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// Who looks up the names of hosts that are dialled.
    pub resolve: Resolve,
    /// Seconds before the first keepalive probe of a connection to the proxy; 0: no keepalive.
    pub keepalive: u32,
    /// Local address to connect to the proxy from, `IP` or `IP:PORT`.
    pub bind: Option<String>,
}

/// Who looks up a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resolve {
    /// The proxy, so that names of its network work and none is looked up here.
    #[default]
    Remote,
    /// This host, for proxies that take addresses only.
    Local,
}

impl Default for Socks5Options {
    fn default() -> Self {
        Socks5Options {
            username: None,
            password: None,
            resolve: Resolve::default(),
            keepalive: 15,
            bind: None,
        }
    }
}
