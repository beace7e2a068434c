//! [`Outbox`]: messages that wait for one session.

use crate::packet::Publication;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A message, and when it came: the seconds that it is worth something run while it waits.
struct Waiting {
    publication: Publication,
    /// What it is written under in the journal, if it is.
    number: Option<u64>,
    since: Duration,
}

impl Waiting {
    /// As it is `now`; `None` if it is worth nothing any more.
    fn at(mut self, now: Duration) -> Option<Publication> {
        if let Some(seconds) = &mut self.publication.properties.expiry {
            let waited =
                u32::try_from((now.saturating_sub(self.since)).as_secs()).unwrap_or(u32::MAX);
            *seconds = seconds.checked_sub(waited).filter(|left| *left > 0 || waited == 0)?;
        }
        Some(self.publication)
    }
}

/// Messages that wait for one session. What they take counts for all sessions together.
pub(super) struct Outbox {
    queue: Mutex<VecDeque<Waiting>>,
    /// Who sends them.
    pub(super) sender: AtomicWaker,
    most: usize,
    /// Bytes of all sessions.
    bytes: Arc<AtomicUsize>,
    most_bytes: usize,
}

impl Outbox {
    pub(super) fn new(most: usize, bytes: Arc<AtomicUsize>, most_bytes: usize) -> Self {
        let queue = Mutex::default();
        Outbox { queue, sender: AtomicWaker::new(), most, bytes, most_bytes }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message; false if there is no room, and it is dropped.
    pub(super) fn push(
        &self,
        publication: Publication,
        number: Option<u64>,
        now: Duration,
    ) -> bool {
        let size = size(&publication);
        let mut queue = self.queue();
        let bytes = self.bytes.load(Ordering::Relaxed);
        if queue.len() >= self.most || bytes.saturating_add(size) > self.most_bytes {
            return false;
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        queue.push_back(Waiting { publication, number, since: now });
        drop(queue);
        self.sender.wake();
        true
    }

    /// The quality of service of the next one; `None` if there is none.
    pub(super) fn next_qos(&self) -> Option<u8> {
        self.queue().front().map(|waiting| waiting.publication.qos)
    }

    /// Takes the next one that is worth something, with its number; nothing where its quality of service does not
    /// `fit`.
    pub(super) fn pop_if(
        &self,
        now: Duration,
        fits: impl Fn(u8) -> bool,
    ) -> Option<(Publication, Option<u64>)> {
        let mut queue = self.queue();
        while queue.front().is_some_and(|next| fits(next.publication.qos)) {
            let waiting = queue.pop_front()?;
            self.bytes.fetch_sub(size(&waiting.publication), Ordering::Relaxed);
            let number = waiting.number;
            if let Some(publication) = waiting.at(now) {
                return Some((publication, number));
            }
        }
        None
    }

    /// Those that are written in the journal, with their numbers, and when they came.
    pub(super) fn written(&self) -> Vec<(u64, Publication, Duration)> {
        let written = |waiting: &Waiting| {
            waiting.number.map(|number| (number, waiting.publication.clone(), waiting.since))
        };
        self.queue().iter().filter_map(written).collect()
    }

    /// Drops messages of QoS 0, which do not wait for a client that is not there.
    pub(super) fn forget_qos_0(&self) {
        self.queue().retain(|waiting| {
            let stays = waiting.publication.qos > 0;
            if !stays {
                self.bytes.fetch_sub(size(&waiting.publication), Ordering::Relaxed);
            }
            stays
        });
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let held: usize = self.queue().iter().map(|waiting| size(&waiting.publication)).sum();
        self.bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

/// What a waiting message is counted with.
fn size(publication: &Publication) -> usize {
    publication.memory() + size_of::<Duration>()
}

#[cfg(test)]
mod tests {
    use super::Outbox;
    use crate::packet::Publication;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn it_is_bounded_by_count_and_for_all_by_bytes_and_gives_back_what_it_took() {
        let bytes = Arc::new(AtomicUsize::new(0));
        let outbox = Outbox::new(2, Arc::clone(&bytes), 10_000);
        let of = |size: usize| Publication::new("t", vec![0; size], 1);
        let now = Duration::ZERO;
        assert!(outbox.push(of(10), None, now) && outbox.push(of(10), None, now));
        assert!(!outbox.push(of(10), None, now));
        let other = Outbox::new(9, Arc::clone(&bytes), 10_000);
        assert!(!other.push(of(9_900), None, now));
        assert!(outbox.pop_if(now, |_| true).is_some());
        drop((outbox, other));
        assert_eq!(bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_has_waited_too_long_is_worth_nothing_and_the_rest_says_what_is_left() {
        let outbox = Outbox::new(9, Arc::default(), 10_000);
        let lasting = |seconds| {
            let mut publication = Publication::new("t", "", 1);
            publication.properties.expiry = Some(seconds);
            publication
        };
        for seconds in [5, 30] {
            assert!(outbox.push(lasting(seconds), None, Duration::ZERO));
        }
        let (left, _) = outbox.pop_if(Duration::from_secs(10), |_| true).unwrap();
        assert_eq!(left.properties.expiry, Some(20));
        assert!(outbox.pop_if(Duration::ZERO, |_| true).is_none());
    }
}
