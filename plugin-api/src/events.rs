//! [`EventQueue`]: events of a session, kept until they are fetched, a bounded number of them.

use crate::info::Event;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Events that wait for [`Control::next_event`](crate::Control::next_event). When it is full the oldest
/// is dropped, and the next one fetched is `events_dropped` with `count`.
#[derive(Debug)]
pub struct EventQueue {
    state: Mutex<State>,
    changed: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    dropped: u64,
    over: bool,
}

impl EventQueue {
    /// A queue for at most `limit` events.
    pub fn new(limit: usize) -> Self {
        EventQueue { state: Mutex::default(), changed: Notify::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event.
    pub fn tell(&self, name: &str, data: Value) {
        let mut state = self.state();
        if state.events.len() >= self.limit {
            state.events.pop_front();
            state.dropped += 1;
        }
        state.events.push_back(Event::new(name, data));
        drop(state);
        self.changed.notify_waiters();
    }

    /// There will be no more.
    pub fn end(&self) {
        self.state().over = true;
        self.changed.notify_waiters();
    }

    /// The next event; `None` when there will be no more. Cancel safe.
    pub async fn next(&self) -> Option<Event> {
        loop {
            // Made before the look, so that nothing told in between is missed.
            let changed = self.changed.notified();
            if let Some(answer) = self.look() {
                return answer;
            }
            changed.await;
        }
    }

    fn look(&self) -> Option<Option<Event>> {
        let mut state = self.state();
        if state.dropped > 0 {
            let data = serde_json::json!({ "count": std::mem::take(&mut state.dropped) });
            return Some(Some(Event::new("events_dropped", data)));
        }
        match state.events.pop_front() {
            Some(event) => Some(Some(event)),
            None => state.over.then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_are_dropped_and_counted() {
        let news = EventQueue::new(2);
        for number in 0..4 {
            news.tell("n", Value::from(number));
        }
        news.end();
        let mut seen = Vec::new();
        while let Some(event) = news.next().await {
            seen.push((event.name, event.data));
        }
        let count = serde_json::json!({ "count": 2 });
        let n = |number: u32| ("n".to_owned(), Value::from(number));
        assert_eq!(seen, [("events_dropped".to_owned(), count), n(2), n(3)]);
    }
}
