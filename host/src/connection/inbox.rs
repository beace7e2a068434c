//! [`Inbox`]: what a connection has received for a program that asks for it.

use super::handler::{Delivery, SessionHandler};
use super::live::Live;
use super::outbox::Payload;
use jackfield_plugin_api::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The most payloads that wait to be taken; then nothing more is read, and the peer is slowed down.
const MOST: usize = 16;

/// Bounded by [`MOST`] payloads, each as long as a session gives it at once.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    /// Something has come, or will not any more.
    news: Notify,
    /// There is room again, or the end was seen.
    room: Notify,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: VecDeque<Payload>,
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
                if self.lock().waiting.len() < MOST {
                    break;
                }
                room.await;
            }
            let mut state = self.lock();
            state.waiting.push_back(payload);
            drop(state);
            self.news.notify_waiters();
        })
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
                let payload = take(&mut state.waiting);
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
    /// no more or it has ended. At most 16 of them wait to be taken, then its peer is slowed down. Cancel safe.
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
            () = self.wait_closed() => Ok(take(&mut inbox.lock().waiting)),
        }
    }

    fn inbox(&self) -> Result<Arc<Inbox>> {
        self.takes_handler()?;
        let mut found = None;
        self.handler.send_if_modified(|slot| {
            let is_new = slot.handler.is_none();
            if is_new {
                let inbox = Arc::new(Inbox::default());
                slot.handler = Some(Arc::clone(&inbox) as Arc<dyn SessionHandler>);
                slot.inbox = Some(inbox);
            }
            found.clone_from(&slot.inbox);
            is_new
        });
        found.ok_or_else(|| Error::unsupported("receiving what a handler is given"))
    }
}
