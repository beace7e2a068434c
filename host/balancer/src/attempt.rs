//! From a question to a session: one target after the other, within one deadline.

use super::balancer::{Balancer, InFlight, Pick, Tried};
use super::error::OpenError;
use super::options::RetryOptions;
use super::retry::Budget;
use jackfield_lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// What can be opened.
pub trait Opens: Send + Sync {
    /// What it gives.
    type Session: Send;
    /// What a session can be needed for; `()` where there is one purpose only.
    type Purpose: Copy + Send;
    /// Opens a session within `limit`. Cancel safe.
    fn open(
        &self,
        need: Need<Self::Purpose>,
        limit: Duration,
    ) -> impl Future<Output = Result<Self::Session, OpenError>> + Send;
}

/// Is told of each attempt at a target, when it is over.
pub trait AttemptWatcher<T: Opens>: Sync {
    /// An attempt at the target of that name took so long. `outcome` is what it has opened or why it failed; `None`: it
    /// was given up before. A target that was passed over because it had no free place was not tried.
    fn tried(
        &self,
        name: &str,
        target: &T,
        took: Duration,
        outcome: Option<Result<&T::Session, &Error>>,
    );
}

/// What a session is needed for, and how urgently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need<P = ()> {
    /// What for.
    pub purpose: P,
    /// Where all places are taken, to wait for one; otherwise to be told [`OpenError::Busy`].
    pub waits: bool,
}

/// Tries targets of a balancer.
#[derive(Debug)]
pub struct Attempts {
    options: RetryOptions,
    budget: Mutex<Budget>,
}

impl Attempts {
    /// Attempts with a full budget.
    pub fn new(options: RetryOptions) -> Self {
        let budget = Mutex::new(Budget::new(&options, Instant::now()));
        Attempts { options, budget }
    }

    /// Retries that the budget has refused so far.
    pub fn refused(&self) -> u64 {
        self.budget().refused()
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().ignore_poison()
    }

    /// Opens a session at the target that is picked, or at others as long as targets fail, each
    /// once. What time is left is divided among the attempts that are left, so that one silent
    /// target does not use it all. A target without a free place is passed over at no cost; when all
    /// others are out too, one of them is waited for. Cancel safe: a target given up that way is
    /// neither good nor bad.
    ///
    /// # Errors
    /// When every attempt has failed: the last one's, with each target's reason.
    /// [`ErrorKind::Limit`] when no target has room; [`ErrorKind::Unreachable`] when all are
    /// drained.
    pub async fn open<T: Opens>(
        &self,
        balancer: &Arc<Balancer<T>>,
        key: Option<u64>,
        need: Need<T::Purpose>,
        limit: Duration,
    ) -> Result<(T::Session, InFlight<T>)> {
        self.open_watched(balancer, key, need, limit, None).await
    }

    /// As [`Attempts::open`], with somebody who is told of each attempt.
    ///
    /// # Errors
    /// As there.
    pub async fn open_watched<T: Opens>(
        &self,
        balancer: &Arc<Balancer<T>>,
        key: Option<u64>,
        need: Need<T::Purpose>,
        limit: Duration,
        watcher: Option<&dyn AttemptWatcher<T>>,
    ) -> Result<(T::Session, InFlight<T>)> {
        let mut now = Instant::now();
        let deadline = now + limit;
        let most = (self.options.attempts.max(1) as usize).min(balancer.serving());
        self.budget().asked(now);
        let mut course = Course::new(Need { waits: balancer.serving() <= 1, ..need });
        let mut failures: Vec<(String, Error)> = Vec::new();
        while let Some(ticket) = course.next(balancer, key, now) {
            let name = ticket.name().to_owned();
            let attempts_left = (most + 1).saturating_sub(course.tried.len());
            let left = deadline.saturating_duration_since(Instant::now());
            let allowed = left / u32::try_from(attempts_left.max(1)).unwrap_or(u32::MAX);
            let is_free = match try_one(ticket, course.need, allowed, watcher).await {
                Ok((session, ticket)) => {
                    return Ok((session, ticket.succeeded(balancer, Instant::now())));
                }
                Err(OpenError::Busy(_)) if !course.need.waits => {
                    course.tried.forget_last();
                    continue;
                }
                // Our own mistakes are the same everywhere; a target's are its own.
                Err(OpenError::Failed(error)) if is_ours(&error) => {
                    return Err(error.with("target", name));
                }
                Err(OpenError::Failed(error)) => {
                    failures.push((name, error));
                    false
                }
                Err(OpenError::Busy(error)) => {
                    failures.push((name, error));
                    true
                }
            };
            now = Instant::now();
            let is_over = course.tried.len() >= most || deadline <= now;
            if is_over || !(is_free || self.budget().take(now)) {
                break;
            }
            if let Some((target, error)) = failures.last() {
                tracing::warn!(target, %error, "trying the next target");
            }
        }
        Err(summary(balancer, failures))
    }
}

/// Opens a session at the target that was picked.
async fn try_one<'a, T: Opens>(
    ticket: Pick<'a, T>,
    need: Need<T::Purpose>,
    allowed: Duration,
    watcher: Option<&dyn AttemptWatcher<T>>,
) -> Result<(T::Session, Pick<'a, T>), OpenError> {
    let mut watched = watcher.map(|watcher| WatchedAttempt {
        watcher,
        ticket: &ticket,
        since: Instant::now(),
        is_told: false,
    });
    let opened = ticket.target().open(need, allowed).await;
    if let Some(watched) = &mut watched {
        watched.over(&opened, need.waits);
    }
    drop(watched);
    match opened {
        Ok(session) => Ok((session, ticket)),
        Err(error) => {
            if let OpenError::Failed(error) = &error
                && !is_ours(error)
            {
                ticket.failed(error, allowed, Instant::now());
            }
            Err(error)
        }
    }
}

/// An attempt that somebody is told of. Dropped before it is over, it was given up.
struct WatchedAttempt<'a, 'b, T: Opens> {
    watcher: &'a dyn AttemptWatcher<T>,
    ticket: &'a Pick<'b, T>,
    since: Instant,
    is_told: bool,
}

impl<T: Opens> WatchedAttempt<'_, '_, T> {
    fn over(&mut self, opened: &Result<T::Session, OpenError>, waits: bool) {
        self.is_told = true;
        match opened {
            Ok(session) => self.tell(Some(Ok(session))),
            Err(OpenError::Busy(_)) if !waits => {}
            Err(OpenError::Failed(error) | OpenError::Busy(error)) => self.tell(Some(Err(error))),
        }
    }

    fn tell(&self, outcome: Option<Result<&T::Session, &Error>>) {
        let (name, target) = (self.ticket.name(), self.ticket.target());
        self.watcher.tried(name, target, self.since.elapsed(), outcome);
    }
}

impl<T: Opens> Drop for WatchedAttempt<'_, '_, T> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(None);
        }
    }
}

/// Which targets one question has been at.
struct Course<T: Opens> {
    need: Need<T::Purpose>,
    /// In this round.
    asked: Tried<T>,
    /// Those of them that are out for good.
    tried: Tried<T>,
}

impl<T: Opens> Course<T> {
    fn new(need: Need<T::Purpose>) -> Self {
        Course { need, asked: Tried::default(), tried: Tried::default() }
    }

    /// The next target, which is out unless it turns out to be busy. When all are out or busy, a
    /// second round begins, in which a place is waited for.
    fn next<'a>(
        &mut self,
        balancer: &'a Balancer<T>,
        key: Option<u64>,
        now: Instant,
    ) -> Option<Pick<'a, T>> {
        let mut ticket = balancer.take(key, now, &self.asked);
        if ticket.is_none() && !self.need.waits && self.asked.len() > self.tried.len() {
            self.need.waits = true;
            self.asked = self.tried.clone();
            ticket = balancer.take(key, now, &self.asked);
        }
        if let Some(ticket) = &ticket {
            ticket.note(&mut self.asked);
            ticket.note(&mut self.tried);
        }
        ticket
    }
}

fn is_ours(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported)
}

/// One error of all: the last, and what the earlier ones said.
fn summary<T>(balancer: &Balancer<T>, mut failures: Vec<(String, Error)>) -> Error {
    let tried = failures.len();
    let Some((target, last)) = failures.pop() else {
        return if balancer.is_drained() {
            Error::new(ErrorKind::Unreachable, "every target is drained")
        } else {
            Error::new(ErrorKind::Limit, "no target has room for another session")
        };
    };
    let last = last.with("target", target).with("tried", tried);
    failures.iter().fold(last, |last, (target, error)| {
        last.with("before", format!("{target}: {}", error.message()))
    })
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
