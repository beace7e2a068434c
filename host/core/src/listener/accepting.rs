//! [`AcceptingSlot`]: what a listener accepts from, which another generation of its transport may take the place of
//! while it accepts.

use crate::lock::IgnorePoison;
use crate::services::{HostListener, handed_over};
use crate::stack::Stack;
use futures_util::task::AtomicWaker;
use jackfield_plugin_api::inside::AcceptInside;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{ErrorKind, Info, Kept, Listener, Result, Session};
use jackfield_timers::sleep;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How often an address is tried again that the listener before has not let go of yet.
const PAUSE: Duration = Duration::from_millis(5);

/// A listener of a transport.
#[derive(Debug)]
struct Accepting {
    listener: Listener,
    /// The same, where it is sockets of the host's: no call into the plugin comes before each session then.
    sockets: Option<Arc<AcceptInside<HostListener>>>,
    /// What each session that it accepts keeps.
    kept: Kept,
}

impl Accepting {
    fn of((listener, kept): (Listener, Kept)) -> Arc<Self> {
        let sockets = listener.inner();
        Arc::new(Accepting { listener, sockets, kept })
    }
}

/// See the [module](self). Cheap to clone: the clones are one.
#[derive(Clone, Debug)]
pub(super) struct AcceptingSlot(Arc<SlotState>);

#[derive(Debug)]
struct SlotState {
    now: Mutex<Option<Arc<Accepting>>>,
    /// Grows with each change of `now`.
    changes: AtomicUsize,
    /// Who accepts.
    hearer: AtomicWaker,
}

/// Who accepts; of each slot there is one.
pub(super) struct Hearer {
    slot: AcceptingSlot,
    seen: usize,
    now: Option<Arc<Accepting>>,
    /// The call for the next session of what is not of the host.
    next: Option<Op<Session>>,
}

impl AcceptingSlot {
    pub(super) fn of(accepting: (Listener, Kept)) -> Self {
        let now = Mutex::new(Some(Accepting::of(accepting)));
        let (changes, hearer) = (AtomicUsize::new(1), AtomicWaker::new());
        AcceptingSlot(Arc::new(SlotState { now, changes, hearer }))
    }

    fn now(&self) -> Option<Arc<Accepting>> {
        self.0.now.lock().ignore_poison().clone()
    }

    fn replace(&self, next: Option<Arc<Accepting>>) {
        let before = std::mem::replace(&mut *self.0.now.lock().ignore_poison(), next);
        self.0.changes.fetch_add(1, Ordering::Release);
        self.0.hearer.wake();
        drop(before);
    }

    /// Where it listens.
    pub(super) fn info(&self) -> Info {
        self.now().map(|accepting| accepting.listener.info()).unwrap_or_default()
    }

    /// Lets go of the address.
    pub(super) fn end(&self) {
        self.replace(None);
    }

    pub(super) fn hearer(&self) -> Hearer {
        Hearer { slot: self.clone(), seen: 0, now: None, next: None }
    }

    /// Accepts from what `stack` listens with now, at the port that it has.
    ///
    /// # Errors
    /// What the transport says within `limit`.
    pub(super) async fn change(&self, stack: &Stack, limit: Duration) -> Result<()> {
        let local = self.info().local;
        let port = local.and_then(|local| local.rsplit_once(':')?.1.parse().ok());
        let listened = handed_over(stack.listen_at(limit, port)).await;
        let next = match listened {
            Err(error) if error.kind() == ErrorKind::InUse => {
                self.replace(None);
                again(stack, limit, port).await?
            }
            listened => listened?,
        };
        self.replace(Some(Accepting::of(next)));
        Ok(())
    }
}

/// Listens as soon as the address is free, at most for `limit`.
async fn again(stack: &Stack, limit: Duration, port: Option<u16>) -> Result<(Listener, Kept)> {
    let end = Instant::now() + limit;
    loop {
        match stack.listen_at(limit, port).await {
            Err(error) if error.kind() == ErrorKind::InUse && Instant::now() < end => {
                sleep(PAUSE).await;
            }
            listened => return listened,
        }
    }
}

impl Hearer {
    /// The next session, of whatever there is to accept from. Cancel safe.
    ///
    /// # Errors
    /// What the transport says.
    pub(super) async fn accept(&mut self) -> Result<Session> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Session>> {
        loop {
            let changes = self.slot.0.changes.load(Ordering::Acquire);
            if self.seen != changes {
                self.seen = changes;
                self.next = None;
                self.now = self.slot.now();
            }
            if let accepted @ Poll::Ready(_) = self.poll_now(cx) {
                return accepted;
            }
            self.slot.0.hearer.register(cx.waker());
            if self.seen == self.slot.0.changes.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
    }

    /// The next session of what there is now.
    fn poll_now(&mut self, cx: &mut Context<'_>) -> Poll<Result<Session>> {
        let Some(accepting) = &self.now else { return Poll::Pending };
        let accepted = match &accepting.sockets {
            Some(sockets) => ready!(sockets.get().poll_accept(cx)),
            None => {
                let next = self.next.get_or_insert_with(|| accepting.listener.accept());
                let accepted = ready!(Pin::new(next).poll(cx));
                self.next = None;
                accepted
            }
        };
        Poll::Ready(accepted.map(|mut session| {
            session.keep(Arc::clone(&accepting.kept));
            session
        }))
    }
}
