//! Shutdown in two steps: workers are told to stop, and later those that still work to end.

use std::time::Duration;
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Word {
    GoOn,
    Stop,
    End,
}

/// How long workers that were told to end may take for that.
pub const END_LIMIT: Duration = Duration::from_millis(150);

/// How much of it they have to say so to their peers.
pub const LAST_WORDS: Duration = Duration::from_millis(100);

/// Tells workers to stop or to end, and waits for them. Each listener has its own, and the host tells them all.
#[derive(Debug)]
pub struct Shutdown {
    word: watch::Sender<Word>,
}

/// A worker's end: hears the word, and is waited for until it is dropped.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<Word>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { word: watch::channel(Word::GoOn).0 }
    }
}

impl Shutdown {
    /// An end for one more worker.
    pub fn worker(&self) -> Stopping {
        Stopping(self.word.subscribe())
    }

    /// Tells all workers to take nothing new and finish what runs.
    pub fn begin(&self) {
        self.say(Word::Stop);
    }

    /// What was said is never taken back.
    fn say(&self, next: Word) {
        self.word.send_if_modified(|word| {
            let later = next > *word;
            *word = next.max(*word);
            later
        });
    }

    /// Waits until all workers are gone, at most for `limit`; then tells the others to end, and
    /// waits until they have, but not for those that do not within [`END_LIMIT`]: code that blocks
    /// keeps them. Answers `None` if all were gone in time, else what `late` said when time was up.
    pub async fn finish<T>(&self, limit: Duration, late: impl FnOnce() -> T) -> Option<T> {
        if tokio::time::timeout(limit, self.word.closed()).await.is_ok() {
            return None;
        }
        let answer = late();
        self.say(Word::End);
        // Who does not end now is left behind.
        let _ = tokio::time::timeout(END_LIMIT, self.word.closed()).await;
        Some(answer)
    }
}

impl Stopping {
    /// Completes when workers are to stop. Cancel safe.
    pub async fn told(&mut self) {
        self.heard(Word::Stop).await;
    }

    /// Completes when workers are to end at once. Cancel safe.
    pub async fn ended(&mut self) {
        self.heard(Word::End).await;
    }

    /// Completes when the time has passed in which workers told to end may report that. Cancel safe.
    pub async fn overdue(&mut self) {
        self.ended().await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    async fn heard(&mut self, least: Word) {
        // A sender that is gone has nothing more to say: stop.
        let _ = self.0.wait_for(|word| *word >= least).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn finishing_ends_with_the_last_worker() {
        let shutdown = Shutdown::default();
        let mut first = shutdown.worker();
        let second = first.clone();
        shutdown.begin();
        first.told().await;
        drop((first, second));
        assert_eq!(shutdown.finish(Duration::from_secs(1), || ()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_still_work_are_ended() {
        let shutdown = Shutdown::default();
        let mut stubborn = shutdown.worker();
        shutdown.begin();
        let work = tokio::spawn(async move { stubborn.ended().await });
        assert_eq!(shutdown.finish(Duration::from_secs(1), || 1).await, Some(1));
        assert!(work.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_end_are_left_behind() {
        let shutdown = Shutdown::default();
        let stuck = shutdown.worker();
        shutdown.begin();
        assert_eq!(shutdown.finish(Duration::from_secs(1), || 1).await, Some(1));
        drop(stuck);
    }
}
