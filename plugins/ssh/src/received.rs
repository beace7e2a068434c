//! [`Received`]: how much has come from a server, for one that says what the protocol crate passes over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Counts bytes from a server.
#[derive(Debug, Default)]
pub(crate) struct Received {
    bytes: AtomicU64,
    explained: AtomicU64,
    changed: Notify,
}

impl Received {
    pub(crate) fn add(&self, count: usize) {
        self.bytes.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// It is known what has come so far.
    pub(crate) fn explain(&self) {
        self.explained.store(self.bytes.load(Ordering::Acquire), Ordering::Release);
    }

    /// Completes when unexplained bytes have come, and then nothing for `quiet`.
    pub(crate) async fn unexplained(&self, quiet: Duration) {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            let bytes = self.bytes.load(Ordering::Acquire);
            if bytes <= self.explained.load(Ordering::Acquire) {
                changed.await;
                continue;
            }
            tokio::time::sleep(quiet).await;
            let explained = self.explained.load(Ordering::Acquire);
            if bytes > explained && bytes == self.bytes.load(Ordering::Acquire) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Received;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn only_what_nobody_explains_counts() {
        const QUIET: Duration = Duration::from_secs(2);
        let received = Arc::new(Received::default());
        received.add(10);
        received.explain();
        let watched = Arc::clone(&received);
        let waiting = tokio::spawn(async move { watched.unexplained(QUIET).await });
        tokio::time::sleep(QUIET * 2).await;
        assert!(!waiting.is_finished());
        received.add(5);
        tokio::time::sleep(QUIET / 2).await;
        received.explain();
        tokio::time::sleep(QUIET * 2).await;
        assert!(!waiting.is_finished());
        received.add(1);
        waiting.await.expect("the end");
    }
}
