//! A subscriber's queue: bounded, and honest about what it lost.

use super::{Event, EventKind, Subscription};
use crate::lock::IgnorePoison;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

pub(super) struct Queue {
    state: Mutex<QueueState>,
    news: Notify,
    capacity: usize,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<Event>,
    missed: u64,
    ended: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Queue { state: Mutex::default(), news: Notify::new(), capacity: capacity.max(1) }
    }

    pub(super) fn push(&self, event: Event, last: bool) {
        {
            let mut state = self.state.lock().ignore_poison();
            if state.events.len() >= self.capacity {
                state.events.pop_front();
                state.missed += 1;
            }
            state.events.push_back(event);
            state.ended |= last;
        }
        self.news.notify_one();
    }

    pub(super) fn end(&self) {
        self.state.lock().ignore_poison().ended = true;
        self.news.notify_one();
    }

    /// `Ok(None)`: no more will come. `Err`: not yet.
    fn take(&self) -> Result<Option<Event>, ()> {
        let mut state = self.state.lock().ignore_poison();
        if state.missed > 0
            && let Some(next) = state.events.front()
        {
            let count = state.missed;
            let event = Event {
                number: next.number.saturating_sub(1),
                at: next.at,
                id: None,
                source: None,
                kind: EventKind::Missed { count },
            };
            state.missed = 0;
            return Ok(Some(event));
        }
        match state.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None if state.ended => Ok(None),
            None => Err(()),
        }
    }
}

/// Events of one connection, read when convenient. Dropping it unsubscribes.
pub struct EventStream {
    queue: Arc<Queue>,
    subscription: Subscription,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

impl EventStream {
    pub(super) fn new(queue: Arc<Queue>, subscription: Subscription) -> Self {
        EventStream { queue, subscription }
    }

    /// What unsubscribes it when this is dropped: to pause it, and to go on.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The next event that `wanted` is for, within `limit`; those before it are passed over. `None`
    /// if it did not come in time, or not before `closed`. Cancel safe.
    pub async fn wait_for(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Option<Event> {
        let waiting = async {
            loop {
                let event = self.next().await?;
                if wanted(&event) {
                    return Some(event);
                }
            }
        };
        jackfield_timers::timeout(limit, waiting).await.ok().flatten()
    }

    /// The next event; `None` after `closed`. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Ok(event) = self.queue.take() {
                return event;
            }
            self.queue.news.notified().await;
        }
    }
}
