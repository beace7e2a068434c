//! [`Retained`]: the last message of each topic that was published to be kept (§3.3.1.3).

use crate::packet::Publication;
use crate::topic::matches;
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of a message that was published to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    Kept,
    /// It has no content: there is none any more.
    Forgotten,
    /// There is no room, and none any more.
    Full,
}

/// Retained messages, and when they came.
pub(super) struct Retained {
    messages: BTreeMap<String, (Publication, Duration)>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Retained {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Retained { messages: BTreeMap::new(), bytes: 0, most, most_bytes }
    }

    /// How much is kept from here on; what is there stays.
    pub(super) fn limit(&mut self, most: usize, most_bytes: usize) {
        (self.most, self.most_bytes) = (most, most_bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// All of them, and when they came.
    pub(super) fn all(&self) -> impl Iterator<Item = &(Publication, Duration)> {
        self.messages.values()
    }

    /// Forgets those that are worth nothing any more.
    pub(super) fn expire(&mut self, now: Duration) {
        let bytes = &mut self.bytes;
        self.messages.retain(|_, (publication, since)| {
            let waited = now.saturating_sub(*since).as_secs();
            let stays =
                publication.properties.expiry.is_none_or(|seconds| u64::from(seconds) > waited);
            if !stays {
                *bytes = bytes.saturating_sub(publication.memory());
            }
            stays
        });
    }

    /// Keeps a message in the place of an earlier one, or with no content forgets that.
    pub(super) fn keep(&mut self, publication: &Publication, now: Duration) -> Keeping {
        if let Some((known, _)) = self.messages.remove(&publication.topic) {
            self.bytes = self.bytes.saturating_sub(known.memory());
        }
        if publication.payload.is_empty() {
            return Keeping::Forgotten;
        }
        let size = publication.memory();
        if self.messages.len() >= self.most || self.bytes.saturating_add(size) > self.most_bytes {
            return Keeping::Full;
        }
        self.bytes += size;
        let mut kept = publication.clone();
        kept.properties.subscriptions.clear();
        self.messages.insert(publication.topic.clone(), (kept, now));
        Keeping::Kept
    }

    /// Those that `filter` matches and that are worth something.
    pub(super) fn matching(&self, filter: &str, now: Duration) -> Vec<Publication> {
        let worth = |(publication, since): &(Publication, Duration)| {
            let mut publication = publication.clone();
            if let Some(seconds) = &mut publication.properties.expiry {
                let waited =
                    u32::try_from(now.saturating_sub(*since).as_secs()).unwrap_or(u32::MAX);
                *seconds = seconds.checked_sub(waited).filter(|left| *left > 0)?;
            }
            Some(publication)
        };
        // A filter without wildcards names the one.
        if !filter.contains(['+', '#']) {
            return self.messages.get(filter).and_then(worth).into_iter().collect();
        }
        let fits = self.messages.iter().filter(|(topic, _)| matches(filter, topic));
        fits.filter_map(|(_, kept)| worth(kept)).collect()
    }
}
