//! The message facet of a session, and of each stream that shares its connection.

use crate::communication;
use crate::link::{End, State};
use crate::outgoing;
use crate::session::Held;
use crate::users::MAIN;
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, Message, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The messages of one user.
pub(crate) struct Facet {
    held: Arc<Held>,
    user: u64,
    /// The number of the last message that was handed over.
    last: u64,
    /// Whether the end was told.
    ended: bool,
}

impl Facet {
    pub(crate) fn new(held: Arc<Held>, user: u64) -> Self {
        Facet { held, user, last: 0, ended: false }
    }

    /// Why this user has ended, alone or with the connection.
    fn over(&self, state: &mut State) -> Option<End> {
        let alone = state.users.get(self.user).and_then(|user| user.over.clone());
        alone.map(End::Failed).or_else(|| state.end.clone())
    }

    /// Sleeps until something was sent.
    fn sleep(&self, state: &mut State, cx: &Context<'_>) {
        if let Some(user) = state.users.get(self.user) {
            user.used = true;
            user.writer = Some(cx.waker().clone());
        }
    }
}

impl Drop for Facet {
    fn drop(&mut self) {
        let link = &self.held.link;
        let mut state = link.state();
        if self.user != MAIN {
            state.users.remove(self.user);
            outgoing::abandoned(link, &mut state, self.user);
        } else if let Some(main) = state.users.get(MAIN) {
            // Calls may go on, and nobody is waited for.
            main.used = false;
        }
        drop(state);
        link.room.notify_waiters();
        link.changed.notify_waiters();
    }
}

impl FuturesStream for Facet {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let held = Arc::clone(&self.held);
        let mut state = held.link.state();
        if let Some(user) = state.users.get(self.user) {
            user.used = true;
            if let Some(message) = user.next() {
                let stalled = state.stalled;
                drop(state);
                if stalled {
                    held.link.room.notify_waiters();
                }
                return Poll::Ready(Some(Ok(message)));
            }
            user.reader = Some(cx.waker().clone());
        }
        let Some(end) = self.over(&mut state) else { return Poll::Pending };
        self.ended = true;
        Poll::Ready(match end {
            End::Polite(_) => None,
            End::Failed(error) => Some(Err(error)),
        })
    }
}

impl Sink<Message> for Facet {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let link = &self.held.link;
        let mut state = link.state();
        if let Some(end) = self.over(&mut state) {
            return Poll::Ready(Err(end.error()));
        }
        if outgoing::has_room(link, &state) && communication::is_open(link, &state) {
            return Poll::Ready(Ok(()));
        }
        self.sleep(&mut state, cx);
        Poll::Pending
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let held = Arc::clone(&self.held);
        self.last = outgoing::post(&held.link, &mut held.link.state(), self.user, &message)?;
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.held.link.state();
        if state.out.sent >= self.last {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = self.over(&mut state) {
            return Poll::Ready(Err(end.error()));
        }
        self.sleep(&mut state, cx);
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.user != MAIN {
            return self.as_mut().poll_flush(cx);
        }
        outgoing::separate(&self.held.link);
        let mut state = self.held.link.state();
        match self.over(&mut state) {
            Some(End::Polite(_)) => Poll::Ready(Ok(())),
            Some(End::Failed(error)) => Poll::Ready(Err(error)),
            None => {
                self.sleep(&mut state, cx);
                Poll::Pending
            }
        }
    }
}
