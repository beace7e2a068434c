//! What a relay joins, and how it ends.

use super::RelayOptions;
use super::ahead::{KeptAhead, Watched, after, after_messages};
use super::datagram::messages_of;
use super::socket::Socket;
use crate::kernel_stream::come_home;
use bytes::Bytes;
use jackfield_plugin_api::{Datagrams, Error, Facets, Messages, Session, Stream};
use std::fmt;
use std::sync::Arc;

/// One side of a relay.
#[derive(Debug)]
pub enum End {
    /// A byte stream.
    Stream(Stream),
    /// Messages.
    Messages(Messages),
    /// Datagrams.
    Datagrams(Datagrams),
    /// Bytes or messages that were watched before.
    Watched(Watched),
}

impl End {
    /// Takes from each of two sessions the facet to relay. If both have streams, those: bytes pass
    /// unchanged and perhaps inside the kernel. Else if both have messages, those; else if both have
    /// datagrams, those. Else what each has.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Unsupported`] if one has no such facet, or it was taken;
    /// the context names the side.
    pub fn pair(a: &Session, b: &Session) -> Result<(End, End), Error> {
        let has = |facet| a.facets().contains(facet) && b.facets().contains(facet);
        let take = |session: &Session, side: Side| {
            let found = if has(Facets::STREAM) {
                session.take_stream().map(End::Stream)
            } else if has(Facets::MESSAGES) {
                session.take_messages().map(End::Messages)
            } else if has(Facets::DATAGRAMS) {
                session.take_datagrams().map(End::Datagrams)
            } else {
                End::of(session)
            };
            found.ok_or_else(|| nothing_to_give().with("side", side))
        };
        Ok((take(a, Side::A)?, take(b, Side::B)?))
    }

    /// Takes from the other session what fits to this end: the same, or what it has.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Unsupported`] if it has nothing to give.
    pub fn opposite(&self, session: &Session) -> Result<End, Error> {
        let same = match self {
            End::Stream(_) => session.take_stream().map(End::Stream),
            End::Messages(_) => session.take_messages().map(End::Messages),
            End::Datagrams(_) => session.take_datagrams().map(End::Datagrams),
            End::Watched(watched) => match &watched.kept {
                KeptAhead::Bytes(_) => session.take_stream().map(End::Stream),
                KeptAhead::Messages(..) => session.take_messages().map(End::Messages),
            },
        };
        same.or_else(|| End::of(session)).ok_or_else(|| nothing_to_give().with("side", Side::B))
    }

    /// Takes a session's stream, or its messages if it has no stream to give, or its datagrams if it
    /// has neither.
    pub fn of(session: &Session) -> Option<End> {
        session
            .take_stream()
            .map(End::Stream)
            .or_else(|| session.take_messages().map(End::Messages))
            .or_else(|| session.take_datagrams().map(End::Datagrams))
    }

    /// Ready to be joined: datagrams as messages, with the limit that they put on what is made of bytes.
    pub(super) fn prepared(self, options: &mut Arc<RelayOptions>) -> Part {
        match self {
            End::Stream(stream) => Part::Stream(stream),
            End::Messages(messages) => Part::Messages(messages),
            End::Datagrams(mut datagrams) => {
                let buffer = &mut Arc::make_mut(options).sizes.buffer;
                *buffer = (*buffer).min(datagrams.max_size()).max(1);
                Part::Messages(messages_of(datagrams))
            }
            End::Watched(watched) => match watched.kept {
                KeptAhead::Bytes(opened) => Part::Opened(opened),
                KeptAhead::Messages(messages, came) => {
                    Part::Messages(after_messages(came, messages))
                }
            },
        }
    }
}

fn nothing_to_give() -> Error {
    Error::unsupported("relaying a session without a stream, messages or datagrams to give")
}

/// An end, as the relay joins it.
pub(super) enum Part {
    Stream(Stream),
    Opened(OpenedStream),
    Messages(Messages),
}

/// A stream whose descriptor was looked for, and what came before it.
#[derive(Debug)]
pub(super) enum OpenedStream {
    Socket(Socket, Bytes),
    Stream(Stream, Bytes),
}

impl OpenedStream {
    /// Looks for the descriptor of a stream.
    pub(super) fn of(stream: Stream) -> Result<Self, Error> {
        match come_home(stream) {
            Ok(found) => found.map(|(socket, came)| OpenedStream::Socket(Socket(socket), came)),
            Err(stream) => Ok(OpenedStream::Stream(stream, Bytes::new())),
        }
    }

    /// For a relay with an end that is not of the kernel.
    pub(super) fn into_parts(self) -> (Stream, Bytes) {
        match self {
            OpenedStream::Socket(socket, came) => (Stream::new(socket), came),
            OpenedStream::Stream(stream, came) => (stream, came),
        }
    }
}

impl Part {
    /// Bytes, their descriptor looked for.
    pub(super) fn open(self) -> Result<OpenedStream, Error> {
        match self {
            Part::Stream(stream) => OpenedStream::of(stream),
            Part::Opened(opened) => Ok(opened),
            Part::Messages(_) => Err(Error::unsupported("messages as bytes")),
        }
    }

    /// Bytes as they are.
    pub(super) fn into_stream(self) -> Result<Stream, Error> {
        match self {
            Part::Stream(stream) => Ok(stream),
            Part::Opened(opened) => {
                let (stream, came) = opened.into_parts();
                Ok(after(came, stream))
            }
            Part::Messages(_) => Err(Error::unsupported("messages as bytes")),
        }
    }
}

/// One of the two ends, in the order they were given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// How a relay is described that ended because this side ended first.
    pub fn closed(self) -> &'static str {
        match self {
            Side::A => "closed by a",
            Side::B => "closed by b",
        }
    }

    /// The opposite one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "a",
            Side::B => "b",
        })
    }
}

/// Why a relay has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RelayEnd {
    /// Both directions have ended, everything was delivered.
    Closed {
        /// The side that ended first.
        first: Side,
    },
    /// A side failed.
    Failed {
        /// Which.
        side: Side,
        /// Whether in receiving from it; otherwise in sending to it.
        receiving: bool,
        /// How.
        error: Error,
    },
    /// [`super::RelayTimeouts::idle`] has passed.
    IdleTimeout,
    /// [`super::RelayTimeouts::half_close`] has passed, or `close_timeout` in the end itself.
    HalfCloseTimeout,
    /// [`super::RelayTimeouts::total`] has passed.
    TotalTimeout,
    /// The host stops.
    Shutdown,
}

impl RelayEnd {
    /// Whether the peer at that side must see that its data may have been cut off.
    pub fn cuts(&self, at: Side) -> bool {
        match self {
            RelayEnd::Closed { .. } => false,
            RelayEnd::Failed { side, .. } => *side != at,
            RelayEnd::IdleTimeout
            | RelayEnd::HalfCloseTimeout
            | RelayEnd::TotalTimeout
            | RelayEnd::Shutdown => true,
        }
    }
}

impl fmt::Display for RelayEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayEnd::Closed { first } => f.write_str(first.closed()),
            RelayEnd::Failed { side, receiving: true, error } => {
                write!(f, "receiving from {side} failed: {error}")
            }
            RelayEnd::Failed { side, receiving: false, error } => {
                write!(f, "sending to {side} failed: {error}")
            }
            RelayEnd::IdleTimeout => f.write_str("idle timeout"),
            RelayEnd::HalfCloseTimeout => f.write_str("half-close timeout"),
            RelayEnd::TotalTimeout => f.write_str("total timeout"),
            RelayEnd::Shutdown => f.write_str("the host is stopping"),
        }
    }
}
