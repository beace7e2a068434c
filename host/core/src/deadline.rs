//! [`Deadline`]: a moment by which several steps in a row have to be done.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::timeout_at;
use std::time::Duration;
use tokio::time::Instant;

/// So far away that it never comes, and yet a moment that can be computed with.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// A moment by which something has to be done, and how long that was from the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now; of more than 30 years, 30 years.
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Deadline { at: now.checked_add(limit).unwrap_or(now + NEVER).min(now + NEVER), limit }
    }

    /// At that moment.
    pub fn at(at: Instant) -> Self {
        Deadline { at, limit: at.saturating_duration_since(Instant::now()) }
    }

    /// How long it was from the beginning.
    pub fn limit(self) -> Duration {
        self.limit
    }

    /// The moment.
    pub fn instant(self) -> Instant {
        self.at
    }

    /// The time that is left; zero when it is over.
    pub fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Whether no time is left.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// Does the work in the time that is left; what is not done then is dropped. Cancel safe as far as
    /// the work is.
    ///
    /// # Errors
    /// What the work says; [`ErrorKind::TimedOut`], which says `what` took too long.
    pub async fn run<T>(self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout_at(self.at, work).await {
            Ok(done) => done,
            Err(_) => {
                let text = format!("{what} took over {:?}", self.limit);
                Err(Error::new(ErrorKind::TimedOut, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_in_a_row_share_the_time_and_the_one_that_takes_too_long_is_named() {
        let second = Duration::from_secs(1);
        let deadline = Deadline::after(3 * second);
        let first = deadline.run("the first", async {
            tokio::time::sleep(second).await;
            Ok(1)
        });
        assert_eq!(first.await.ok(), Some(1));
        assert_eq!(deadline.left(), 2 * second);
        let late = deadline.run("the second", std::future::pending::<Result<()>>()).await;
        let error = late.unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::TimedOut, "the second took over 3s")
        );
        assert!(deadline.is_over());
    }

    #[tokio::test]
    async fn no_limit_is_too_long() {
        assert!(!Deadline::after(Duration::MAX).is_over());
    }
}
