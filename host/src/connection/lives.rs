//! [`Lives`]: the named connections that have a life now, at most so many.

use super::live::{Live, Wish};
use crate::work;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// The lives of all named connections that share one limit, by id.
#[derive(Debug)]
pub struct Lives {
    max: usize,
    /// How long one more may wait for room.
    patience: Duration,
    /// Told when one has left.
    left: Notify,
    total: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u64, Weak<Live>>,
    most: usize,
}

/// How many there are and were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LivesCount {
    /// Lives now; one whose `close` has returned is never among them.
    pub now: usize,
    /// The most there were at one time.
    pub most: usize,
    /// All there have been.
    pub total: u64,
    /// The most there may be at one time.
    pub max: usize,
}

impl Lives {
    /// A table for at most `max` lives at once.
    pub fn new(max: usize) -> Arc<Self> {
        Self::waiting(max, Duration::ZERO)
    }

    /// As [`Lives::new`], but where there is no room one more waits for it at most for `patience`, instead
    /// of being refused at once.
    pub fn waiting(max: usize, patience: Duration) -> Arc<Self> {
        let (total, table) = (AtomicU64::new(0), Mutex::default());
        let lives = Arc::new(Lives { max, patience, left: Notify::new(), total, table });
        let weak: Weak<Self> = Arc::downgrade(&lives);
        work::register(weak);
        lives
    }

    /// Whether one more waits for room.
    pub(super) fn waits(&self) -> bool {
        !self.patience.is_zero()
    }

    /// Enters a life as soon as there is room. Whoever leaves lets one in; the life ends its wait by
    /// itself when nobody holds it or it is told to end.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there is none in time.
    pub(super) async fn enter_later(
        &self,
        live: &Weak<Live>,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Result<()> {
        let end = Instant::now() + self.patience;
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            let Some(strong) = live.upgrade() else { return Ok(()) };
            let Err(refused) = self.enter(&strong) else { return Ok(()) };
            drop(strong);
            tokio::select! {
                () = left => {}
                _ = wishes.changed() => return Ok(()),
                () = sleep_until(end) => return Err(refused),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a life.
    pub(super) fn enter(&self, live: &Arc<Live>) -> Result<()> {
        let mut table = self.lock();
        if table.by_id.len() >= self.max {
            let text = format!("{} named connections live, no more are opened", self.max);
            return Err(Error::new(ErrorKind::Limit, text).with("key", "host.max_connections"));
        }
        table.by_id.insert(live.id, Arc::downgrade(live));
        table.most = table.most.max(table.by_id.len());
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn leave(&self, id: u64) {
        if self.lock().by_id.remove(&id).is_some() {
            self.left.notify_one();
        }
    }

    /// The life of that id, if it has not ended.
    pub fn get(&self, id: u64) -> Option<Arc<Live>> {
        self.lock().by_id.get(&id).and_then(Weak::upgrade)
    }

    /// How many there are and were.
    pub fn count(&self) -> LivesCount {
        let table = self.lock();
        LivesCount {
            now: table.by_id.len(),
            most: table.most,
            total: self.total.load(Ordering::Relaxed),
            max: self.max,
        }
    }
}

impl work::Names for Lives {
    fn named(&self, id: u64) -> Option<work::Named> {
        let live = self.get(id)?;
        Some(work::Named { name: Some(live.name.to_string()), ..work::Named::default() })
    }
}
