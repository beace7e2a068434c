//! [`Inbox`]: what a connection has received for a program that asks for it.

use super::handler::{Delivery, SessionHandler};
use super::live::Live;
use super::outbox::{Payload, low_mark};
use super::policy::Policy;
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// Bounded by the policy's `receive_queue` and `receive_bytes`: at these nothing more is read, so that the peer is
/// slowed down, until it is down to the low water mark.
#[derive(Debug)]
pub(super) struct Inbox {
    payloads: usize,
    bytes: usize,
    low_water: u32,
    state: Mutex<InboxState>,
    /// Something has come, or will not any more.
    news: Notify,
    /// There is room again, or the end was seen.
    room: Notify,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: VecDeque<Payload>,
    /// Of all that waits.
    bytes: usize,
    /// It was full, and is not down to the low water mark yet.
    is_full: bool,
    /// The peer sends no more over the session that is open.
    ended: bool,
    /// Who takes from here has been told so.
    seen: bool,
}

impl SessionHandler for Inbox {
    fn received<'a>(&'a self, _: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        Box::pin(async move {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                room.as_mut().enable();
                if !self.lock().is_full {
                    break;
                }
                room.await;
            }
            let mut state = self.lock();
            state.bytes = state.bytes.saturating_add(payload.bytes().len());
            state.waiting.push_back(payload);
            state.is_full = state.waiting.len() >= self.payloads || state.bytes >= self.bytes;
            drop(state);
            self.news.notify_waiters();
        })
    }
}

impl Inbox {
    pub(super) fn new(policy: &Policy) -> Self {
        Inbox {
            payloads: policy.receive_queue,
            bytes: policy.receive_bytes,
            low_water: policy.low_water,
            state: Mutex::default(),
            news: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Payloads that wait to be taken, and their bytes.
    pub(super) fn level(&self) -> (usize, usize) {
        let state = self.lock();
        (state.waiting.len(), state.bytes)
    }

    /// What is taken or looked at by `take`.
    fn taken(
        &self,
        state: &mut InboxState,
        take: impl Fn(&mut VecDeque<Payload>) -> Option<Payload>,
    ) -> Option<Payload> {
        let before = state.waiting.len();
        let payload = take(&mut state.waiting)?;
        if state.waiting.len() < before {
            state.bytes = state.bytes.saturating_sub(payload.bytes().len());
            let low = |high| low_mark(high, self.low_water);
            let is_low =
                state.waiting.len() <= low(self.payloads) && state.bytes <= low(self.bytes);
            state.is_full &= !is_low;
        }
        Some(payload)
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().ignore_poison()
    }

    /// The peer sends no more, or does again over another session.
    pub(super) fn end(&self, ended: bool) {
        let mut state = self.lock();
        (state.ended, state.seen) = (ended, false);
        drop(state);
        self.news.notify_waiters();
    }

    /// Completes when who takes from here has taken all and seen the end. Cancel safe.
    pub(super) async fn read_out(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.lock().seen {
                return;
            }
            room.await;
        }
    }

    /// The next payload, taken or looked at by `take`; `None` when no more will come of this session.
    async fn next(
        &self,
        take: impl Fn(&mut VecDeque<Payload>) -> Option<Payload>,
    ) -> Option<Payload> {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            {
                let mut state = self.lock();
                let payload = self.taken(&mut state, &take);
                state.seen |= payload.is_none() && state.ended;
                if payload.is_some() || state.ended {
                    drop(state);
                    self.room.notify_waiters();
                    return payload;
                }
            }
            news.await;
        }
    }
}

impl Live {
    /// The next thing that it receives, in order: bytes as they come, or a message. `None` when its peer sends
    /// no more or it has ended. What waits to be taken is bounded by `receive_queue` and `receive_bytes` of its
    /// [`Policy`], then its peer is slowed down. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](jackfield_plugin_api::ErrorKind::Unsupported) if a handler has what it
    /// receives, see [`Live::set_handler`], or its session has only requests.
    pub async fn receive(&self) -> Result<Option<Payload>> {
        self.next_received(VecDeque::pop_front).await
    }

    /// As [`Live::receive`], but it is only looked at: the next call gives the same.
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self) -> Result<Option<Payload>> {
        self.next_received(|waiting| waiting.front().cloned()).await
    }

    async fn next_received(
        &self,
        take: impl Fn(&mut VecDeque<Payload>) -> Option<Payload>,
    ) -> Result<Option<Payload>> {
        let inbox = self.inbox()?;
        let next = inbox.next(&take);
        tokio::select! {
            biased;
            payload = next => Ok(payload),
            // What came before the end is still given.
            () = self.wait_closed() => Ok(inbox.taken(&mut inbox.lock(), take)),
        }
    }

    fn inbox(&self) -> Result<Arc<Inbox>> {
        self.takes_handler()?;
        let mut found = None;
        self.handler.send_if_modified(|slot| {
            let is_new = slot.handler.is_none();
            if is_new {
                let inbox = Arc::new(Inbox::new(&self.spec.policy));
                slot.handler = Some(Arc::clone(&inbox) as Arc<dyn SessionHandler>);
                slot.inbox = Some(inbox);
            }
            found.clone_from(&slot.inbox);
            is_new
        });
        found.ok_or_else(|| Error::unsupported("receiving what a handler is given"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Managed, Target};
    use crate::stack::Stack;
    use futures_util::FutureExt;

    /// A life that the inbox is given, and looks at in no way.
    fn live() -> Arc<Live> {
        let stack = Stack::of_source("test:", |_| std::future::pending());
        Managed::new("lab", Arc::new(Target::new(stack, None)), Policy::default()).live()
    }

    fn take(inbox: &Inbox) -> Option<Payload> {
        inbox.next(VecDeque::pop_front).now_or_never().flatten()
    }

    #[tokio::test]
    async fn reading_stops_at_the_high_water_mark_and_goes_on_at_the_low_one() {
        let (policy, live) =
            (Policy { receive_queue: 4, low_water: 25, ..Policy::default() }, live());
        let inbox = Inbox::new(&policy);
        for _ in 0..4 {
            assert!(inbox.received(&live, "ab".into()).now_or_never().is_some());
        }
        assert_eq!(inbox.level(), (4, 8));
        let mut fifth = inbox.received(&live, "cd".into());
        for _ in 0..2 {
            assert!(fifth.as_mut().now_or_never().is_none());
            assert!(take(&inbox).is_some());
        }
        assert!(fifth.as_mut().now_or_never().is_none(), "two wait, and one is the low mark");
        assert!(take(&inbox).is_some());
        assert!(fifth.as_mut().now_or_never().is_some());
        assert_eq!(inbox.level(), (2, 4));
    }

    #[tokio::test]
    async fn bytes_fill_it_too_and_one_that_is_too_long_is_still_given() {
        let (policy, live) =
            (Policy { receive_bytes: 4, low_water: 0, ..Policy::default() }, live());
        let inbox = Inbox::new(&policy);
        assert!(inbox.received(&live, "longer than that".into()).now_or_never().is_some());
        let mut next = inbox.received(&live, "x".into());
        assert!(next.as_mut().now_or_never().is_none());
        let looked = inbox.next(|waiting| waiting.front().cloned()).now_or_never().flatten();
        assert_eq!((looked.is_some(), inbox.level()), (true, (1, 16)), "only looked at");
        assert_eq!(take(&inbox), Some("longer than that".into()));
        assert!(next.as_mut().now_or_never().is_some());
    }
}
