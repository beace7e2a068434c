//! [`Traffic`]: what has passed over a connection, and when something last did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Counters of one life, over all its sessions.
#[derive(Debug)]
pub(super) struct Traffic {
    started: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    last_ms: AtomicU64,
    /// Counts activities: two at the same moment are still two.
    beats: AtomicU64,
}

/// The counters at one moment.
pub(super) struct Counts {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Traffic {
            started: Instant::now(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            beats: AtomicU64::new(0),
        }
    }

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn touch(&self) {
        self.last_ms.store(self.age_ms(), Ordering::Relaxed);
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Time since the last activity.
    pub(super) fn idle(&self) -> Duration {
        let last = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.age_ms().saturating_sub(last))
    }

    pub(super) fn received(&self, bytes: usize, messages: u64) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        self.messages_in.fetch_add(messages, Ordering::Relaxed);
        self.touch();
    }

    pub(super) fn sent(&self, bytes: usize, messages: u64) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        self.messages_out.fetch_add(messages, Ordering::Relaxed);
        self.touch();
    }

    pub(super) fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            messages_in: get(&self.messages_in),
            messages_out: get(&self.messages_out),
        }
    }
}
