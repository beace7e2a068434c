//! [`Health`]: what the code of one plugin file did wrong while it ran, and whether it is still used.

use jackfield_plugin_api::{Error, ErrorKind, Origin, Result, Retry};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// Kept for each file, and shared by all its drivers and handlers: they are one piece of code. A file
/// that is replaced by another starts anew.
#[derive(Debug)]
pub struct Health {
    max_panics: u32,
    patience: Duration,
    panics: AtomicU32,
    quarantine: OnceLock<Error>,
}

impl Default for Health {
    fn default() -> Self {
        Health::new(10, Duration::from_secs(10))
    }
}

impl Health {
    /// Quarantine after `max_panics` (0: never), or when preparing takes longer than `patience`.
    pub(super) fn new(max_panics: u32, patience: Duration) -> Self {
        Health { max_panics, patience, panics: AtomicU32::new(0), quarantine: OnceLock::new() }
    }

    /// Panics of its code so far, in calls, sessions and drops alike.
    pub fn panics(&self) -> u32 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Why it is not used any more. Sessions that were open then go on.
    pub fn quarantine(&self) -> Option<&Error> {
        self.quarantine.get()
    }

    /// # Errors
    /// Why it is not used any more.
    pub(super) fn check(&self) -> Result<()> {
        self.quarantine.get().map_or(Ok(()), |reason| Err(reason.clone()))
    }

    /// Counts a panic that said `message`.
    pub(super) fn panicked(&self, message: &str) {
        let panics = self.panics.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.max_panics > 0 && panics >= self.max_panics {
            let text = format!("not used any more after {panics} panics");
            self.give_up(&Error::new(ErrorKind::Panicked, text).with("last", message));
        }
    }

    fn give_up(&self, reason: &Error) {
        // The first reason stays.
        if let Ok(()) = self.quarantine.set(reason.clone()) {
            tracing::error!(%reason, "a plugin is in quarantine");
        }
    }

    /// Runs code of the plugin that may block on a thread of its own: if it does not come back in
    /// time, it keeps that thread, but neither a runtime's nor the end of this process.
    ///
    /// # Errors
    /// The code's own; [`ErrorKind::TimedOut`] if it does not come back, and from then on.
    pub(super) async fn prepare<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.check()?;
        let (send, receive) = oneshot::channel();
        let run = move || {
            // The receiver is gone when the time is over.
            let _ = send.send(work());
        };
        std::thread::Builder::new().name("plugin-options".to_owned()).spawn(run)?;
        match tokio::time::timeout(self.patience, receive).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Panicked, "preparing options panicked")),
            Err(_) => {
                let text = format!("options were not taken within {:?}", self.patience);
                let hung = Error::new(ErrorKind::TimedOut, text);
                let hung = hung.with_origin(Origin::Internal).with_retry(Retry::Never);
                self.give_up(&hung);
                Err(hung)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_allowed_panic_puts_it_in_quarantine_and_the_reason_stays() {
        let health = Health::new(3, Duration::from_secs(1));
        for _ in 0..2 {
            health.panicked("index out of bounds");
            assert_eq!(health.check(), Ok(()));
        }
        health.panicked("index out of bounds");
        let reason = health.check().expect_err("three panics");
        assert!(reason.to_string().contains("3 panics"), "{reason}");
        assert!(reason.to_string().contains("index out of bounds"), "{reason}");
        assert_eq!(reason.retry(), Retry::Never);
        health.panicked("index out of bounds");
        assert_eq!(health.check(), Err(reason));
        assert_eq!(health.panics(), 4);
    }

    #[test]
    fn zero_never_gives_up() {
        let health = Health::new(0, Duration::from_secs(1));
        for _ in 0..1000 {
            health.panicked("index out of bounds");
        }
        assert_eq!(health.check(), Ok(()));
        assert_eq!(health.panics(), 1000);
    }

    #[tokio::test]
    async fn what_does_not_come_back_is_given_up_and_not_tried_again() {
        let health = Arc::new(Health::new(10, Duration::from_millis(50)));
        let (never, waits) = std::sync::mpsc::channel::<()>();
        let hung = health.prepare(move || Ok(waits.recv().is_ok())).await;
        assert_eq!(hung.expect_err("hung").kind(), ErrorKind::TimedOut);
        let again = health.prepare(|| -> Result<()> { unreachable!("it is in quarantine") }).await;
        assert_eq!(again.expect_err("given up").kind(), ErrorKind::TimedOut);
        drop(never);
    }
}
