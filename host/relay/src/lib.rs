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
//! what was read before, so at most [`RelaySizes::buffer`] bytes, or a pipe of 1 MiB, wait in a direction,
//! and of messages those that fit one batch of the boundary. In a direction where nothing flows no
//! buffer is held at all.
//!
//! The end of one direction is passed on, and the other goes on until it ends too or nothing has moved for a
//! limit of [`RelayTimeouts`]. An error ends both: the other end is closed without a proper ending, and over
//! TCP with a reset, so that its peer does not take half a transfer for a whole one. The same holds for what
//! a limit ends, and for a relay that is dropped. Layers over a socket need not know: dropped without being
//! shut down, they send no goodbye, and the socket below them resets ([`cut_off`]). Where a session has words
//! for it, such as a close code, its owner closes it before.

mod ahead;
mod bridge;
mod clock;
mod datagram;
mod duplex;
mod ends;
mod kernel;
mod kernel_stream;
mod message;
mod options;
mod pipes;
mod scratch;
mod socket;
mod steps;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod totals;

pub use ahead::Watched;
pub use datagram::messages_of;
pub use ends::{End, RelayEnd, Side};
pub use kernel_stream::{KernelStream, come_home, cut_off, cutting, tcp_stream, unix_stream};
pub use options::{Frames, RelayOptions, RelaySizes, RelayTimeouts};
pub use pipes::Pipes;
pub use totals::{Totals, Traffic};

use bridge::{Framing, Unframing};
use duplex::{Direction, Duplex, Ending};
use ends::{OpenedStream, Part};
use jackfield_plugin_api::Error;
use kernel::KernelDirection;
use message::MessageDirection;
use socket::Socket;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use stream::CopyDirection;

/// Starts to join two ends. Must be called and awaited on the host's runtime.
///
/// Dropping the relay before its end closes both ends, as after a failure; what was read and not yet
/// delivered is lost.
pub fn relay(a: End, b: End, options: impl Into<Arc<RelayOptions>>, totals: Arc<Totals>) -> Relay {
    // Shared: the relays of a route have the same.
    let mut options = options.into();
    if options.sizes.buffer < 512 || options.sizes.max_message < 1 {
        let sizes = &mut Arc::make_mut(&mut options).sizes;
        *sizes =
            RelaySizes { buffer: sizes.buffer.max(512), max_message: sizes.max_message.max(1) };
    }
    let run = match (a.prepared(&mut options), b.prepared(&mut options)) {
        (Part::Messages(a), Part::Messages(b)) => duplex(
            (a, MessageDirection::default()),
            (b, MessageDirection::default()),
            options,
            totals,
        ),
        (a, Part::Messages(b)) => match a.into_stream() {
            Ok(a) => duplex((a, Framing::default()), (b, Unframing::default()), options, totals),
            Err(error) => Run::Failed(Side::A, error),
        },
        (Part::Messages(a), b) => match b.into_stream() {
            Ok(b) => duplex((a, Unframing::default()), (b, Framing::default()), options, totals),
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

fn duplex<A, B, X, Y>(a: (A, X), b: (B, Y), options: Arc<RelayOptions>, totals: Arc<Totals>) -> Run
where
    A: Ending + Send + 'static,
    B: Ending + Send + 'static,
    X: Direction<A, B> + Send + 'static,
    Y: Direction<B, A> + Send + 'static,
{
    Run::Boxed(Box::new(Duplex::new(a, b, options, totals)))
}

fn streams(
    a: OpenedStream,
    b: OpenedStream,
    options: Arc<RelayOptions>,
    totals: Arc<Totals>,
) -> Run {
    match (a, b) {
        (OpenedStream::Socket(a, from_a), OpenedStream::Socket(b, from_b)) => {
            let (to_b, to_a) = (KernelDirection::after(from_a), KernelDirection::after(from_b));
            Run::Kernel(Duplex::new((a, to_b), (b, to_a), options, totals))
        }
        (a, b) => {
            let ((a, from_a), (b, from_b)) = (a.into_parts(), b.into_parts());
            duplex(
                (a, CopyDirection::after(from_a)),
                (b, CopyDirection::after(from_b)),
                options,
                totals,
            )
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
    Kernel(Duplex<Socket, Socket, KernelDirection, KernelDirection>),
    Boxed(Box<dyn Relaying>),
    Failed(Side, Error),
}

/// A duplex of any kind of ends.
trait Relaying: Send {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd>;
    fn heard(&mut self, ago: Duration);
    fn into_ends(self: Box<Self>) -> (Left, Left);
}

/// What is left of an end after its relay; dropping it closes that.
#[must_use = "where it is cut off, it must be dropped in the right place"]
pub struct Left(#[expect(dead_code, reason = "it is only dropped")] LeftEnd);

/// The common case needs no box.
enum LeftEnd {
    Nothing,
    Socket(#[expect(dead_code, reason = "it is only dropped")] Socket),
    Boxed(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Send>),
}

impl<A, B, X, Y> Relaying for Duplex<A, B, X, Y>
where
    A: Ending + Send + 'static,
    B: Ending + Send + 'static,
    X: Direction<A, B> + Send,
    Y: Direction<B, A> + Send,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        Pin::new(self).poll(cx)
    }

    fn heard(&mut self, ago: Duration) {
        Duplex::heard(self, ago);
    }

    fn into_ends(self: Box<Self>) -> (Left, Left) {
        let Duplex { a, b, .. } = *self;
        let boxed = |end: Box<dyn Send>| Left(LeftEnd::Boxed(end));
        (boxed(Box::new(a)), boxed(Box::new(b)))
    }
}

impl Relay {
    /// After [`RelayEnd::IdleTimeout`]: a peer showed so long ago that it is there, although it delivered nothing,
    /// and so the relay goes on, with the idle limit from there.
    pub fn heard(&mut self, ago: Duration) {
        self.cuts = [true, true];
        match &mut self.run {
            Some(Run::Kernel(run)) => run.heard(ago),
            Some(Run::Boxed(run)) => run.heard(ago),
            Some(Run::Failed(..)) | None => {}
        }
    }

    /// What is left of a and of b, for the owner of the sessions: where one is to be cut off, all that is
    /// left of it must be dropped together.
    pub fn into_ends(mut self) -> (Left, Left) {
        match self.run.take() {
            Some(Run::Kernel(Duplex { a, b, .. })) => {
                (Left(LeftEnd::Socket(a)), Left(LeftEnd::Socket(b)))
            }
            Some(Run::Boxed(run)) => run.into_ends(),
            Some(Run::Failed(..)) | None => (Left(LeftEnd::Nothing), Left(LeftEnd::Nothing)),
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
