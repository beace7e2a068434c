//! [`EventRing`]: the last events, numbered, for any number of readers that each read at their own pace.

use crate::events::Event;
use std::collections::VecDeque;
use std::sync::Arc;

/// The most bytes of events that are kept, whatever their number.
const MAX_BYTES: usize = 16 << 20;

/// One event as readers get it.
#[derive(Debug)]
pub(super) struct KeptEvent {
    pub(super) event: Event,
    /// The same as JSON.
    pub(super) text: String,
}

/// The last events.
#[derive(Debug)]
pub(super) struct EventRing {
    events: VecDeque<Arc<KeptEvent>>,
    /// The number of the next one.
    next: u64,
    bytes: usize,
    most: usize,
}

impl EventRing {
    pub(super) fn new(most: usize) -> Self {
        EventRing { events: VecDeque::new(), next: 1, bytes: 0, most }
    }

    pub(super) fn push(&mut self, kept: KeptEvent) {
        self.bytes += kept.text.len();
        self.events.push_back(Arc::new(kept));
        self.next += 1;
        self.shorten();
    }

    fn shorten(&mut self) {
        while self.events.len() > self.most || self.bytes > MAX_BYTES && self.events.len() > 1 {
            let Some(old) = self.events.pop_front() else { break };
            self.bytes -= old.text.len();
        }
    }

    /// From now on keeps the last `most`.
    pub(super) fn keep(&mut self, most: usize) {
        self.most = most;
        self.shorten();
    }

    /// The number of the first one that is kept.
    pub(super) fn first(&self) -> u64 {
        self.next - self.events.len() as u64
    }

    /// The number of the next one that will come.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// At most `most` events from the number `from` on, with the number of the first of them; more than that, if some
    /// of them are not kept any more.
    pub(super) fn from(&self, from: u64, most: usize) -> (u64, Vec<Arc<KeptEvent>>) {
        let begin = from.max(self.first());
        let skip = usize::try_from(begin - self.first()).unwrap_or(usize::MAX);
        (begin, self.events.iter().skip(skip).take(most).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventKind;

    fn event(number: u64, text: &str) -> KeptEvent {
        let event = Event { number, at: 0, id: None, source: None, kind: EventKind::Writable };
        KeptEvent { event, text: text.to_owned() }
    }

    #[test]
    fn the_last_events_are_kept_by_number_and_by_bytes() {
        let mut ring = EventRing::new(3);
        assert_eq!((ring.first(), ring.next()), (1, 1));
        (1..=5).for_each(|number| ring.push(event(number, "x")));
        assert_eq!((ring.first(), ring.next()), (3, 6));
        let numbers = |from, most| {
            let (first, events) = ring.from(from, most);
            (first, events.iter().map(|kept| kept.event.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(1, 9), (3, vec![3, 4, 5]));
        assert_eq!(numbers(4, 1), (4, vec![4]));
        assert_eq!(numbers(6, 9), (6, vec![]));
        let large = "x".repeat(MAX_BYTES - 1);
        ring.push(event(6, &large));
        assert_eq!(ring.first(), 5, "one byte has room beside it");
        ring.push(event(7, &large));
        assert_eq!(ring.first(), 7);
    }
}
