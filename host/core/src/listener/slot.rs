//! [`ServiceSlot`]: what serves the sessions of a listener, changed while it accepts.

use super::accepting::AcceptingSlot;
use super::admission::Admission;
use super::{Bound, Listener, ListenerShared, ListenerTotals, Service};
use crate::connection::Target;
use crate::handover;
use arc_swap::ArcSwap;
use jackfield_plugin_api::Result;
use std::sync::Arc;

/// What serves the sessions of a listener, which may change while it accepts.
#[derive(Clone, Debug)]
pub struct ServiceSlot {
    pub(super) shared: Arc<ArcSwap<ListenerShared>>,
    pub(super) accepting: AcceptingSlot,
}

impl ServiceSlot {
    /// What the listener has counted so far.
    pub fn totals(&self) -> ListenerTotals {
        self.shared.load().counts.totals()
    }

    /// Where sessions go now, in words.
    pub fn name(&self) -> Arc<str> {
        self.shared.load().service.name()
    }

    /// Lets `service` serve what is accepted from now on; what was accepted before stays where it is.
    pub fn replace(&self, service: Service) {
        let serving = self.shared.load().serving(service);
        self.shared.store(Arc::new(serving));
    }

    /// Makes the listener another one but for where it listens: layers, service, limits and whom it lets in are those
    /// of `listener` for what is accepted from now on; what was accepted before stays where it is. What the transport
    /// was told when it began to listen stays, too.
    pub fn become_as(&self, listener: Listener) {
        let now = self.shared.load_full();
        let (most, handshake_timeout) = listener.limits(&now.lives);
        let Listener { stack, service, options, .. } = listener;
        let admission = Arc::new(Admission::after(&now.admission, options));
        now.room.set(most);
        let (target, lives) = (Arc::new(Target::new(stack, None)), Arc::clone(&now.lives));
        let room = Arc::clone(&now.room);
        let base = (Arc::clone(&now.name), target, handshake_timeout);
        let becoming = ListenerShared::new(base, service, admission, room, lives);
        self.shared.store(Arc::new(ListenerShared { counts: Arc::clone(&now.counts), ..becoming }));
    }

    /// What it listens with.
    pub fn target(&self) -> Arc<Target> {
        Arc::clone(&self.shared.load().target)
    }

    /// Takes the same address again, for the same service.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_again(&self) -> Result<Bound> {
        let now = self.shared.load_full();
        let binding = now.target.stack().listen_at(now.handshake_timeout, None);
        let accepting = handover::by_name(now.admission.socket.clone(), binding).await?;
        let accepting = AcceptingSlot::of(accepting);
        Ok(Bound { shared: Arc::clone(&self.shared), name: Arc::clone(&now.name), accepting })
    }

    /// Listens at the same address by the present generation of its transport, under what accepts. Where the address
    /// cannot be had twice, nothing listens for a moment.
    ///
    /// # Errors
    /// What the transport says: then nothing listens, if it was stopped for that.
    pub async fn listen_anew(&self) -> Result<()> {
        let now = self.shared.load_full();
        let changing = self.accepting.change(now.target.stack(), now.handshake_timeout);
        handover::by_name(now.admission.socket.clone(), changing).await
    }
}
