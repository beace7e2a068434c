//! [`Posts`]: the session of a target that posts go over.

use crate::connection::{Managed, Payload, Receipt, State};
use jackfield_plugin_api::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// The connection that all posts to one target share.
#[derive(Debug)]
pub(super) struct Posts {
    connection: Managed,
    /// The last life whose failure was told.
    told: AtomicU64,
}

impl Posts {
    pub(super) fn new(connection: Managed) -> Self {
        Posts { connection, told: AtomicU64::new(0) }
    }

    /// Why it has failed since it was last asked; each failure is told once.
    pub(super) fn failure(&self) -> Option<Error> {
        let life = self.connection.last().filter(|life| life.state() == State::Error)?;
        let is_news = self.told.swap(life.id, Ordering::Relaxed) != life.id;
        is_news.then(|| life.end_cause())
    }

    /// Queues a payload, for a new session if there is none.
    pub(super) fn post(&self, payload: Payload) -> Result<Receipt> {
        self.connection.live().post(payload)
    }
}
