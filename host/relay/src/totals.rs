//! [`Totals`]: what has passed over a connection, readable while it runs.

use super::Side;
use arc_swap::ArcSwapOption;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// The counters of one connection, accepted or dialled; of one relay, or of several that are given the
/// same ones. Its peer is side a.
///
/// Bytes are counted when the receiving end has taken them; of messages, payload bytes. A relay counts
/// and does no more: the time of the last activity is that of sessions which are not relayed.
#[derive(Debug)]
pub struct Totals {
    to_b: Counts,
    to_a: Counts,
    started: Instant,
    last_ms: AtomicU64,
    /// Counts activities: two at the same moment are still two.
    beats: AtomicU64,
    /// A place for a hook, made with the first one: most have none.
    hook: OnceLock<Box<ArcSwapOption<TrafficHook>>>,
}

/// What has passed over a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Whether it came from the peer; else it was sent to it.
    pub is_received: bool,
    /// Bytes; of messages and requests, of their content.
    pub bytes: usize,
    /// Messages, datagrams, requests and answers; 0 for bytes of a stream.
    pub messages: u64,
}

/// What is told of it.
struct TrafficHook(Box<dyn Fn(Traffic) + Send + Sync>);

impl fmt::Debug for TrafficHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrafficHook")
    }
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl Default for Totals {
    fn default() -> Self {
        Totals {
            to_b: Counts::default(),
            to_a: Counts::default(),
            started: Instant::now(),
            last_ms: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            hook: OnceLock::new(),
        }
    }
}

impl Totals {
    /// Bytes from a, the peer, to b.
    pub fn bytes_to_b(&self) -> u64 {
        self.to_b.bytes.load(Ordering::Relaxed)
    }
    /// Bytes from b to a, the peer.
    pub fn bytes_to_a(&self) -> u64 {
        self.to_a.bytes.load(Ordering::Relaxed)
    }
    /// Messages given to b; 0 if it is a stream.
    pub fn messages_to_b(&self) -> u64 {
        self.to_b.messages.load(Ordering::Relaxed)
    }
    /// Messages given to a; 0 if it is a stream.
    pub fn messages_to_a(&self) -> u64 {
        self.to_a.messages.load(Ordering::Relaxed)
    }

    /// Counts what has passed to that side.
    pub fn add(&self, to: Side, bytes: usize, messages: u64) {
        let counts = match to {
            Side::A => &self.to_a,
            Side::B => &self.to_b,
        };
        counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if messages > 0 {
            counts.messages.fetch_add(messages, Ordering::Relaxed);
        }
        if let Some(hook) = self.hook.get() {
            tell(hook, Traffic { is_received: to == Side::B, bytes, messages });
        }
    }

    /// Calls `hook` with all that passes from now on, in the place of the one that was set.
    pub fn set_hook(&self, hook: impl Fn(Traffic) + Send + Sync + 'static) {
        let place = self.hook.get_or_init(Box::default);
        place.store(Some(Arc::new(TrafficHook(Box::new(hook)))));
    }

    /// Counts what came from the peer, as activity.
    pub fn received(&self, bytes: usize, messages: u64) {
        self.add(Side::B, bytes, messages);
        self.touch();
    }

    /// Counts what was sent to the peer, as activity.
    pub fn sent(&self, bytes: usize, messages: u64) {
        self.add(Side::A, bytes, messages);
        self.touch();
    }

    /// Milliseconds since it was made.
    pub fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something was active.
    pub fn touch(&self) {
        self.last_ms.store(self.age_ms(), Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was active.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Time since the last activity.
    pub fn idle(&self) -> Duration {
        let last = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.age_ms().saturating_sub(last))
    }
}

#[cold]
fn tell(place: &ArcSwapOption<TrafficHook>, traffic: Traffic) {
    let Some(hook) = place.load_full() else { return };
    // It is code of a program, and what is counted here may be of a driver.
    if catch_unwind(AssertUnwindSafe(|| (hook.0)(traffic))).is_err() {
        tracing::error!("a traffic hook panicked and was removed");
        place.store(None);
    }
}
