//! [`Cache`]: answers that are known, for as long as they hold.

use crate::answer::Answer;
use crate::options::DnsOptions;
use crate::question::Question;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A server and what it was asked.
pub(crate) type Key = (String, Question);

/// Answers of the servers of one place of options, what is not there included (RFC 2308).
#[derive(Debug)]
pub(crate) struct Cache {
    kept: HashMap<Key, Kept>,
    bytes: usize,
    most: Most,
}

#[derive(Debug)]
struct Kept {
    answer: Arc<Answer>,
    came: Duration,
    until: Duration,
}

#[derive(Debug)]
struct Most {
    entries: usize,
    bytes: usize,
    ttl: u32,
    negative: u32,
}

impl Cache {
    pub(crate) fn new(options: &DnsOptions) -> Self {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let most = Most {
            entries: count(options.cache_entries),
            bytes: count(options.cache_bytes),
            ttl: options.cache_max_ttl,
            negative: options.cache_negative_ttl,
        };
        Cache { kept: HashMap::new(), bytes: 0, most }
    }

    /// The answer to a question and its age in seconds, if it still holds.
    pub(crate) fn get(&self, key: &Key, now: Duration) -> Option<(Arc<Answer>, u32)> {
        let kept = self.kept.get(key).filter(|kept| now < kept.until)?;
        let age = now.saturating_sub(kept.came).as_secs();
        Some((Arc::clone(&kept.answer), u32::try_from(age).unwrap_or(u32::MAX)))
    }

    /// Keeps an answer, if it may be kept and there is or can be made room.
    pub(crate) fn put(&mut self, key: Key, answer: &Arc<Answer>, now: Duration) {
        let Some(ttl) = answer.ttl() else { return };
        let longest = if answer.is_nothing() { self.most.negative } else { self.most.ttl };
        let ttl = ttl.min(longest.min(self.most.ttl));
        if ttl == 0 || self.most.entries == 0 || answer.size > self.most.bytes {
            return;
        }
        self.remove(&key);
        self.make_room(answer.size, now);
        let until = now + Duration::from_secs(u64::from(ttl));
        self.bytes += answer.size;
        self.kept.insert(key, Kept { answer: Arc::clone(answer), came: now, until });
    }

    fn make_room(&mut self, size: usize, now: Duration) {
        let full = |cache: &Self| {
            cache.kept.len() >= cache.most.entries || cache.bytes + size > cache.most.bytes
        };
        if full(self) {
            self.kept.retain(|_, kept| now < kept.until);
            self.bytes = self.kept.values().map(|kept| kept.answer.size).sum();
        }
        while full(self) {
            // The one that is over first.
            let first = self.kept.iter().min_by_key(|(_, kept)| kept.until);
            match first.map(|(key, _)| key.clone()) {
                Some(key) => self.remove(&key),
                None => return,
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.answer.size;
        }
    }
}
