//! [`ProxyOptions`].

use ipnet::IpNet;
use jackfield_plugin_api::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Options of `proxy`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyOptions {
    /// Accepting: addresses and networks of the proxies that may say who the client is, such as `10.0.0.5` and
    /// `10.1.0.0/16`. Others are refused. Required.
    pub trusted: Vec<String>,
    /// Connecting: the version of the header that is sent.
    pub version: Version,
    /// Connecting, version 2: also send what is known of the client's TLS: version, cipher, the name it asked
    /// for, ALPN, and the common name of its certificate.
    pub tls: Option<bool>,
}

/// A version of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    #[default]
    V2,
}

/// Networks out of a list of addresses and networks.
///
/// # Errors
/// [`Error::option`] with the entry that is neither.
pub(crate) fn networks(option: &str, list: &[String]) -> Result<Vec<IpNet>> {
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            let message = format!(
                "expected an address or a network, as in 10.0.0.5 or 10.1.0.0/16, found {text:?}"
            );
            Error::option(option, message)
        })
    };
    list.iter().map(network).collect()
}
