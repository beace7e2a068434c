//! [`Channels`]: the inboxes of a connection's open channels, and how the connection stands.

use crate::failure::lost;
use crate::inbox::{End, Inbox};
use jackfield_plugin_api::{Error, Result};
use russh::ChannelId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Shared by the protocol's task, which fills inboxes, and by those who opened channels.
#[derive(Debug)]
pub(crate) struct Channels {
    state: Mutex<State>,
    changed: Notify,
    buffer: usize,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<ChannelId, Arc<Inbox>>,
    lost: Option<Error>,
}

impl Channels {
    /// Whose inboxes hold `buffer` bytes.
    pub(crate) fn new(buffer: usize) -> Self {
        Channels { state: Mutex::default(), changed: Notify::new(), buffer }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel was opened. By the protocol's task, before anything arrives on it.
    pub(crate) fn opened(&self, id: ChannelId) {
        self.state().open.insert(id, Arc::new(Inbox::new(self.buffer)));
        self.changed.notify_waiters();
    }

    /// The inbox of an open channel.
    pub(crate) fn inbox(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        self.state().open.get(&id).cloned()
    }

    /// The inbox of a channel whose opening was just confirmed.
    ///
    /// # Errors
    /// Why the connection was lost.
    pub(crate) async fn wait(&self, id: ChannelId) -> Result<Arc<Inbox>> {
        self.until(|state| {
            let lost = || state.lost.clone().map(Err);
            state.open.get(&id).cloned().map(Ok).or_else(lost)
        })
        .await
    }

    /// A channel is no longer used.
    pub(crate) fn remove(&self, id: ChannelId) {
        self.state().open.remove(&id);
        self.changed.notify_waiters();
    }

    /// Completes when no channel is open or the connection is lost.
    pub(crate) async fn idle(&self) {
        self.until(|state| (state.open.is_empty() || state.lost.is_some()).then_some(())).await;
    }

    /// How many channels are open.
    pub(crate) fn count(&self) -> usize {
        self.state().open.len()
    }

    /// Whether the connection waits for a reader.
    pub(crate) fn stalled(&self) -> bool {
        self.state().open.values().any(|inbox| inbox.stalls())
    }

    /// The connection is lost; the first reason stays.
    pub(crate) fn lose(&self, error: Error) {
        let mut state = self.state();
        let error = state.lost.get_or_insert(error).clone();
        let inboxes: Vec<_> = state.open.values().cloned().collect();
        drop(state);
        for inbox in inboxes {
            inbox.end(End::Lost(error.clone()));
        }
        self.changed.notify_waiters();
    }

    /// Why the connection was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Error> {
        self.state().lost.clone()
    }

    /// Completes when the connection is lost.
    pub(crate) async fn gone(&self) -> Error {
        self.until(|state| state.lost.clone()).await
    }

    /// Runs `work` as long as the connection stands.
    ///
    /// # Errors
    /// Why the connection was lost, or the work's own.
    pub(crate) async fn race<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done.map_err(|error| self.explain(error)),
            error = self.gone() => Err(error),
        }
    }

    /// The reason of the loss instead of an error that only shows it.
    fn explain(&self, error: Error) -> Error {
        if error == lost() { self.lost().unwrap_or(error) } else { error }
    }

    async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            if let Some(found) = look(&self.state()) {
                return found;
            }
            changed.await;
        }
    }
}
