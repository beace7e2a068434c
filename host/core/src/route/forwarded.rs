//! The fields by which a request tells its target who sent it: `X-Forwarded-For`, `-Host`, `-Proto`, and
//! `Forwarded` (RFC 7239).
//!
//! A client can write whatever it likes into these fields. So a route says by `trusted_proxies` from which peers
//! they are believed.

use crate::addr::Addr;
use crate::networks::Network;
use jackfield_plugin_api::HeaderBlock;
use std::borrow::Cow;
use std::net::IpAddr;

/// What becomes of the fields that a peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldTrust {
    /// Nothing is configured: `X-Forwarded-For` and `Forwarded` keep their entries, which are not ours, and ours
    /// comes last; the other fields are replaced.
    Unset,
    /// A trusted proxy's: all of them are kept.
    Trusted,
    /// Of another peer: none of them is kept.
    Untrusted,
}

/// The peer whose requests are forwarded.
#[derive(Debug)]
pub(super) struct Forwarded {
    /// The address without the port, or what names a peer that has none; empty: nothing does.
    peer: String,
    trust: FieldTrust,
}

/// Fields to add, and which ones of the peer's own go.
pub(super) struct Provenance<'a> {
    added: Vec<(&'static str, Cow<'a, [u8]>)>,
    keeps: bool,
}

const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";
const FORWARDED: &str = "forwarded";

impl Forwarded {
    /// For a peer at that address, where `trusted` proxies are configured or not.
    pub(super) fn new(peer: Option<&Addr>, trusted: Option<&[Network]>) -> Self {
        let address = peer.and_then(Addr::socket).map(|address| address.ip().to_canonical());
        let trust = match (trusted, address) {
            (None, _) => FieldTrust::Unset,
            (Some(trusted), Some(address)) if trusted.iter().any(|one| one.contains(address)) => {
                FieldTrust::Trusted
            }
            (Some(_), _) => FieldTrust::Untrusted,
        };
        let named = || peer.map(ToString::to_string).unwrap_or_default();
        let peer = address.map_or_else(named, |address| address.to_string());
        Forwarded { peer, trust }
    }

    /// The fields for a request with that head.
    pub(super) fn of<'a>(&'a self, head: &'a HeaderBlock) -> Provenance<'a> {
        let keeps = self.trust == FieldTrust::Trusted;
        let own = |name: &str| head.get(name).unwrap_or_default();
        let told = |name: &str, or: &str| match head.get(name) {
            Some(value) if keeps && !value.is_empty() => value,
            _ => own(or),
        };
        let (host, proto) = (told(HOST, ":authority"), told(PROTO, ":scheme"));
        let mut added = vec![
            (FOR, self.chain(head)),
            (HOST, Cow::Borrowed(host)),
            (PROTO, Cow::Borrowed(proto)),
        ];
        // Nobody is told by two fields who has not been before.
        if self.trust != FieldTrust::Untrusted && head.get(FORWARDED).is_some() {
            let element = self.element(own(":authority"), own(":scheme"));
            added.push((FORWARDED, joined(head, FORWARDED, Cow::Owned(element))));
        }
        Provenance { added, keeps }
    }

    /// All lines of `X-Forwarded-For` are one list (RFC 9110 §5.3), to which the peer is added.
    fn chain<'a>(&'a self, head: &'a HeaderBlock) -> Cow<'a, [u8]> {
        match self.trust {
            FieldTrust::Untrusted => Cow::Borrowed(self.peer.as_bytes()),
            _ => joined(head, FOR, Cow::Borrowed(self.peer.as_bytes())),
        }
    }

    /// The peer, and what it has asked for, as an element of `Forwarded` (RFC 7239 §4).
    fn element(&self, host: &[u8], proto: &[u8]) -> Vec<u8> {
        let node = match self.peer.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => address.to_string(),
            Ok(IpAddr::V6(address)) => format!("\"[{address}]\""),
            Err(_) => "unknown".to_owned(),
        };
        let mut element = format!("for={node}").into_bytes();
        // A host has no quotation marks, nor backslashes: it was read as one.
        for (name, value, mark) in [("host", host, "\""), ("proto", proto, "")] {
            if !value.is_empty() {
                element.extend_from_slice(format!(";{name}={mark}").as_bytes());
                element.extend_from_slice(value);
                element.extend_from_slice(mark.as_bytes());
            }
        }
        element
    }
}

impl Provenance<'_> {
    /// Fields that the request gets.
    pub(super) fn added(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let filled = self.added.iter().filter(|(_, value)| !value.is_empty());
        filled.map(|(name, value)| (*name, &**value))
    }

    /// Whether a field of the peer's stays behind, or is replaced.
    pub(super) fn drops(&self, name: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let family = || name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-");
        is(FORWARDED) || [FOR, HOST, PROTO].into_iter().any(is) || !self.keeps && family()
    }
}

/// The values of all fields of that name, and one more, as one list.
fn joined<'a>(head: &'a HeaderBlock, name: &str, last: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    let fields = head.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes()));
    let values = fields.map(|(_, value)| Cow::Borrowed(value.trim_ascii()));
    let mut list = Cow::Borrowed(&b""[..]);
    for value in values.chain([last]).filter(|value| !value.is_empty()) {
        if list.is_empty() {
            list = value;
        } else {
            let list = list.to_mut();
            list.extend_from_slice(b", ");
            list.extend_from_slice(&value);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::Forwarded;
    use crate::addr::Addr;
    use crate::networks::Network;
    use jackfield_plugin_api::HeaderBlock;

    const ASKED: [(&str, &str); 8] = [
        (":authority", "a.test:80"),
        (":scheme", "http"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front.test"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=6.6.6.6"),
    ];

    /// What `peer` is forwarded with, and whether its `X-Forwarded-Port` stays.
    fn told(peer: &str, trusted: Option<&[&str]>) -> (Vec<String>, bool) {
        let networks = trusted.map(|texts| texts.iter().map(|text| text.parse().unwrap()));
        let networks: Option<Vec<Network>> = networks.map(Iterator::collect);
        let peer = Addr::Socket(peer.parse().unwrap());
        let forwarded = Forwarded::new(Some(&peer), networks.as_deref());
        let head = HeaderBlock::new(ASKED).unwrap();
        let provenance = forwarded.of(&head);
        let text = |(name, value)| format!("{name}: {}", String::from_utf8_lossy(value));
        let added = provenance.added().map(text).collect();
        (added, !provenance.drops(b"X-Forwarded-Port"))
    }

    #[test]
    fn by_default_the_lists_are_kept_with_the_peer_last_and_nothing_is_believed() {
        let (added, port) = told("[::ffff:192.0.2.1]:5000", None);
        assert_eq!(
            added,
            [
                "x-forwarded-for: 6.6.6.6, 10.1.1.1, 192.0.2.1",
                "x-forwarded-host: a.test:80",
                "x-forwarded-proto: http",
                "forwarded: for=6.6.6.6, for=192.0.2.1;host=\"a.test:80\";proto=http",
            ]
        );
        assert!(!port);
    }

    #[test]
    fn a_trusted_proxy_is_believed() {
        let (added, port) = told("[2001:db8::1]:5000", Some(&["2001:db8::/32"]));
        assert_eq!(
            added,
            [
                "x-forwarded-for: 6.6.6.6, 10.1.1.1, 2001:db8::1",
                "x-forwarded-host: front.test",
                "x-forwarded-proto: https",
                "forwarded: for=6.6.6.6, for=\"[2001:db8::1]\";host=\"a.test:80\";proto=http",
            ]
        );
        assert!(port);
    }

    #[test]
    fn nothing_is_kept_of_a_peer_that_is_none_of_the_trusted_ones() {
        for trusted in [&["10.0.0.0/8"][..], &[]] {
            let (added, port) = told("192.0.2.1:5000", Some(trusted));
            assert_eq!(
                added,
                [
                    "x-forwarded-for: 192.0.2.1",
                    "x-forwarded-host: a.test:80",
                    "x-forwarded-proto: http",
                ]
            );
            assert!(!port);
        }
    }
}
