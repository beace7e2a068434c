//! [`Retained`]: the last message of each topic that was published to be kept (§3.3.1.3).

use crate::packet::Publication;
use crate::topic::matches;
use std::collections::BTreeMap;
use std::time::Duration;

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

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Keeps a message in the place of an earlier one, or with no content forgets that; false if there is no room.
    pub(super) fn keep(&mut self, publication: &Publication, now: Duration) -> bool {
        if let Some((known, _)) = self.messages.remove(&publication.topic) {
            self.bytes = self.bytes.saturating_sub(known.memory());
        }
        if publication.payload.is_empty() {
            return true;
        }
        let size = publication.memory();
        if self.messages.len() >= self.most || self.bytes.saturating_add(size) > self.most_bytes {
            return false;
        }
        self.bytes += size;
        let mut kept = publication.clone();
        kept.properties.subscriptions.clear();
        self.messages.insert(publication.topic.clone(), (kept, now));
        true
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
