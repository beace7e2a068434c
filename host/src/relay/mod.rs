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
//! The end of one direction is passed on, and the other goes on until it ends too or nothing has moved for a
//! limit of [`RelayOptions`]. An error ends both: the other end is closed without a proper ending, and over
//! TCP with a reset, so that its peer does not take half a transfer for a whole one. The same holds for what
//! a limit ends, and for a relay that is dropped. Layers over a socket need not know: dropped without being
//! shut down, they send no goodbye, and the socket below them resets ([`cut_off`]). Where a session has words
//! for it, such as a close code, its owner closes it before.

mod ahead;
mod bridge;
mod clock;
mod datagram;
mod ends;
mod kernel;
mod message;
mod pair;
mod pipes;
mod scratch;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod totals;

pub use ahead::Watched;
pub use datagram::messages_of;
pub use ends::{End, RelayEnd, Side};
pub use pipes::Pipes;
pub use text::InvalidText;
pub use totals::Totals;

use crate::services::kernel::cut_off;
use bridge::{Framing, Unframing};
use ends::{OpenedStream, Part};
use jackfield_plugin_api::{Error, MessageKind};
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

/// How a relay treats what passes and for how long.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Ends the relay when nothing was delivered in either direction for so long. Default: never.
    pub idle_timeout: Option<Duration>,
    /// Ends the relay when nothing was delivered for so long after one direction has ended.
    /// Default: never, so the idle timeout decides, as in HAProxy without `client-fin`.
    pub half_close_timeout: Option<Duration>,
    /// In the place of `half_close_timeout` where an end knows no half-close: messages, datagrams, a
    /// terminal, a stream that answers a shutdown with "unsupported". The end of one direction is that of
    /// the whole there; what is still answered to the last bytes has this time, again after each piece. A
    /// third of it where a has ended without having sent anything. Default: 300 ms.
    pub drain_timeout: Duration,
    /// Whether its ends may go on alone with one direction at all, as far as they can. Default: true.
    pub half_close: bool,
    /// Ends the relay after so long in any case. Default: never.
    pub total_timeout: Option<Duration>,
    /// How long the end itself may take, once nothing more is received. Default: 10 s.
    pub close_timeout: Duration,
    /// Between messages and messages: with the end of one side the relay is over, and the other is not
    /// closed, so that its owner can do that with the code and the reason of the first. Default: false.
    pub leave_messages_open: bool,
    /// The most bytes that one read takes and one direction holds. Default: 64 KiB; least: 512.
    pub buffer: usize,
    /// What bytes become on their way to messages. In text a character that two reads have cut in two is
    /// put together again. Default: binary.
    pub frames: MessageKind,
    /// What becomes of bytes that are no text where `frames` is text. Default: U+FFFD.
    pub invalid_text: InvalidText,
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
            drain_timeout: Duration::from_millis(300),
            half_close: true,
            total_timeout: None,
            close_timeout: Duration::from_secs(10),
            leave_messages_open: false,
            buffer: RelayOptions::BUFFER,
            frames: MessageKind::BINARY,
            invalid_text: InvalidText::default(),
            max_message: RelayOptions::MAX_MESSAGE,
            unsent: 256 * 1024,
            pipes: Pipes::shared(),
        }
    }
}

/// Starts to join two ends. Must be called and awaited on the host's runtime.
///
/// Dropping the relay before its end closes both ends, as after a failure; what was read and not yet
/// delivered is lost.
pub fn relay(a: End, b: End, options: RelayOptions, totals: Arc<Totals>) -> Relay {
    let mut options = options;
    options.buffer = options.buffer.max(512);
    options.max_message = options.max_message.max(1);
    let run = match (a.prepared(&mut options), b.prepared(&mut options)) {
        (Part::Messages(a), Part::Messages(b)) => {
            pair((a, MessageWay::default()), (b, MessageWay::default()), options, totals)
        }
        (a, Part::Messages(b)) => match a.into_stream() {
            Ok(a) => pair((a, Framing::default()), (b, Unframing::default()), options, totals),
            Err(error) => Run::Failed(Side::A, error),
        },
        (Part::Messages(a), b) => match b.into_stream() {
            Ok(b) => pair((a, Unframing::default()), (b, Framing::default()), options, totals),
            Err(error) => Run::Failed(Side::B, error),
        },
        (a, b) => match (a.open(), b.open()) {
            (Ok(a), Ok(b)) => streams(a, b, options, totals),
            (Err(error), _) => Run::Failed(Side::A, error),
            (_, Err(error)) => Run::Failed(Side::B, error),
        },
    };
    Relay { run: Some(run), cuts: [true, true] }
}

fn pair<A, B, X, Y>(a: (A, X), b: (B, Y), options: RelayOptions, totals: Arc<Totals>) -> Run
where
    A: Ending + Send + 'static,
    B: Ending + Send + 'static,
    X: Way<A, B> + Send + 'static,
    Y: Way<B, A> + Send + 'static,
{
    Run::Boxed(Box::new(Pair::new(a, b, options, totals)))
}

fn streams(a: OpenedStream, b: OpenedStream, options: RelayOptions, totals: Arc<Totals>) -> Run {
    match (a, b) {
        (OpenedStream::Socket(a, from_a), OpenedStream::Socket(b, from_b)) => {
            let (to_b, to_a) = (KernelWay::after(from_a), KernelWay::after(from_b));
            Run::Kernel(Pair::new((a, to_b), (b, to_a), options, totals))
        }
        (a, b) => {
            let ((a, from_a), (b, from_b)) = (a.into_parts(), b.into_parts());
            pair((a, CopyWay::after(from_a)), (b, CopyWay::after(from_b)), options, totals)
        }
    }
}

/// A running relay, a future of its end.
#[must_use = "a relay moves nothing unless it is awaited"]
pub struct Relay {
    /// There until it is dropped or taken apart.
    run: Option<Run>,
    /// Whether dropping it cuts off a and b.
    cuts: [bool; 2],
}

/// The common case lies flat in the task, which is most of what an idle connection costs.
#[allow(clippy::large_enum_variant, reason = "a box would be one more allocation a connection")]
enum Run {
    Kernel(Pair<Socket, Socket, KernelWay, KernelWay>),
    Boxed(Box<dyn Relaying>),
    Failed(Side, Error),
}

/// A pair of any kind of ends.
trait Relaying: Send {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd>;
    fn heard(&mut self, ago: Duration);
    fn into_ends(self: Box<Self>) -> (Left, Left);
}

/// What is left of an end after its relay; dropping it closes that.
#[must_use = "where it is cut off, it must be dropped in the right place"]
pub struct Left(#[expect(dead_code, reason = "it is only dropped")] Option<Box<dyn Send>>);

impl<A, B, X, Y> Relaying for Pair<A, B, X, Y>
where
    A: Ending + Send + 'static,
    B: Ending + Send + 'static,
    X: Way<A, B> + Send,
    Y: Way<B, A> + Send,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        Pin::new(self).poll(cx)
    }

    fn heard(&mut self, ago: Duration) {
        Pair::heard(self, ago);
    }

    fn into_ends(self: Box<Self>) -> (Left, Left) {
        let Pair { a, b, .. } = *self;
        (Left(Some(Box::new(a))), Left(Some(Box::new(b))))
    }
}

impl Relay {
    /// After [`RelayEnd::IdleTimeout`]: a peer was heard so long ago, although there was nothing to deliver,
    /// and so the relay goes on, with the idle limit from there.
    pub fn heard(&mut self, ago: Duration) {
        self.cuts = [true, true];
        match &mut self.run {
            Some(Run::Kernel(run)) => run.heard(ago),
            Some(Run::Boxed(run)) => run.heard(ago),
            Some(Run::Failed(..)) | None => {}
        }
    }

    /// What is left of a and of b, for whoever has the sessions: where one is to be cut off, all that is
    /// left of it must be dropped together.
    pub fn into_ends(mut self) -> (Left, Left) {
        match self.run.take() {
            Some(Run::Kernel(run)) => Box::new(run).into_ends(),
            Some(Run::Boxed(run)) => run.into_ends(),
            Some(Run::Failed(..)) | None => (Left(None), Left(None)),
        }
    }
}

impl Future for Relay {
    type Output = RelayEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let end = match &mut self.run {
            Some(Run::Kernel(run)) => std::task::ready!(Pin::new(run).poll(cx)),
            Some(Run::Boxed(run)) => std::task::ready!(run.poll_end(cx)),
            Some(Run::Failed(side, error)) => {
                RelayEnd::Failed { side: *side, receiving: true, error: error.clone() }
            }
            None => return Poll::Pending,
        };
        self.cuts = [end.cuts(Side::A), end.cuts(Side::B)];
        Poll::Ready(end)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let cuts = self.cuts;
        let Some(run) = self.run.take_if(|_| cuts != [false, false]) else { return };
        if cuts == [true, true] {
            return cut_off(run);
        }
        let (a, b) = Relay { run: Some(run), cuts: [false, false] }.into_ends();
        let (cut, whole) = if cuts[0] { (a, b) } else { (b, a) };
        cut_off(cut);
        drop(whole);
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}
