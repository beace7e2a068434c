//! [`Totals`]: what a relay has carried, readable while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one relay, or of several that are given the same ones.
///
/// Bytes are counted when the receiving end has taken them; of messages, payload bytes.
#[derive(Debug, Default)]
pub struct Totals {
    to_b: Counts,
    to_a: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    messages: AtomicU64,
}

impl Totals {
    /// Bytes carried from a to b.
    pub fn bytes_to_b(&self) -> u64 {
        self.to_b.bytes.load(Ordering::Relaxed)
    }
    /// Bytes carried from b to a.
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

    pub(crate) fn add(&self, to: super::Side, bytes: usize, messages: u64) {
        let counts = match to {
            super::Side::A => &self.to_a,
            super::Side::B => &self.to_b,
        };
        counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if messages > 0 {
            counts.messages.fetch_add(messages, Ordering::Relaxed);
        }
    }
}
