//! [`Clock`]: the time limits of one relay, with one timer for all of them.

use super::{RelayEnd, RelayOptions};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Made only for a relay that has a limit, so that the others pay nothing for it.
///
/// Activity is a stamp; the timer looks at it when it fires and is not moved for each byte.
pub(super) struct Clock {
    idle: Option<Duration>,
    half_close: Option<Duration>,
    ends: Option<Instant>,
    active: Instant,
    half_closed: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// A clock if `options` set a limit.
    pub(super) fn of(options: &RelayOptions) -> Option<Box<Clock>> {
        let limited = options.idle_timeout.is_some()
            || options.half_close_timeout.is_some()
            || options.total_timeout.is_some();
        limited.then(|| Clock::start(options))
    }

    fn start(options: &RelayOptions) -> Box<Clock> {
        let now = Instant::now();
        Box::new(Clock {
            idle: options.idle_timeout,
            half_close: options.half_close_timeout,
            ends: options.total_timeout.and_then(|limit| now.checked_add(limit)),
            active: now,
            half_closed: None,
            timer: None,
        })
    }

    /// A clock for what is left of a relay after an end that knows no half-close has ended.
    pub(super) fn closing(clock: &mut Option<Box<Clock>>, options: &RelayOptions) {
        let clock = clock.get_or_insert_with(|| Clock::start(options));
        let limit =
            clock.half_close.map_or(options.close_timeout, |l| l.min(options.close_timeout));
        clock.half_close = Some(limit);
    }

    /// Notes what the relay has just done and answers which limit has passed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: bool,
        half_closed: bool,
    ) -> Poll<RelayEnd> {
        if moved {
            self.active = Instant::now();
        }
        if half_closed && self.half_closed.is_none() {
            self.half_closed = Some(Instant::now());
        }
        while let Some((deadline, end)) = self.next() {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(end);
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn next(&self) -> Option<(Instant, RelayEnd)> {
        let after = |since: Option<Instant>, limit: Option<Duration>| since?.checked_add(limit?);
        [
            (after(Some(self.active), self.idle), RelayEnd::IdleTimeout),
            (after(self.half_closed, self.half_close), RelayEnd::HalfCloseTimeout),
            (self.ends, RelayEnd::TotalTimeout),
        ]
        .into_iter()
        .filter_map(|(deadline, end)| Some((deadline?, end)))
        .min_by_key(|(deadline, _)| *deadline)
    }
}
