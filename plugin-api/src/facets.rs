//! [`Facets`]: the things a session can do, as a set.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::BitOr;

/// A set of facets. Unknown bits, of a newer side, are kept and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Facets(u64);

macro_rules! facets {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $text:literal;)*) => {
        impl Facets {
            $($(#[$doc])* pub const $name: Facets = Facets(1 << $bit);)*
            pub(crate) const NAMES: &'static [(Facets, &'static str)] = &[$((Facets::$name, $text),)*];
        }
    };
}

facets! {
    /// Bytes both ways, with half-close.
    STREAM = 0 "stream";
    /// Whole messages both ways.
    MESSAGES = 1 "messages";
    /// Unordered datagrams.
    DATAGRAMS = 2 "datagrams";
    /// Requests and responses.
    EXCHANGE = 3 "exchange";
    /// Named operations.
    CALL = 4 "call";
    /// More streams on our side's wish.
    OPEN_STREAM = 5 "open_stream";
    /// More streams on the peer's wish.
    ACCEPT_STREAM = 6 "accept_stream";
    /// Connections onward from the peer.
    DIAL = 7 "dial";
    /// A round trip of the protocol's own.
    PING = 8 "ping";
    /// Events beside the data.
    EVENTS = 9 "events";
    /// A close with code and reason that the peer sees.
    CLOSE_CODE = 10 "close_code";
    /// Finishing running work before the end.
    DRAIN = 11 "drain";
    /// The stream can give its kernel socket.
    TAKE_FD = 12 "take_fd";
}

impl Facets {
    /// None at all.
    pub const NONE: Facets = Facets(0);

    /// Whether all of `other` are in here.
    pub const fn has(self, other: Facets) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets together, also in constants.
    pub const fn and(self, other: Facets) -> Facets {
        Facets(self.0 | other.0)
    }
    /// The bits as they cross the boundary.
    pub const fn bits(self) -> u64 {
        self.0
    }
    /// A set from its bits.
    pub const fn from_bits(bits: u64) -> Facets {
        Facets(bits)
    }
    /// The known names in here.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Facets::NAMES.iter().filter(move |(facet, _)| self.has(*facet)).map(|(_, name)| *name)
    }
}

impl BitOr for Facets {
    type Output = Facets;
    fn bitor(self, other: Facets) -> Facets {
        self.and(other)
    }
}

impl fmt::Debug for Facets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for Facets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Facets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let known = Facets::NAMES.iter().filter(|(_, name)| names.iter().any(|have| have == name));
        Ok(known.fold(Facets::NONE, |all, (facet, _)| all | *facet))
    }
}
