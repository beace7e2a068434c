//! [`Lives`]: the named connections that have a life now, at most so many.

use super::live::Live;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The lives of all named connections that share one limit, by id.
#[derive(Debug)]
pub struct Lives {
    max: usize,
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
        Arc::new(Lives { max, total: AtomicU64::new(0), table: Mutex::default() })
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
        self.lock().by_id.remove(&id);
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
