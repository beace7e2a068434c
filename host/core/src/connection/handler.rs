//! [`SessionHandler`]: what a program does with what a connection receives; it can be swapped in
//! mid-life.

use super::inbox::Inbox;
use super::live::Live;
use super::outbox::Payload;
use crate::events::Event;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

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
pub(super) struct HandlerSlot {
    pub(super) handler: Option<Arc<dyn SessionHandler>>,
    /// It is this one if a program receives by asking.
    pub(super) inbox: Option<Arc<Inbox>>,
    /// Nothing is read meanwhile.
    pub(super) paused: bool,
}

impl HandlerSlot {
    /// The handler, unless nothing is to be read.
    pub(super) fn reads(&self) -> bool {
        self.handler.is_some() && !self.paused
    }
}

impl fmt::Debug for HandlerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.handler.is_some() { "SessionHandler" } else { "-" })
    }
}

/// Puts `handler` in the place of the one that was set.
pub(super) fn set(
    slot: &watch::Sender<HandlerSlot>,
    handler: Arc<dyn SessionHandler>,
) -> Option<Arc<dyn SessionHandler>> {
    let mut before = None;
    slot.send_modify(|slot| {
        before = slot.handler.replace(handler);
        slot.inbox = None;
    });
    before
}
