//! Events: what happens in a host, delivered in order to subscribers.
//!
//! There are three kinds of [`Bus`], and what happens to a connection is told on each of them: that of one
//! life, which ends with its `closed`; that of a name, which goes on over its lives; and that of the host,
//! which has everything, what happens to listeners, upstreams, pools, leases and definitions and what plugins tell
//! included. Each numbers its events
//! without gaps, and every subscriber gets them in that order.
//!
//! A subscriber is a function, called at once; an asynchronous function, run on a task of its own; or a
//! queue, read when convenient. An [`EventFilter`] says which events it wants. A function that panics is
//! unsubscribed and the others go on; a queue that is full loses its oldest events and its reader
//! is told how many.

mod announce;
mod cause;
mod filter;
mod kind;
mod names;
mod queue;
mod subscription;

pub use cause::Cause;
pub use filter::EventFilter;
pub use kind::{Event, EventKind, Source};
pub use queue::EventStream;
pub use subscription::{AsyncSubscription, Subscription};

use crate::lock::IgnorePoison;
use futures_util::FutureExt;
use jackfield_text::range::{Problem, Ranges};
use queue::Queue;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most events that one queue keeps.
pub const MAX_QUEUE: usize = 65_536;

/// How much each bus keeps, and for how many: keys of `[host.limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BusLimits {
    /// The last events that [`Bus::history`] gives, of the host, of each named connection and of each of its
    /// lives; 0: none. Default: 32.
    #[serde(rename = "event_history")]
    pub history: u32,
    /// Subscribers to events at a time, of the host, of each named connection and of each of its lives; more get
    /// nothing, see [`Subscription::is_active`]. At least 1. Default: 1024.
    pub subscribers: u32,
}

impl BusLimits {
    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new().at_least_one("subscribers", self.subscribers).problems()
    }
}

impl Default for BusLimits {
    fn default() -> Self {
        BusLimits { history: 32, subscribers: 1024 }
    }
}

type Function = Arc<Mutex<dyn FnMut(&Event) + Send>>;

#[derive(Clone)]
enum SubscriberKind {
    Function(Function),
    Queue(Arc<Queue>),
}

#[derive(Clone)]
struct Subscriber {
    id: u64,
    listener: SubscriberKind,
    filter: EventFilter,
    once: bool,
    paused: Arc<AtomicBool>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    number: u64,
    subscribers: Vec<Subscriber>,
    waiting: VecDeque<Event>,
    dispatching: bool,
    closed: bool,
    history: VecDeque<Event>,
    limits: BusLimits,
}

#[derive(Default)]
struct BusState {
    inner: Mutex<Inner>,
    /// How many subscribers there are.
    heard: AtomicUsize,
    /// Whether it goes on after the `closed` of a connection.
    lasting: bool,
}

/// The events of one life, of one name or of a host. Cheap to clone.
#[derive(Clone, Default)]
pub struct Bus {
    shared: Arc<BusState>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("number", &self.lock().number).finish_non_exhaustive()
    }
}

impl BusState {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().ignore_poison()
    }

    fn remove(&self, ids: &[u64]) {
        let mut inner = self.lock();
        inner.subscribers.retain(|subscriber| !ids.contains(&subscriber.id));
        self.heard.store(inner.subscribers.len(), Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A connection that was dropped without a `closed`: its subscribers must not wait for ever.
        for subscriber in &self.subscribers {
            if let SubscriberKind::Queue(queue) = &subscriber.listener {
                queue.end();
            }
        }
    }
}

impl Bus {
    /// A bus that goes on after the `closed` of a connection, and ends with one that is of none.
    pub fn lasting() -> Self {
        Bus { shared: Arc::new(BusState { lasting: true, ..BusState::default() }) }
    }

    /// Puts other limits in force: a longer history holds from the next event on, and no present subscriber
    /// is sent away.
    pub fn set_limits(&self, limits: BusLimits) {
        let mut inner = self.lock();
        inner.limits = limits;
        let over = inner.history.len().saturating_sub(limits.history as usize);
        inner.history.drain(..over);
    }

    /// The limits that are in force.
    pub fn limits(&self) -> BusLimits {
        self.lock().limits
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }

    /// Whether anybody has subscribed.
    pub fn has_subscribers(&self) -> bool {
        self.shared.heard.load(Ordering::Relaxed) > 0
    }

    /// Calls `function` with every event from now on, on the thread where it happens. It must not
    /// block. It may subscribe, unsubscribe and emit: what it emits is delivered after this event.
    /// One too many gets none, see [`Subscription::is_active`].
    pub fn on_event(&self, function: impl FnMut(&Event) + Send + 'static) -> Subscription {
        self.on(EventFilter::new(), function)
    }

    /// As [`Bus::on_event`], with those events that meet `filter`.
    pub fn on(
        &self,
        filter: EventFilter,
        function: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        self.add(SubscriberKind::Function(Arc::new(Mutex::new(function))), filter, false)
    }

    /// As [`Bus::on`], with the first of those events and no other.
    pub fn once(
        &self,
        filter: EventFilter,
        function: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        self.add(SubscriberKind::Function(Arc::new(Mutex::new(function))), filter, true)
    }

    /// A queue of every event from now on, that keeps at most `capacity`, from 1 to [`MAX_QUEUE`]. One for a
    /// subscriber too many ends at once.
    pub fn subscribe(&self, capacity: usize) -> EventStream {
        self.subscribe_to(EventFilter::new(), capacity)
    }

    /// As [`Bus::subscribe`], of those events that meet `filter`.
    pub fn subscribe_to(&self, filter: EventFilter, capacity: usize) -> EventStream {
        let queue = Arc::new(Queue::new(capacity.clamp(1, MAX_QUEUE)));
        let subscription = self.add(SubscriberKind::Queue(Arc::clone(&queue)), filter, false);
        if !subscription.is_active() {
            queue.end();
        }
        EventStream::new(queue, subscription)
    }

    /// Runs `function` on every event from now on, one after the other, on a task of its own. It may
    /// take its time: at most `capacity` events wait for it, and [`EventKind::Missed`] tells of more.
    /// If it panics it is unsubscribed. Needs a runtime.
    pub fn on_event_async<F, Fut>(&self, capacity: usize, function: F) -> AsyncSubscription
    where
        F: FnMut(Event) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.on_async(EventFilter::new(), capacity, function)
    }

    /// As [`Bus::on_event_async`], on those events that meet `filter`.
    pub fn on_async<F, Fut>(
        &self,
        filter: EventFilter,
        capacity: usize,
        mut function: F,
    ) -> AsyncSubscription
    where
        F: FnMut(Event) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut events = self.subscribe_to(filter, capacity);
        AsyncSubscription::new(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let call = AssertUnwindSafe(async { function(event).await });
                if call.catch_unwind().await.is_err() {
                    tracing::error!("an asynchronous subscriber panicked and was removed");
                    return;
                }
            }
        }))
    }

    fn add(&self, listener: SubscriberKind, filter: EventFilter, once: bool) -> Subscription {
        let paused = Arc::new(AtomicBool::new(false));
        let mut inner = self.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        let limit = inner.limits.subscribers as usize;
        if inner.subscribers.len() < limit {
            let subscriber = Subscriber { id, listener, filter, once, paused: Arc::clone(&paused) };
            inner.subscribers.push(subscriber);
            self.shared.heard.store(inner.subscribers.len(), Ordering::Relaxed);
        } else {
            tracing::warn!(limit, "subscriber refused: the limit of subscribers is reached");
        }
        Subscription::new(&self.shared, id, paused)
    }

    /// Tells an event that is of no connection to all, in order. After the end nothing is told any more,
    /// and the answer is false.
    pub fn emit(&self, kind: EventKind) -> bool {
        let told = self.put(None, kind);
        self.deliver();
        told
    }

    /// As [`Bus::emit`], of the connection with that id.
    pub fn emit_of(&self, id: u64, source: &Arc<Source>, kind: EventKind) -> bool {
        let told = self.put(Some((id, source)), kind);
        self.deliver();
        told
    }

    /// Puts an event down, to be delivered later.
    fn put(&self, of: Option<(u64, &Arc<Source>)>, kind: EventKind) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        let goes_on = self.shared.lasting && of.is_some();
        inner.closed = matches!(kind, EventKind::Closed { .. }) && !goes_on;
        inner.number += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let (id, source) = of.map(|(id, source)| (id, Arc::clone(source))).unzip();
        let event = Event { number: inner.number, at, id, source, kind };
        if inner.limits.history > 0 {
            inner.history.push_back(event.clone());
        }
        if inner.history.len() > inner.limits.history as usize {
            inner.history.pop_front();
        }
        inner.waiting.push_back(event);
        true
    }

    /// Delivers what was put down, unless another thread is doing that at this moment. Who has put down events
    /// under a lock calls this without it: a subscriber may ask for anything.
    pub fn deliver(&self) {
        let mut inner = self.lock();
        if !inner.dispatching {
            inner.dispatching = true;
            self.dispatch(inner);
        }
    }

    /// Delivers what waits, one event to all before the next. Only one thread is here at a time.
    fn dispatch<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        while let Some(event) = inner.waiting.pop_front() {
            let last = inner.closed && inner.waiting.is_empty();
            let subscribers = inner.subscribers.clone();
            drop(inner);
            let done: Vec<u64> = subscribers
                .iter()
                .filter(|subscriber| !subscriber.deliver(&event, last))
                .map(|subscriber| subscriber.id)
                .collect();
            if !done.is_empty() {
                self.shared.remove(&done);
            }
            inner = self.lock();
        }
        inner.dispatching = false;
    }

    /// The last events, oldest first.
    pub fn history(&self) -> Vec<Event> {
        self.lock().history.iter().cloned().collect()
    }
}

impl Subscriber {
    /// Gives it an event, if it wants it; whether it is to have more.
    fn deliver(&self, event: &Event, last: bool) -> bool {
        let wanted = !self.paused.load(Ordering::Relaxed) && self.filter.takes(event);
        match &self.listener {
            SubscriberKind::Queue(queue) if wanted => queue.push(event.clone(), last),
            SubscriberKind::Queue(queue) if last => queue.end(),
            SubscriberKind::Function(function) if wanted => {
                let went_well = called(function, event);
                if !went_well {
                    tracing::error!("a subscriber panicked and was removed");
                }
                return went_well && !self.once;
            }
            _ => {}
        }
        true
    }
}

/// Whether the call came back.
fn called(function: &Function, event: &Event) -> bool {
    let call = || {
        let mut function = function.lock().ignore_poison();
        function(event);
    };
    catch_unwind(AssertUnwindSafe(call)).is_ok()
}

#[cfg(test)]
mod tests;
