//! [`Leases`]: the holder of something that only one user may have, and the queue for it. No I/O, no clock, no task:
//! each step takes the time as an argument and returns the notices to send.
//!
//! ```text
//!        ┌── refused (no waiting allowed, or too many wait)
//! ask ───┼── waiting ──(its turn)──┐
//!        │      └── timed out      ▼
//!        └─────────────────────── held ──(broken, expired)──▶ ending ──(let go, or grace over)──▶ free
//! ```
//!
//! Turns go in the order of asking. A lease that was broken or has expired goes on only when its holder
//! has let go, so that two sessions do not meet at the far end, or when the grace for that is over.

use crate::connection::Caller;
use crate::units::Timespan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// `lease` of an exclusive path: how it goes from one holder to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseOptions {
    /// How long the next waits for its turn; `"0s"` is refused at once. Default: `"30s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub timeout: Duration,
    /// The most that wait; more are refused. Default: 16.
    pub max_waiters: usize,
    /// When a session ends whose holder sends nothing for so long; `"0s"` (`None`) never. Default: `"0s"`.
    #[serde(with = "jackfield_text::with::zero_is_none")]
    #[schemars(with = "Timespan")]
    pub expiry: Option<Duration>,
    /// How long a holder whose lease has ended may take to let go. Default: `"5s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub grace: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions {
            timeout: Duration::from_secs(30),
            max_waiters: 16,
            expiry: None,
            grace: Duration::from_secs(5),
        }
    }
}

/// Names one request for a lease; never used again.
pub type Id = u64;

/// Why a lease ended before its holder let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "ended", content = "reason", rename_all = "snake_case")]
pub enum Ended {
    /// Somebody broke it, for that reason.
    Broken(String),
    /// It was not renewed in time.
    Expired,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Broken(reason) => write!(f, "the lease was broken: {reason}"),
            Ended::Expired => f.write_str("the lease has expired"),
        }
    }
}

/// What is to be told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is this one's turn.
    Granted(Id),
    /// This one is to let go.
    Ended(Id, Ended),
    /// This one has waited too long.
    TimedOut(Id),
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// It has the lease.
    Granted(Id),
    /// It waits.
    Waits(Id),
    /// Nobody may wait.
    Busy,
    /// Too many wait.
    Full,
}

#[derive(Debug)]
struct Holder {
    id: Id,
    caller: Caller,
    since: Instant,
    until: Option<Instant>,
    ending: Option<(Ended, Instant)>,
}

#[derive(Debug)]
struct Waiter {
    id: Id,
    caller: Caller,
    since: Instant,
    until: Instant,
}

/// The holder and the queue.
#[derive(Debug)]
pub struct Leases {
    options: LeaseOptions,
    next: Id,
    holder: Option<Holder>,
    waiters: VecDeque<Waiter>,
    last: Option<(Caller, Ended)>,
}

/// The holder and the queue, as others read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeaseSnapshot {
    /// Who has it.
    pub holder: Option<HolderSnapshot>,
    /// Who waits, first in turn first.
    pub waiters: Vec<WaiterSnapshot>,
    /// The last holder that was made to let go, and why.
    pub last_ended: Option<EndedSnapshot>,
}

/// Who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HolderSnapshot {
    /// Who.
    #[serde(flatten)]
    pub caller: Caller,
    /// Milliseconds since the lease began.
    pub held_ms: u64,
    /// Milliseconds until it expires unless renewed.
    pub expires_ms: Option<u64>,
    /// Why it is to let go, if it is.
    pub ending: Option<Ended>,
}

/// Who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaiterSnapshot {
    /// Who.
    #[serde(flatten)]
    pub caller: Caller,
    /// Milliseconds that it has waited.
    pub waited_ms: u64,
}

/// Who was made to let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EndedSnapshot {
    /// Who.
    #[serde(flatten)]
    pub caller: Caller,
    /// Why.
    #[serde(flatten)]
    pub ended: Ended,
}

impl Leases {
    /// Free.
    pub fn new(options: LeaseOptions) -> Self {
        Leases { options, next: 1, holder: None, waiters: VecDeque::new(), last: None }
    }

    /// By which options.
    pub fn options(&self) -> &LeaseOptions {
        &self.options
    }

    /// Asks for the lease.
    pub fn ask(&mut self, caller: Caller, now: Instant) -> (LeaseReply, Vec<News>) {
        let news = self.tick(now);
        let id = self.next;
        let asked = if self.holder.is_none() {
            self.hold(id, caller, now);
            LeaseReply::Granted(id)
        } else if self.options.timeout.is_zero() {
            return (LeaseReply::Busy, news);
        } else if self.waiters.len() >= self.options.max_waiters {
            return (LeaseReply::Full, news);
        } else {
            let until = now + self.options.timeout;
            self.waiters.push_back(Waiter { id, caller, since: now, until });
            LeaseReply::Waits(id)
        };
        self.next += 1;
        (asked, news)
    }

    /// Lets go, or waits no more; one that does neither any longer changes nothing.
    pub fn leave(&mut self, id: Id, now: Instant) -> Vec<News> {
        if self.holder.as_ref().is_some_and(|holder| holder.id == id) {
            self.holder = None;
        } else {
            self.waiters.retain(|waiter| waiter.id != id);
        }
        self.tick(now)
    }

    /// Starts the holder's time over; false if `id` does not hold the lease any more.
    pub fn renew(&mut self, id: Id, now: Instant) -> (bool, Vec<News>) {
        let news = self.tick(now);
        let expiry = self.options.expiry;
        let held = self.holder.as_mut().filter(|held| held.id == id && held.ending.is_none());
        let renewed = held.map(|held| held.until = expiry.map(|expiry| now + expiry)).is_some();
        (renewed, news)
    }

    /// Makes the holder release it; returns the holder, `None` if it is free or being released
    /// already.
    pub fn break_off(&mut self, reason: &str, now: Instant) -> (Option<Caller>, Vec<News>) {
        let mut news = self.tick(now);
        let whole = self.holder.as_ref().filter(|held| held.ending.is_none());
        let Some(caller) = whole.map(|held| held.caller.clone()) else { return (None, news) };
        self.end(Ended::Broken(reason.to_owned()), now, &mut news);
        (Some(caller), news)
    }

    /// Does what time alone brings about.
    pub fn tick(&mut self, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.holder.as_ref().is_some_and(|held| held.ending.is_none() && past(held.until)) {
            self.end(Ended::Expired, now, &mut news);
        }
        let ending = |held: &Holder| held.ending.as_ref().map(|(_, by)| *by);
        if self.holder.as_ref().is_some_and(|held| past(ending(held))) {
            self.holder = None;
        }
        // Those that came earlier may wait no longer than those behind them: the options are the same.
        while self.waiters.front().is_some_and(|waiter| waiter.until <= now) {
            news.extend(self.waiters.pop_front().map(|waiter| News::TimedOut(waiter.id)));
        }
        if self.holder.is_none()
            && let Some(Waiter { id, caller, .. }) = self.waiters.pop_front()
        {
            self.hold(id, caller, now);
            news.push(News::Granted(id));
        }
        news
    }

    /// When [`Leases::tick`] next has something to do.
    pub fn next_moment(&self) -> Option<Instant> {
        let held = self.holder.as_ref().and_then(|held| match &held.ending {
            Some((_, by)) => Some(*by),
            None => held.until,
        });
        held.into_iter().chain(self.waiters.front().map(|waiter| waiter.until)).min()
    }

    fn hold(&mut self, id: Id, caller: Caller, now: Instant) {
        let until = self.options.expiry.map(|expiry| now + expiry);
        self.holder = Some(Holder { id, caller, since: now, until, ending: None });
    }

    fn end(&mut self, ended: Ended, now: Instant, news: &mut Vec<News>) {
        let Some(held) = &mut self.holder else { return };
        news.push(News::Ended(held.id, ended.clone()));
        self.last = Some((held.caller.clone(), ended.clone()));
        held.ending = Some((ended, now + self.options.grace));
    }

    /// As others read it.
    pub fn snapshot(&self, now: Instant) -> LeaseSnapshot {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let since = |at: Instant| ms(now.saturating_duration_since(at));
        LeaseSnapshot {
            holder: self.holder.as_ref().map(|held| HolderSnapshot {
                caller: held.caller.clone(),
                held_ms: since(held.since),
                expires_ms: held.until.map(|until| ms(until.saturating_duration_since(now))),
                ending: held.ending.as_ref().map(|(ended, _)| ended.clone()),
            }),
            waiters: self
                .waiters
                .iter()
                .map(|waiter| WaiterSnapshot {
                    caller: waiter.caller.clone(),
                    waited_ms: since(waiter.since),
                })
                .collect(),
            last_ended: self.last.as_ref().map(|(caller, ended)| EndedSnapshot {
                caller: caller.clone(),
                ended: ended.clone(),
            }),
        }
    }
}
