//! [`Kind`]: what a peer speaks, and which ends it does not know.

use super::{Column, Role, seen::Seen};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Tls,
    Ws,
    Http1,
    Http2,
    Telnet,
    Quic,
    WebTransport,
    Unix,
    Ssh,
    Serial,
    Process,
}

/// What a cell's mark says below the table.
pub(crate) const NOTES: [&str; 7] = [
    "its goodbye is the end of the connection below, so that nothing tells one from the other.",
    "a Unix socket knows no reset.",
    "nobody who does not have the keys can say anything wrong: it is dropped unread.",
    "any byte means something.",
    "a line knows no end; opening and closing it is all that there is.",
    "the program's input has ended in each case, and it still answers in the first; in the others it is asked to end \
     by a signal.",
    "or a reset of the stream, where there is time for it.",
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Http1 => "http/1",
            Self::Http2 => "http/2",
            Self::Telnet => "telnet",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
            Self::Unix => "unix",
            Self::Ssh => "ssh",
            Self::Serial => "serial",
            Self::Process => "process",
        }
    }

    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }

    /// Whether a stream of it can be reset while its connection goes on.
    pub(crate) fn resets_streams(self) -> bool {
        self.is_quic() || self == Self::Http2
    }

    pub(crate) fn is_quic(self) -> bool {
        matches!(self, Self::Quic | Self::WebTransport)
    }

    /// Whether the test itself is the peer, so that no relay stands between.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix | Self::Http1 | Self::Serial | Self::Process)
    }

    pub(crate) fn has_certificate(self) -> bool {
        matches!(self, Self::Tls | Self::Quic | Self::WebTransport)
    }

    /// What its protocol does not know, where it can be said.
    pub(crate) fn nonsense(self, role: Role) -> Option<&'static [u8]> {
        match (self, role) {
            (Self::Tls, _) => Some(b"\x17\x03\x03\x00\x05wrong"),
            // A frame with a reserved bit.
            (Self::Ws, Role::Client) => Some(b"\xf2\x80\0\0\0\0"),
            (Self::Ws, Role::Destination) => Some(b"\xf2\0"),
            // Content of the connection itself.
            (Self::Http2, _) => Some(&[0; 9]),
            (Self::Ssh, _) => Some(&[0xff; 64]),
            _ => None,
        }
    }

    /// What stands for both, where time decides which of two cuts is seen.
    pub(crate) fn settled(self, column: Column, seen: Option<Seen>) -> Option<Seen> {
        match (self, column, seen) {
            (Self::Http2, Column::Stops, Some(Seen::Told(_))) => Some(Seen::Cut),
            (_, _, seen) => seen,
        }
    }

    /// The note on a cell: why it is empty, or why what was cut off looks like an end there.
    pub(crate) fn note(self, column: Column) -> Option<usize> {
        let number = match (self, column) {
            (Self::Serial, Column::Resets) => return None,
            (Self::Serial, _) => 4,
            (Self::Tcp | Self::Telnet | Self::Unix | Self::Process, Column::NoGoodbye) => 0,
            (Self::Tcp | Self::Telnet | Self::Unix | Self::Process, Column::Nonsense) => 3,
            (Self::Unix, Column::Resets | Column::OtherResets | Column::Idle | Column::Stops) => 1,
            (Self::Quic | Self::WebTransport, Column::Nonsense) => 2,
            (Self::Process, Column::OtherEnds) => 5,
            (Self::Http2, Column::Stops) => 6,
            _ => return None,
        };
        Some(number)
    }
}
