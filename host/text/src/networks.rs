//! Addresses and networks as people write them: `"192.0.2.7"`, `"10.0.0.0/8"`, `"2001:db8::/32"`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// One address, or a network with the length of its prefix (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is not a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", Network::EXPECTED)]
pub struct NetworkError;

impl Network {
    /// What it is written as.
    pub const EXPECTED: &str =
        "an address or a network such as \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"";

    /// Whether an address belongs to it. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.7`, as
    /// sockets for both have it) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Whether an address belongs to one of them.
pub fn any_contains(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Network(address.to_canonical().into()));
        }
        text.parse::<IpNet>().map(|network| Network(network.trunc())).map_err(|_| NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An address or a network, such as \"10.0.0.0/8\"." })
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, any_contains};

    #[test]
    fn an_address_is_found_in_its_network_and_in_no_other() {
        let networks: Vec<Network> =
            ["192.0.2.7", "10.1.2.3/8", "2001:db8::/32"].map(|text| text.parse().unwrap()).into();
        for (address, inside) in [
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(any_contains(&networks, address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "2001:db8::/129", "10.0.0.1:80"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }
}
