//! [`Mux`]: what carries streams and datagrams, a QUIC connection itself or a session on one.

use crate::flow::Flow;
use crate::link::Link;
use futures_util::future::BoxFuture;
use jackfield_plugin_api::{Error, Event, Info, Result};
use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use std::sync::Arc;

/// A stream of which one half may be missing.
pub(crate) type Halves = (Option<SendStream>, Option<RecvStream>);

/// Which streams of the peer are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Of both directions.
    Bidi,
    /// Of any kind.
    Any,
}

/// What carries streams and datagrams. Futures are cancel safe.
pub(crate) trait Mux: Send + Sync + 'static {
    /// The connection.
    fn link(&self) -> &Arc<Link>;
    /// Opens a stream, ready for its bytes.
    fn open(&self, uni: bool) -> BoxFuture<'_, Result<Halves>>;
    /// The peer's next stream, at its bytes; `None` after a normal end.
    fn accept(&self, wanted: Wanted) -> BoxFuture<'_, Result<Option<Halves>>>;
    /// Ends it all with a code and a reason that the peer sees.
    fn close(&self, code: u64, reason: String) -> BoxFuture<'_, Result<()>>;
    /// Why it has ended.
    fn loss(&self, error: &ConnectionError) -> Error;
    /// Whether that end was a normal one.
    fn is_normal(&self, error: &ConnectionError) -> bool;
    /// Its end, as an event.
    fn end(&self) -> BoxFuture<'_, Event>;
    /// What is known of it.
    fn info(&self) -> Info;
    /// A code of the application as it is on the wire.
    ///
    /// # Errors
    /// One that does not fit.
    fn wire_code(&self, code: u64) -> Result<VarInt>;
    /// Whose number a code from the wire is, and the number, as the application knows it.
    fn code(&self, code: VarInt) -> (&'static str, u64);
    /// What each datagram begins with.
    fn datagram_prefix(&self) -> &[u8];
    /// Limits of its own, beside those of the connection.
    fn flow(&self) -> Option<&Arc<Flow>>;
}
