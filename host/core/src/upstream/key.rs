//! [`KeyFrom`]: what of an accepted session decides at which target it meets others.

use crate::addr::Addr;
use jackfield_plugin_api::Info;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Where the key of a session comes from. Sessions of one key meet at one target, as long as that
/// target serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyFrom {
    /// The peer's address without its port.
    #[default]
    Peer,
    /// The peer's address with its port.
    PeerPort,
    /// Who the peer has proven to be; as [`KeyFrom::Peer`] where it has proven nothing.
    Identity,
    /// A fact of the session's info, by its name in the driver's README; as [`KeyFrom::Peer`] where
    /// there is none of that name.
    Info(String),
}

impl KeyFrom {
    /// What it is written as.
    pub const EXPECTED: &str = "\"peer\", \"peer_port\", \"identity\" or \"info.NAME\"";
}

impl KeyFrom {
    /// The key of a session from `peer`. The info is only asked for if it matters.
    pub fn key(&self, peer: Option<&Addr>, info: impl FnOnce() -> Info) -> Option<u64> {
        let told = match self {
            KeyFrom::Peer => None,
            KeyFrom::PeerPort => peer.map(ToString::to_string),
            KeyFrom::Identity => info().identity,
            KeyFrom::Info(name) => info().facts.get(name).map(plain),
        };
        match told {
            Some(text) => Some(hash(&text)),
            None => peer.map(of_address),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Of the address without its port, if it is one; else of the whole text.
fn of_address(peer: &Addr) -> u64 {
    match peer.socket() {
        Some(address) => hash(&address.ip().to_string()),
        None => hash(&peer.to_string()),
    }
}

fn hash(text: &str) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

impl FromStr for KeyFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "peer" => Ok(KeyFrom::Peer),
            "peer_port" => Ok(KeyFrom::PeerPort),
            "identity" => Ok(KeyFrom::Identity),
            _ => match text.strip_prefix("info.") {
                Some(name) if !name.is_empty() => Ok(KeyFrom::Info(name.to_owned())),
                _ => Err(format!("expected {}, found {text:?}", KeyFrom::EXPECTED)),
            },
        }
    }
}

struct KeyVisitor;

impl de::Visitor<'_> for KeyVisitor {
    type Value = KeyFrom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KeyFrom::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<KeyFrom, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for KeyFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

impl JsonSchema for KeyFrom {
    fn schema_name() -> Cow<'static, str> {
        "KeyFrom".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": KeyFrom::EXPECTED, "pattern": "^(peer|peer_port|identity|info\\..+)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(from: &str, peer: Option<&str>, info: Info) -> Option<u64> {
        let peer = peer.map(Addr::from);
        from.parse::<KeyFrom>().unwrap().key(peer.as_ref(), || info)
    }

    #[test]
    fn a_key_is_of_the_address_whatever_its_family_and_port() {
        let of = |peer| key("peer", Some(peer), Info::default()).unwrap();
        for (first, second) in [
            ("10.0.0.1:5", "10.0.0.1:6"),
            ("[::1]:5", "[0::1]:6"),
            ("10.0.0.1:5", "[::ffff:10.0.0.1]:5"),
        ] {
            assert_eq!(of(first), of(second));
        }
        let others = ["10.0.0.1:5", "10.0.0.2:5", "[::1]:5", "[::2]:5", "/run/a.sock"];
        let keys: std::collections::BTreeSet<u64> = others.map(of).into();
        assert_eq!(keys.len(), others.len());
    }

    #[test]
    fn a_key_can_be_of_the_port_the_identity_or_a_fact() {
        let none = Info::default;
        let of_port = |peer| key("peer_port", Some(peer), none());
        assert_ne!(of_port("10.0.0.1:5"), of_port("10.0.0.1:6"));
        assert_eq!(of_port("10.0.0.1:5"), of_port("10.0.0.1:5"));
        let named = |name: &str| none().with("server_name", name);
        let of_name = |name, peer| key("info.server_name", Some(peer), named(name));
        assert_eq!(of_name("a.test", "10.0.0.1:5"), of_name("a.test", "10.0.0.2:6"));
        assert_ne!(of_name("a.test", "10.0.0.1:5"), of_name("b.test", "10.0.0.1:5"));
        let who = none().identity("CN=lab");
        assert_eq!(key("identity", Some("1.2.3.4:5"), who.clone()), key("identity", None, who));
    }

    #[test]
    fn without_what_is_wanted_it_is_of_the_peer() {
        let peer = Some("10.0.0.1:5");
        let of_peer = key("peer", peer, Info::default());
        for from in ["identity", "info.server_name"] {
            assert_eq!(key(from, peer, Info::default()), of_peer);
            assert_eq!(key(from, None, Info::default()), None);
        }
    }
}
