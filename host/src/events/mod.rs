//! Events: what happens to a connection, told in order to whoever listens.
//!
//! One [`Bus`] belongs to one connection, or to a host, whose plugins tell what is of no connection. Its events have numbers without gaps, every subscriber gets
//! them in that order, and after `closed`, which comes exactly once, there is none. A subscriber is
//! a function, called at once; an asynchronous function, run on a task of its own; or a queue, read
//! when convenient. A function that panics is
//! unsubscribed and the others go on; a queue that is full loses its oldest events and its reader
//! is told how many.

mod queue;

pub use queue::EventStream;

use futures_util::FutureExt;
use queue::Queue;
use serde::Serialize;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Counts from 1 for each connection.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Opening has begun.
    Connecting,
    /// The peer has shown that it is there.
    Connected {
        /// Where it is.
        peer: Option<String>,
    },
    /// The session was lost.
    Lost {
        /// Why.
        cause: String,
    },
    /// Another attempt will be made.
    Reconnecting {
        /// Counts from 1.
        attempt: u32,
        /// Milliseconds until it begins.
        delay_ms: u64,
    },
    /// Nothing has happened for the idle time; it will be closed unless somebody objects.
    Idle {
        /// Milliseconds without activity.
        for_ms: u64,
    },
    /// A health check has changed its mind.
    Health {
        /// What it thinks now.
        healthy: bool,
        /// Milliseconds of the last round trip, if there was one.
        round_trip_ms: Option<f64>,
    },
    /// The driver tells something of its own.
    Driver {
        /// The driver's name for it.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
    /// A plugin tells something of its own, of no connection; only among the events of a host.
    Plugin {
        /// The plugin's name.
        plugin: String,
        /// The plugin's name for it.
        name: String,
        /// What belongs to it.
        data: serde_json::Value,
    },
    /// No new work from now on.
    Draining,
    /// So many events before the next one were lost, because the reader was slow.
    Missed {
        /// How many.
        count: u64,
    },
    /// The end; always the last event, and exactly one.
    Closed {
        /// Why.
        cause: String,
    },
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A connection that is gone without a `closed`: nobody waits for its events for ever.
        for (_, listener) in &self.listeners {
            if let Listener::Queue(queue) = listener {
                queue.end();
            }
        }
    }
}

type Function = Arc<Mutex<dyn FnMut(&Event) + Send>>;

#[derive(Clone)]
enum Listener {
    Function(Function),
    Queue(Arc<Queue>),
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    number: u64,
    listeners: Vec<(u64, Listener)>,
    waiting: VecDeque<Event>,
    dispatching: bool,
    closed: bool,
    history: VecDeque<Event>,
}

/// The events of one connection. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Mutex<Inner>>,
    history: usize,
}

/// Events kept for those who ask later.
const HISTORY: usize = 32;

impl Default for Bus {
    fn default() -> Self {
        Bus { inner: Arc::default(), history: HISTORY }
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("number", &self.lock().number).finish_non_exhaustive()
    }
}

/// Unsubscribes when dropped. An event that is being delivered at that moment may still arrive.
#[must_use = "dropping it unsubscribes"]
#[derive(Debug)]
pub struct Subscription {
    inner: Weak<Mutex<Inner>>,
    id: u64,
}

/// Unsubscribes when dropped, and cancels the call that runs.
#[must_use = "dropping it unsubscribes"]
#[derive(Debug)]
pub struct AsyncSubscription(tokio::task::JoinHandle<()>);

impl AsyncSubscription {
    /// Waits until everything up to `closed` has been handled. Cancel safe, but dropping it
    /// unsubscribes.
    pub async fn finished(mut self) {
        // It is aborted by nothing but the drop of this.
        let _ = (&mut self.0).await;
    }
}

impl Drop for AsyncSubscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.listeners.retain(|(id, _)| *id != self.id);
        }
    }
}

impl Bus {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `function` with every event from now on, on the thread where it happens. It must not
    /// block. It may subscribe, unsubscribe and emit: what it emits is delivered after this event.
    pub fn on_event(&self, function: impl FnMut(&Event) + Send + 'static) -> Subscription {
        self.add(Listener::Function(Arc::new(Mutex::new(function))))
    }

    /// A queue of every event from now on, that keeps at most `capacity`.
    pub fn subscribe(&self, capacity: usize) -> EventStream {
        let queue = Arc::new(Queue::new(capacity));
        if self.lock().closed {
            queue.end();
        }
        let subscription = self.add(Listener::Queue(Arc::clone(&queue)));
        EventStream::new(queue, subscription)
    }

    /// Runs `function` on every event from now on, one after the other, on a task of its own. It may
    /// take its time: at most `capacity` events wait for it, and [`EventKind::Missed`] tells of more.
    /// If it panics it is unsubscribed. Needs a runtime.
    pub fn on_event_async<F, Fut>(&self, capacity: usize, mut function: F) -> AsyncSubscription
    where
        F: FnMut(Event) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut events = self.subscribe(capacity);
        AsyncSubscription(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let call = AssertUnwindSafe(async { function(event).await });
                if call.catch_unwind().await.is_err() {
                    tracing::error!("an asynchronous subscriber panicked and was removed");
                    return;
                }
            }
        }))
    }

    fn add(&self, listener: Listener) -> Subscription {
        let mut inner = self.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        inner.listeners.push((id, listener));
        Subscription { inner: Arc::downgrade(&self.inner), id }
    }

    /// Tells an event to all, in order. After `closed` nothing is told any more, and the answer is
    /// false.
    pub fn emit(&self, kind: EventKind) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        inner.closed = matches!(kind, EventKind::Closed { .. });
        inner.number += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let event = Event { number: inner.number, at, kind };
        inner.history.push_back(event.clone());
        if inner.history.len() > self.history {
            inner.history.pop_front();
        }
        inner.waiting.push_back(event);
        if !inner.dispatching {
            inner.dispatching = true;
            self.dispatch(inner);
        }
        true
    }

    /// Delivers what waits, one event to all before the next. Only one thread is here at a time.
    fn dispatch<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        while let Some(event) = inner.waiting.pop_front() {
            let listeners = inner.listeners.clone();
            drop(inner);
            let last = matches!(event.kind, EventKind::Closed { .. });
            let mut panicked = Vec::new();
            for (id, listener) in listeners {
                match listener {
                    Listener::Queue(queue) => queue.push(event.clone(), last),
                    Listener::Function(function) if !called(&function, &event) => panicked.push(id),
                    Listener::Function(_) => {}
                }
            }
            inner = self.lock();
            if !panicked.is_empty() {
                tracing::error!(count = panicked.len(), "a subscriber panicked and was removed");
                inner.listeners.retain(|(id, _)| !panicked.contains(id));
            }
        }
        inner.dispatching = false;
    }

    /// The last events, oldest first.
    pub fn history(&self) -> Vec<Event> {
        self.lock().history.iter().cloned().collect()
    }
}

/// Whether the call came back.
fn called(function: &Function, event: &Event) -> bool {
    let call = || {
        let mut function = function.lock().unwrap_or_else(PoisonError::into_inner);
        function(event);
    };
    catch_unwind(AssertUnwindSafe(call)).is_ok()
}

#[cfg(test)]
mod tests;
