//! `/v1/events`: what happens in the host, as server-sent events.
//!
//! The host's events are taken while there are readers, and for a while after the last one, into one ring. A reader
//! has a place in the ring and no queue: one that is slow is told how many events it has missed (`lagged`), and one
//! that comes again with an id of another stretch, or older than the ring, is told once (`reset`) to list anew what it
//! knows.

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use super::ring::{EventRing, KeptEvent};
use crate::config::model::AdminConfig;
use crate::events::{Bus, EventFilter, EventKind};
use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jackfield_timers::timeout_at;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Events of the host that wait to be put into the ring.
const QUEUE: usize = 4096;

/// How long events are taken after the last reader has gone, so that one that comes again misses none.
const LINGER: Duration = Duration::from_secs(60);

/// How often a reader hears at least a comment.
const ALIVE: Duration = Duration::from_secs(15);

/// Events in one piece of an answer.
const AT_ONCE: usize = 64;

/// The events of a host for all readers.
pub(super) struct EventHub {
    bus: Bus,
    state: Mutex<HubState>,
    /// The number of the next event; told when there is one.
    news: watch::Sender<u64>,
    ring: AtomicUsize,
    most: AtomicUsize,
}

struct HubState {
    ring: EventRing,
    /// Names the stretch of events without a gap; ids of another one mean nothing.
    stretch: String,
    readers: usize,
    /// Since when there are none.
    idle: Instant,
    taken: bool,
    ended: bool,
}

impl EventHub {
    pub(super) fn new(bus: Bus, config: &AdminConfig) -> Arc<Self> {
        let ring = config.event_ring as usize;
        let state = HubState {
            ring: EventRing::new(ring),
            stretch: String::new(),
            readers: 0,
            idle: Instant::now(),
            taken: false,
            ended: false,
        };
        let (ring, most) = (ring.into(), (config.max_subscribers as usize).into());
        Arc::new(EventHub { bus, state: Mutex::new(state), news: watch::channel(0).0, ring, most })
    }

    /// Puts other limits in force; who reads goes on.
    pub(super) fn configure(&self, config: &AdminConfig) {
        let ring = config.event_ring as usize;
        self.most.store(config.max_subscribers as usize, Ordering::Relaxed);
        self.ring.store(ring, Ordering::Relaxed);
        self.lock().ring.keep(ring);
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        self.state.lock().ignore_poison()
    }

    /// One more reader, if there is room for it.
    fn enter(self: &Arc<Self>) -> Result<Reader, ApiProblem> {
        let mut state = self.lock();
        if state.readers >= self.most.load(Ordering::Relaxed) {
            return Err(ApiProblem::full("readers of events", "max_subscribers"));
        }
        if !state.taken && !state.ended {
            let events = self.bus.subscribe(QUEUE);
            if !events.subscription().is_active() {
                return Err(ApiProblem::full("subscribers to events", "host.limits.subscribers"));
            }
            state.taken = true;
            state.ring = EventRing::new(self.ring.load(Ordering::Relaxed));
            state.stretch = format!("{:012x}", fastrand::u64(..) >> 16);
            tokio::spawn(Arc::clone(self).take(events));
        }
        state.readers += 1;
        drop(state);
        Ok(Reader(Arc::clone(self)))
    }

    /// Takes events into the ring, until nobody has read for a while or the host has ended.
    async fn take(self: Arc<Self>, mut events: crate::events::EventStream) {
        loop {
            let next = timeout_at(Instant::now() + LINGER, events.next()).await;
            let mut state = self.lock();
            let number = match next {
                Ok(Some(event)) => {
                    let text = serde_json::to_string(&event).unwrap_or_default();
                    state.ring.push(KeptEvent { event, text });
                    state.ring.next()
                }
                Ok(None) => {
                    state.ended = true;
                    state.ring.next()
                }
                Err(_) => state.ring.next(),
            };
            let unused = state.readers == 0 && state.idle.elapsed() >= LINGER;
            state.taken = !unused && !state.ended;
            let goes_on = state.taken;
            drop(state);
            self.news.send_replace(number);
            if !goes_on {
                return;
            }
        }
    }
}

/// A place among the readers.
struct Reader(Arc<EventHub>);

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.readers -= 1;
        state.idle = Instant::now();
    }
}

/// What one reader gets.
pub(super) struct EventFeed {
    reader: Reader,
    filter: EventFilter,
    kinds: Vec<String>,
    news: watch::Receiver<u64>,
    stretch: String,
    /// The number of the next event for it.
    next: u64,
    /// Said before anything else.
    greeting: Option<String>,
    alive: Instant,
}

/// `GET /v1/events`.
pub(super) async fn events(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let mut filter = EventFilter::new();
    let own = |name: &str| request.asked(name).map(str::to_owned);
    if let Some(connection) = own("connection") {
        filter = filter.connection(connection);
    }
    if let Some(listener) = own("listener") {
        filter = filter.listener(listener);
    }
    if let Some(upstream) = own("upstream") {
        filter = filter.upstream(upstream);
    }
    if let Some(device) = own("device") {
        filter = filter.device(device);
    }
    if let Some(driver) = own("driver") {
        filter = filter.driver(driver);
    }
    let kinds = request.asked("kinds").map(kinds).transpose()?.unwrap_or_default();
    let since = request.asked("since");
    if since.is_some_and(|since| since != "start" && !since.contains('-')) {
        let expected = "expected start, or the id of an event, such as 5f2c0e-17";
        return Err(ApiProblem::of_parameter("since", expected));
    }
    let reader = request.api.hub.enter()?;
    let since = request.last_event.as_deref().or(since);
    let feed = EventFeed::begin(reader, filter, kinds, since);
    Ok(Reply::Events(Box::new(feed)))
}

/// The kinds that a query names.
fn kinds(text: &str) -> Result<Vec<String>, ApiProblem> {
    let one = |name: &str| {
        if EventKind::NAMES.contains(&name) {
            return Ok(name.to_owned());
        }
        let expected = format!("expected names of events, found {name:?}");
        let near = did_you_mean(name, EventKind::NAMES.iter().copied());
        Err(ApiProblem::of_parameter("kinds", expected).near(near))
    };
    text.split(',').map(one).collect()
}

impl EventFeed {
    fn begin(reader: Reader, filter: EventFilter, kinds: Vec<String>, since: Option<&str>) -> Self {
        let news = reader.0.news.subscribe();
        let (stretch, next, is_known) = {
            let state = reader.0.lock();
            let (first, next) = (state.ring.first(), state.ring.next());
            let begin = match since {
                None => Some(next),
                Some("start") => Some(first),
                Some(id) => id.split_once('-').and_then(|(stretch, number)| {
                    let after = number.parse::<u64>().ok()?.checked_add(1)?;
                    let is_here = *stretch == *state.stretch && (first..=next).contains(&after);
                    is_here.then_some(after)
                }),
            };
            (state.stretch.clone(), begin.unwrap_or(next), begin.is_some())
        };
        let mut greeting = String::from("retry: 2000\n");
        if !is_known {
            // What it knows may be wrong by now: it lists anew, and goes on from here.
            let id = next - 1;
            let _ = write!(greeting, "id: {stretch}-{id}\nevent: reset\ndata: {{}}\n");
        }
        greeting.push('\n');
        let (greeting, alive) = (Some(greeting), Instant::now() + ALIVE);
        EventFeed { reader, filter, kinds, news, stretch, next, greeting, alive }
    }

    pub(super) fn into_body(self) -> UnsyncBoxBody<Bytes, Infallible> {
        let pieces = stream::unfold(self, |mut feed| async move {
            let piece = feed.piece().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(piece))), feed))
        });
        StreamBody::new(pieces).boxed_unsync()
    }

    /// The next piece of the answer; `None` once the host has ended and all was told.
    async fn piece(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            // Seen before the ring is looked at, so that what comes in between is news.
            self.news.mark_unchanged();
            let (first, events, ended) = {
                let state = self.reader.0.lock();
                if state.stretch != self.stretch {
                    return None;
                }
                let (first, events) = state.ring.from(self.next, AT_ONCE);
                (first, events, state.ended)
            };
            let text = self.told(first, &events);
            self.next = first + events.len() as u64;
            if !text.is_empty() {
                self.alive = Instant::now() + ALIVE;
                return Some(text);
            }
            if !events.is_empty() {
                continue;
            }
            if ended {
                return None;
            }
            if timeout_at(self.alive, self.news.changed()).await.is_err() {
                self.alive = Instant::now() + ALIVE;
                return Some(":\n\n".to_owned());
            }
        }
    }

    fn told(&self, first: u64, events: &[Arc<KeptEvent>]) -> String {
        let mut text = String::new();
        if first > self.next {
            let missed = first - self.next;
            let _ = write!(text, "event: lagged\ndata: {{\"missed\":{missed}}}\n\n");
        }
        for (number, kept) in (first..).zip(events) {
            if !self.wants(kept) {
                continue;
            }
            let (stretch, json) = (&self.stretch, &kept.text);
            let _ = write!(text, "id: {stretch}-{number}\ndata: {json}\n\n");
        }
        text
    }

    fn wants(&self, kept: &KeptEvent) -> bool {
        let event = &kept.event;
        let is_gap = matches!(event.kind, EventKind::Missed { .. });
        let kind = event.kind.name();
        is_gap
            || (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
                && self.filter.takes(event)
    }
}
