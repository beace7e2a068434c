//! [`SessionHandler`]: what a program does with what a connection receives; it can be swapped in
//! mid-life.

use super::live::Live;
use super::outbox::Payload;
use crate::events::Event;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// What a [`SessionHandler`] answers with: done with one delivery.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Is given what a connection receives, in order, and each thing exactly once.
pub trait SessionHandler: Send + Sync + 'static {
    /// Bytes or a message have come. The next is read only when this is done, so that a slow handler
    /// slows its peer. It may post to `connection`, close it, and swap the handler. The future is
    /// dropped if the session ends before it is done.
    fn received<'a>(&'a self, connection: &'a Arc<Live>, payload: Payload) -> Delivery<'a>;

    /// Something has happened to the connection. Must not block. Default: nothing is done.
    fn event(&self, connection: &Arc<Live>, event: &Event) {
        let _ = (connection, event);
    }
}

/// The handler that is set now.
#[derive(Clone, Default)]
pub(super) struct Slot(pub(super) Option<Arc<dyn SessionHandler>>);

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SessionHandler" } else { "-" })
    }
}
