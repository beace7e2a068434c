//! [`SessionHandler`]: what a program does with what a connection receives; it can be swapped in
//! mid-life.

use super::inbox::Inbox;
use super::live::Live;
use super::outbox::Payload;
use crate::events::Event;
use jackfield_plugin_api::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// That of all connections, for one without a handler.
    pub(super) default: Option<Arc<dyn SessionHandler>>,
    /// Whether the default one is given what is received, too, and not only told what happens.
    pub(super) default_reads: bool,
}

impl HandlerSlot {
    /// Who is given what is received.
    pub(super) fn reader(&self) -> Option<&Arc<dyn SessionHandler>> {
        self.handler.as_ref().or(self.default.as_ref().filter(|_| self.default_reads))
    }

    /// Who is told what happens.
    pub(super) fn told(&self) -> Option<&Arc<dyn SessionHandler>> {
        // A program that receives by asking has no handler of its own.
        self.handler.as_ref().filter(|_| self.inbox.is_none()).or(self.default.as_ref())
    }

    /// Whether something is to be read.
    pub(super) fn reads(&self) -> bool {
        self.reader().is_some() && !self.paused
    }
}

/// What a program does for all connections of a host.
#[derive(Clone, Default)]
pub struct ForAllConnections {
    /// The handler of those that have none of their own.
    pub handler: Option<Arc<dyn SessionHandler>>,
    /// Is told what goes wrong on each.
    pub on_error: Option<ErrorHook>,
}

/// Is told what goes wrong on a connection: what [`EventKind::Error`](crate::events::EventKind::Error) is told of, and
/// handlers that panic at an event.
pub type ErrorHook = Arc<dyn Fn(&Live, &Error) + Send + Sync>;

impl fmt::Debug for ForAllConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ForAllConnections { handler, on_error } = self;
        let (handler, on_error) = (handler.is_some(), on_error.is_some());
        f.debug_struct("ForAllConnections")
            .field("handler", &handler)
            .field("on_error", &on_error)
            .finish()
    }
}

impl Live {
    fn for_all(&self) -> Option<&ForAllConnections> {
        self.spec.lives.as_ref()?.for_all()
    }

    /// The handler of connections that have none of their own.
    pub(super) fn default_handler(&self) -> Option<&Arc<dyn SessionHandler>> {
        self.for_all()?.handler.as_ref()
    }

    /// A dialled one takes the default handler, for what it receives, too.
    pub(super) fn take_default_handler(&self) {
        let Some(default) = self.default_handler() else { return };
        self.handler.send_modify(|slot| {
            slot.default = Some(Arc::clone(default));
            slot.default_reads = true;
        });
    }

    /// Tells the hook of all connections what went wrong.
    pub(super) fn tell_error(&self, error: &Error) {
        let Some(hook) = self.for_all().and_then(|all| all.on_error.as_ref()) else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(self, error))).is_err() {
            tracing::error!(connection = &*self.name, "the error hook panicked");
        }
    }
}

impl fmt::Debug for HandlerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.reader().is_some() { "SessionHandler" } else { "-" })
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
