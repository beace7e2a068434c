//! [`Facets`]: the things a session can do, as a set.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! facets {
    ($($(#[doc = $doc:literal])* $name:ident = $bit:literal $text:literal;)*) => {
        bitflags::bitflags! {
            /// A set of facets. Unknown bits, of a newer side, are kept and ignored.
            #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
            pub struct Facets: u64 {
                $($(#[doc = $doc])* const $name = 1 << $bit;)*
                // What a newer side may set.
                const _ = !0;
            }
        }

        impl Facets {
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
    /// Being made as new for the next user of a pool.
    RESET = 13 "reset";
}

impl Facets {
    /// What is known by what the builder of a session was given, and not called.
    pub const DATA: Facets =
        Facets::STREAM.union(Facets::MESSAGES).union(Facets::DATAGRAMS).union(Facets::EXCHANGE);

    /// The known names in here, as manifests and logs have them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Facets::NAMES.iter().filter(move |(facet, _)| self.contains(*facet)).map(|(_, name)| *name)
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
        Ok(known.fold(Facets::empty(), |all, (facet, _)| all | *facet))
    }
}
