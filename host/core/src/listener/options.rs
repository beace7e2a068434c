//! [`ListenerOptions`]: whom a listener lets in, as files and programs say it.

use crate::networks::Network;
use crate::units::Timespan;
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Whom a listener lets in, and how many: keys of `[[routes]]`. Default: everybody.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListenerOptions {
    /// Connections of this listener open at a time; more wait in the backlog. At least 1. Default: only
    /// `host.max_connections` counts.
    pub max_connections: Option<u32>,
    /// Connections of this listener that one address may have at a time; more of it are refused. At least 1.
    /// Default: only `host.max_connections_per_peer` counts.
    pub max_connections_per_peer: Option<u32>,
    /// How often one address may connect, or one network of 64 bits of IPv6; more of it are refused. Default: as often
    /// as it likes.
    pub rate_per_peer: Option<ConnectionRate>,
    /// Addresses and networks whose peers may connect: `"10.0.0.7"`, `"10.1.0.0/16"`, `"2001:db8::/32"`. A peer
    /// without an address, as on a Unix socket, is in none. Default: `[]`, which allows all.
    pub allow: Vec<Network>,
    /// Addresses and networks whose peers may not connect, whatever `allow` says. Default: `[]`.
    pub deny: Vec<Network>,
    /// Time for each layer to agree with a peer. Default: `host.timeouts.handshake`.
    #[serde(with = "jackfield_text::with::optional_duration")]
    #[schemars(with = "Option<Timespan>")]
    pub handshake_timeout: Option<Duration>,
    /// The name of a socket that the service manager has opened (`FileDescriptorName=`, `LISTEN_FDNAMES`), on which it
    /// listens in place of one that it opens itself at its address. Default: it opens one.
    #[schemars(extend("x-apply" = "restart"))]
    pub socket: Option<String>,
}

/// So many connections within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionRate {
    /// At once; later, one more for each such part of the time that has passed. At least 1.
    pub connections: u32,
    /// Within this time.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub per: Duration,
}

impl ConnectionRate {
    fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .at_least_one("connections", self.connections)
            .duration("per", self.per)
            .problems()
    }
}

impl ListenerOptions {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .at_least_one("max_connections", self.max_connections.unwrap_or(1))
            .at_least_one("max_connections_per_peer", self.max_connections_per_peer.unwrap_or(1))
            .below("rate_per_peer", self.rate_per_peer.map_or_else(Vec::new, |it| it.problems()))
            .duration("handshake_timeout", self.handshake_timeout.unwrap_or(Duration::MAX))
            .problems()
    }
}
