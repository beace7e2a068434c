//! Joins two sessions until both directions between them have ended.
//!
//! | ends | how |
//! |---|---|
//! | stream, stream, each a socket of the kernel | `splice` through a pooled pipe; small payloads are read and written |
//! | stream, stream | copied through the thread's buffer |
//! | messages, messages | message by message, whole: kind, id, payload, metadata |
//! | stream, messages | what one read gives becomes one message; of a message, the payload is written |
//! | datagrams, anything | each datagram is one binary message; what is too long for a datagram is refused, never cut |
//!
//! Every direction is one chain of back-pressure: nothing is read while the other end does not take
//! what was read before, so at most [`RelayOptions::buffer`] bytes, or a pipe of 1 MiB, wait in a direction,
//! and of messages those that fit one batch of the boundary. In a direction where nothing flows no
//! buffer is held at all.
//!
//! The end of one direction is passed on, and the other goes on until it ends too or a limit of
//! [`RelayOptions`] passes. An error ends both: the other end is closed without a proper ending,
//! and over TCP with a reset, so that its peer does not take half a transfer for a whole one.

mod bridge;
mod clock;
mod datagram;
mod kernel;
mod message;
mod pair;
mod pipes;
mod scratch;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod totals;

pub use datagram::messages_of;
pub use pipes::Pipes;
pub use totals::Totals;

use crate::services::kernel::come_home;
use bridge::{Framing, Unframing};
use bytes::Bytes;
use jackfield_plugin_api::{Datagrams, Error, Facets, MessageKind, Messages, Session, Stream};
use kernel::KernelWay;
use message::MessageWay;
use pair::{Ending, Pair, Way};
use socket::Socket;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stream::CopyWay;

/// One side of a relay.
#[derive(Debug)]
pub enum End {
    /// A byte stream.
    Stream(Stream),
    /// Messages.
    Messages(Messages),
    /// Datagrams.
    Datagrams(Datagrams),
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
            found.ok_or_else(|| {
                let text = "relaying a session without a stream, messages or datagrams to give";
                Error::unsupported(text).with("side", side)
            })
        };
        Ok((take(a, Side::A)?, take(b, Side::B)?))
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

    /// Datagrams as messages, and the limit that they put on what is made of bytes.
    fn prepared(self, options: &mut RelayOptions) -> Self {
        let End::Datagrams(mut datagrams) = self else { return self };
        options.buffer = options.buffer.min(datagrams.max_size()).max(1);
        End::Messages(messages_of(datagrams))
    }
}

/// How a relay treats what passes and for how long.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Ends the relay when nothing was delivered in either direction for so long. Default: never.
    pub idle_timeout: Option<Duration>,
    /// Ends the relay so long after one direction has ended, whatever the other still carries.
    /// Default: never, so the idle timeout decides, as in HAProxy without `client-fin`.
    pub half_close_timeout: Option<Duration>,
    /// Ends the relay after so long in any case. Default: never.
    pub total_timeout: Option<Duration>,
    /// As `half_close_timeout`, and applied beside it, where an end knows no half-close: messages,
    /// datagrams, a terminal, a stream that answers a shutdown with "unsupported". Default: 10 s.
    pub close_timeout: Duration,
    /// The most bytes that one read takes and one direction holds. Default: 64 KiB; least: 512.
    pub buffer: usize,
    /// What bytes become on their way to messages. Text must be UTF-8; a character that two reads
    /// have cut in two is put together again. Default: binary.
    pub frames: MessageKind,
    /// The longest payload in bytes that is accepted from messages or made of bytes; a longer one
    /// is an error of the side it comes from. Default: 16 MiB.
    pub max_message: usize,
    /// The most bytes that wait unsent in the kernel for a TCP receiver once much flows to it
    /// (`TCP_NOTSENT_LOWAT`); 0: the system's limit. Default: 256 KiB.
    pub unsent: u32,
    /// Where the pipes for `splice` come from. Default: the pool of the process.
    pub pipes: Arc<Pipes>,
}

impl RelayOptions {
    /// The default of `buffer`.
    pub const BUFFER: usize = 64 << 10;
    /// The default of `max_message`.
    pub const MAX_MESSAGE: usize = 16 << 20;
}

impl Default for RelayOptions {
    fn default() -> Self {
        RelayOptions {
            idle_timeout: None,
            half_close_timeout: None,
            total_timeout: None,
            close_timeout: Duration::from_secs(10),
            buffer: RelayOptions::BUFFER,
            frames: MessageKind::BINARY,
            max_message: RelayOptions::MAX_MESSAGE,
            unsent: 256 * 1024,
            pipes: Pipes::shared(),
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
    /// [`RelayOptions::idle_timeout`] has passed.
    IdleTimeout,
    /// [`RelayOptions::half_close_timeout`], or where it applies `close_timeout`, has passed.
    HalfCloseTimeout,
    /// [`RelayOptions::total_timeout`] has passed.
    TotalTimeout,
}

impl fmt::Display for RelayEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayEnd::Closed { first } => write!(f, "closed by {first}"),
            RelayEnd::Failed { side, receiving: true, error } => {
                write!(f, "receiving from {side} failed: {error}")
            }
            RelayEnd::Failed { side, receiving: false, error } => {
                write!(f, "sending to {side} failed: {error}")
            }
            RelayEnd::IdleTimeout => f.write_str("idle timeout"),
            RelayEnd::HalfCloseTimeout => f.write_str("half-close timeout"),
            RelayEnd::TotalTimeout => f.write_str("total timeout"),
        }
    }
}

/// Starts to join two ends. Must be called and awaited on the host's runtime.
///
/// Dropping the relay closes both ends; what was read and not yet delivered is lost.
pub fn relay(a: End, b: End, options: RelayOptions, totals: Arc<Totals>) -> Relay {
    let mut options = options;
    options.buffer = options.buffer.max(512);
    options.max_message = options.max_message.max(1);
    let (a, b) = (a.prepared(&mut options), b.prepared(&mut options));
    let run = match (a, b) {
        (End::Stream(a), End::Stream(b)) => streams(a, b, options, totals),
        (End::Stream(a), End::Messages(b)) => {
            let to_b = Framing::default();
            pair((a, to_b), (b, Unframing::default()), options, totals)
        }
        (End::Messages(a), End::Stream(b)) => {
            let to_a = Framing::default();
            pair((a, Unframing::default()), (b, to_a), options, totals)
        }
        (End::Messages(a), End::Messages(b)) => {
            pair((a, MessageWay::default()), (b, MessageWay::default()), options, totals)
        }
        // `prepared` leaves none.
        (End::Datagrams(_), _) => Run::Failed(Side::A, Error::unsupported("datagrams")),
        (_, End::Datagrams(_)) => Run::Failed(Side::B, Error::unsupported("datagrams")),
    };
    Relay { run }
}

/// A running relay, a future of its end.
#[must_use = "a relay moves nothing unless it is awaited"]
pub struct Relay {
    run: Run,
}

/// The common case lies flat in the task, which is most of what an idle connection costs.
#[allow(clippy::large_enum_variant, reason = "a box would be one more allocation a connection")]
enum Run {
    Kernel(Pair<Socket, Socket, KernelWay, KernelWay>),
    Boxed(Pin<Box<dyn Future<Output = RelayEnd> + Send>>),
    Failed(Side, Error),
}

impl Future for Relay {
    type Output = RelayEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        match &mut self.run {
            Run::Kernel(run) => Pin::new(run).poll(cx),
            Run::Boxed(run) => run.as_mut().poll(cx),
            Run::Failed(side, error) => {
                Poll::Ready(RelayEnd::Failed { side: *side, receiving: true, error: error.clone() })
            }
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}

fn pair<A, B, X, Y>(a: (A, X), b: (B, Y), options: RelayOptions, totals: Arc<Totals>) -> Run
where
    A: Ending + Send + 'static,
    B: Ending + Send + 'static,
    X: Way<A, B> + Send + 'static,
    Y: Way<B, A> + Send + 'static,
{
    Run::Boxed(Box::pin(Pair::new(a, b, options, totals)))
}

/// A stream whose descriptor was looked for.
enum Opened {
    Socket(Socket, Bytes),
    Stream(Stream),
}

fn open(stream: Stream) -> Result<Opened, Error> {
    match come_home(stream) {
        Ok(found) => found.map(|(socket, leftover)| Opened::Socket(Socket(socket), leftover)),
        Err(stream) => Ok(Opened::Stream(stream)),
    }
}

impl Opened {
    /// For a relay with an end that is not of the kernel.
    fn into_stream(self) -> (Stream, Bytes) {
        match self {
            Opened::Socket(socket, leftover) => (Stream::new(socket), leftover),
            Opened::Stream(stream) => (stream, Bytes::new()),
        }
    }
}

fn streams(a: Stream, b: Stream, options: RelayOptions, totals: Arc<Totals>) -> Run {
    let (a, b) = match (open(a), open(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(error), _) => return Run::Failed(Side::A, error),
        (_, Err(error)) => return Run::Failed(Side::B, error),
    };
    match (a, b) {
        (Opened::Socket(a, from_a), Opened::Socket(b, from_b)) => {
            let (to_b, to_a) = (KernelWay::after(from_a), KernelWay::after(from_b));
            Run::Kernel(Pair::new((a, to_b), (b, to_a), options, totals))
        }
        (a, b) => {
            let ((a, from_a), (b, from_b)) = (a.into_stream(), b.into_stream());
            pair((a, CopyWay::after(from_a)), (b, CopyWay::after(from_b)), options, totals)
        }
    }
}
