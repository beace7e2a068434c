//! [`Shelf`]: sessions that have answered a request and wait for the next one, of whichever peer.

use super::keepalive::KeepAlive;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Envelope, Exchange, Incoming, Session};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What asks on a session, one request after the other, and looks in between whether it is still there.
#[derive(Debug)]
pub struct Asker {
    // Dropped in this order.
    end: End,
    exchange: Exchange,
}

/// What is known of a session's end.
#[derive(Debug)]
enum End {
    Unasked,
    Awaited(Op<Option<Incoming>>),
    /// Its driver does not tell.
    Untold,
}

impl Asker {
    /// Asks by `exchange`.
    pub fn new(exchange: Exchange) -> Self {
        Asker { end: End::Unasked, exchange }
    }

    /// As [`Exchange::send`].
    pub fn send(&self, request: Envelope) -> Op<Envelope> {
        self.exchange.send(request)
    }

    /// Whether the driver has seen its session end.
    pub fn has_ended(&mut self) -> bool {
        if matches!(self.end, End::Unasked) {
            self.end = End::Awaited(self.exchange.accept());
        }
        let End::Awaited(end) = &mut self.end else { return false };
        // Asked when somebody wants to know, and by nobody woken.
        match Pin::new(end).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(None)) => true,
            Poll::Ready(_) => {
                self.end = End::Untold;
                false
            }
            Poll::Pending => false,
        }
    }
}

/// A session between two requests, and what asks on it.
#[derive(Debug)]
pub struct Rested {
    // Dropped in this order: what was taken of a session does not outlive it.
    /// Asks on the session.
    pub asker: Asker,
    /// The session.
    pub session: Session,
}

/// Sessions of one target between two requests.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    options: KeepAlive,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The one that has waited longest is first.
    waiting: VecDeque<(Instant, Rested)>,
    /// Somebody takes care that none waits too long.
    is_watched: bool,
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    pub(super) fn new(options: KeepAlive) -> Self {
        Shelf { options, inner: Arc::default() }
    }

    /// The session that came last, if it came at most `within` ago; of those that have not ended.
    pub(super) fn take(&self, within: Duration) -> Option<Rested> {
        loop {
            // Asking it, or ending it, is its driver's code: not under the lock.
            let mut rested = self.last(within)?;
            if !rested.asker.has_ended() {
                return Some(rested);
            }
        }
    }

    fn last(&self, within: Duration) -> Option<Rested> {
        let mut inner = lock(&self.inner);
        let (since, _) = inner.waiting.back()?;
        if since.elapsed() > within.min(self.options.max_idle_time.0) {
            return None;
        }
        inner.waiting.pop_back().map(|(_, rested)| rested)
    }

    /// Lets a session wait for its next request.
    pub(super) fn put(&self, rested: Rested) {
        let mut inner = lock(&self.inner);
        inner.waiting.push_back((Instant::now(), rested));
        let most = usize::try_from(self.options.max_idle).unwrap_or(usize::MAX);
        let over = (inner.waiting.len() > most).then(|| inner.waiting.pop_front());
        let starts = !std::mem::replace(&mut inner.is_watched, true);
        drop(inner);
        // Ending a session is its driver's code: not under the lock.
        drop(over);
        if starts {
            tokio::spawn(watch(Arc::downgrade(&self.inner), self.options.max_idle_time.0));
        }
    }
}

/// Ends those that have waited too long, until none waits.
async fn watch(shelf: Weak<Mutex<Inner>>, longest: Duration) {
    loop {
        let Some(inner) = shelf.upgrade() else { return };
        let (next, ended) = sweep(&mut lock(&inner), longest);
        drop((inner, ended));
        match next {
            Some(next) => sleep_until(next).await,
            None => return,
        }
    }
}

/// When the next one will have waited too long, and those that have now.
fn sweep(inner: &mut Inner, longest: Duration) -> (Option<Instant>, Vec<Rested>) {
    let late = |(since, _): &(Instant, Rested)| since.elapsed() >= longest;
    let count = inner.waiting.iter().take_while(|waiting| late(waiting)).count();
    let ended = inner.waiting.drain(..count).map(|(_, rested)| rested).collect();
    let next = inner.waiting.front().map(|(since, _)| *since + longest);
    inner.is_watched = next.is_some();
    (next, ended)
}
