//! From a question to a session: one target after the other, within one deadline.

use super::balancer::{Balancer, InFlight, Ticket, Tried};
use super::retry::{Budget, RetryOptions};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What can be opened.
pub trait Opens: Send + Sync {
    /// What it gives.
    type Session: Send;
    /// Opens a session within `limit`. Cancel safe.
    fn open(&self, limit: Duration) -> impl Future<Output = Result<Self::Session>> + Send;
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
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session at the target whose turn it is, or at others as long as targets fail, each
    /// once. What time is left is divided among the attempts that are left, so that one silent
    /// target does not use it all. Cancel safe: a target given up that way is neither good nor bad.
    ///
    /// # Errors
    /// When every attempt has failed: the last one's, with each target's reason.
    /// [`ErrorKind::Limit`] when no target has room; [`ErrorKind::Unreachable`] when all are
    /// drained.
    pub async fn open<T: Opens>(
        &self,
        balancer: &Arc<Balancer<T>>,
        key: Option<u64>,
        limit: Duration,
    ) -> Result<(T::Session, InFlight<T>)> {
        let begin = Instant::now();
        let deadline = begin + limit;
        let most = (self.options.attempts.max(1) as usize).min(balancer.serving());
        self.budget().asked(begin);
        let mut tried = Tried::default();
        let mut failures: Vec<(String, Error)> = Vec::new();
        let mut now = begin;
        while let Some(ticket) = balancer.take(key, now, &tried) {
            ticket.note(&mut tried);
            let name = ticket.name().to_owned();
            match self.try_one(ticket, balancer, deadline, most + 1 - tried.len()).await {
                Ok(opened) => return Ok(opened),
                // Our own mistakes are the same everywhere; a target's are its own.
                Err(error) if is_ours(&error) => return Err(error.with("target", name)),
                Err(error) => failures.push((name, error)),
            }
            now = Instant::now();
            if tried.len() >= most || deadline <= now || !self.budget().take(now) {
                break;
            }
            if let Some((target, error)) = failures.last() {
                tracing::warn!(target, %error, "trying the next target");
            }
        }
        Err(summary(balancer, failures))
    }

    async fn try_one<T: Opens>(
        &self,
        ticket: Ticket<'_, T>,
        balancer: &Arc<Balancer<T>>,
        deadline: Instant,
        attempts_left: usize,
    ) -> Result<(T::Session, InFlight<T>)> {
        let left = deadline.saturating_duration_since(Instant::now());
        let allowed = left / u32::try_from(attempts_left.max(1)).unwrap_or(u32::MAX);
        match ticket.target().open(allowed).await {
            Ok(session) => Ok((session, ticket.succeeded(balancer, Instant::now()))),
            Err(error) => {
                if !is_ours(&error) {
                    ticket.failed(&error, allowed, Instant::now());
                }
                Err(error)
            }
        }
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
