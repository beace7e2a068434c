//! [`Entries`]: the one table of named connections, in shards, so that those who look up do not wait
//! for each other.

use crate::config::Via;
use crate::config::model::ConnectionConfig;
use crate::connection::Managed;
use crate::lock::IgnorePoison;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};
use tokio::sync::OnceCell;

/// Shards: more than threads that look up at a time.
const SHARDS: usize = 64;

/// Where a definition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinedBy {
    /// The configuration.
    Config,
    /// A call at run time; kept in the state directory if there is one.
    Call,
    /// A program with a target of its own, which ends with the program.
    Program,
}

/// One named connection.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) by: DefinedBy,
    /// What defines it; a program's own target has none.
    pub(super) config: Option<Arc<ConnectionConfig>>,
    /// Its connection, once it was needed.
    pub(super) managed: OnceCell<Arc<Managed>>,
    /// How many are dialled through it; shared by what replaces it.
    pub(super) carries: Arc<AtomicUsize>,
}

impl Entry {
    pub(super) fn via(&self) -> Option<&str> {
        match self.config.as_ref()?.via.as_ref()? {
            Via::Connection(name) => Some(name),
            // Devices are not defined at run time, so that none goes while it is used; a URI has its own.
            Via::Device(_) | Via::Uri(_) => None,
        }
    }

    pub(super) fn is_via_device(&self) -> bool {
        let via = self.config.as_ref().and_then(|config| config.via.as_ref());
        matches!(via, Some(Via::Device(_)))
    }
}

type Shard = RwLock<HashMap<Arc<str>, Arc<Entry>>>;

/// All named connections by name.
#[derive(Debug)]
pub(super) struct Entries {
    hasher: RandomState,
    shards: Box<[Shard]>,
}

impl Default for Entries {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Entries { hasher: RandomState::new(), shards }
    }
}

impl Entries {
    fn shard(&self, name: &str) -> &Shard {
        // The hash of a shard's own map is another one: its hasher has other keys.
        let hash = self.hasher.hash_one(name);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        &self.shards[index]
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.shard(name).read().ignore_poison().get(name).cloned()
    }

    /// Returns the entry of that name before.
    pub(super) fn insert(&self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        let mut shard = self.shard(&entry.name).write().ignore_poison();
        shard.insert(Arc::clone(&entry.name), entry)
    }

    pub(super) fn remove(&self, name: &str) -> Option<Arc<Entry>> {
        self.shard(name).write().ignore_poison().remove(name)
    }

    pub(super) fn len(&self) -> usize {
        let len = |shard: &Shard| shard.read().ignore_poison().len();
        self.shards.iter().map(len).sum()
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().ignore_poison().values().cloned());
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
