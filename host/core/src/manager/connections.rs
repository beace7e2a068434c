//! The verbs on all connections of a host, accepted and dialled alike.

use super::{Manager, RunningListener};
use crate::connection::{Live, LivesCount, Payload, Receipt};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Manager {
    /// Listens at `uri`, and gives each connection to the default handler, see
    /// [`ManagerBuilder::default_handler`](super::ManagerBuilder::default_handler).
    ///
    /// # Errors
    /// As [`Manager::listen`]; [`ErrorKind::Config`] without a default handler.
    pub async fn listen_default(&self, uri: &str) -> Result<RunningListener> {
        let none = || Error::new(ErrorKind::Config, "the builder was given no default handler");
        let handler = self.core.named.lives.for_all().and_then(|all| all.handler.clone());
        self.listen(uri, handler.ok_or_else(none)?).await
    }

    /// All connections that live, by id: what listeners have accepted and what named connections have opened.
    pub fn lives(&self) -> Vec<Arc<Live>> {
        self.core.named.lives.all()
    }

    /// The connection with that id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, or it has ended.
    pub fn live(&self, id: u64) -> Result<Arc<Live>> {
        let gone =
            || Error::new(ErrorKind::NotFound, format!("there is no connection with id {id}"));
        self.core.named.lives.get(id).ok_or_else(gone)
    }

    /// How many live and lived.
    pub fn count(&self) -> LivesCount {
        self.core.named.lives.count()
    }

    /// How many live in each state, by the names of [`State`](crate::connection::State).
    pub fn states(&self) -> BTreeMap<&'static str, usize> {
        let mut states = BTreeMap::new();
        for live in self.lives() {
            *states.entry(live.state().as_str()).or_default() += 1;
        }
        states
    }

    /// Posts to the connection with that id, from anywhere.
    ///
    /// # Errors
    /// As [`Live::post`]; [`ErrorKind::NotFound`] if there is none, or it has ended.
    pub fn post_to(&self, id: u64, payload: impl Into<Payload>) -> Result<Receipt> {
        self.live(id)?.post(payload)
    }

    /// Posts the same to all connections that `wanted` is for; answers to how many. One that takes none, or
    /// whose queue is full, is left out, and the others do not wait for it.
    pub fn broadcast(&self, payload: impl Into<Payload>, wanted: impl Fn(&Live) -> bool) -> usize {
        let payload = payload.into();
        let wanted = self.lives().into_iter().filter(|live| wanted(live));
        wanted.filter(|live| live.post(payload.clone()).is_ok()).count()
    }

    /// Closes politely all connections that `wanted` is for, at once, and waits for their ends; answers how
    /// many there were.
    pub async fn close_connections(
        &self,
        code: u64,
        reason: &str,
        wanted: impl Fn(&Live) -> bool,
    ) -> usize {
        let all: Vec<_> = self.lives().into_iter().filter(|live| wanted(live)).collect();
        let closing = all.iter().map(|live| live.close(code, reason));
        futures_util::future::join_all(closing).await.len()
    }
}
