//! [`Clock`]: the time limits of one relay, with one timer for all of them.

use super::RelayOptions;
use jackfield_timers::sleep_until;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Made only for a relay that has a limit, so that the others pay nothing for it.
///
/// Activity is a stamp; the timer looks at it when it fires and is not moved for each byte.
pub(super) struct Clock {
    idle: Option<Duration>,
    /// Once one direction has ended: how long nothing may move, and what that means.
    silence: Option<(Duration, PassedLimit)>,
    /// What ends it in any case, and when.
    ends: Option<(Instant, PassedLimit)>,
    active: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A limit that has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PassedLimit {
    Idle,
    HalfClose,
    /// One direction has ended, the ends know no half-close, and nothing more came.
    Drained,
    Total,
    /// The end itself took too long.
    Close,
}

impl Clock {
    /// A clock if `options` set a limit from the beginning.
    pub(super) fn of(options: &RelayOptions) -> Option<Box<Clock>> {
        let limited = options.timeouts.idle.is_some() || options.timeouts.total.is_some();
        limited.then(|| Clock::start(options))
    }

    fn start(options: &RelayOptions) -> Box<Clock> {
        let now = Instant::now();
        let ends = options.timeouts.total.and_then(|limit| now.checked_add(limit));
        Box::new(Clock {
            idle: options.timeouts.idle,
            silence: None,
            ends: ends.map(|at| (at, PassedLimit::Total)),
            active: now,
            timer: None,
        })
    }

    /// One direction has ended: from now on no byte may be further than `limit` from the one before.
    pub(super) fn half_closed(
        clock: &mut Option<Box<Clock>>,
        options: &RelayOptions,
        limit: Option<Duration>,
        then: PassedLimit,
    ) {
        let Some(limit) = limit else { return };
        let clock = clock.get_or_insert_with(|| Clock::start(options));
        clock.silence = Some((limit, then));
        clock.active = Instant::now();
    }

    /// Nothing more is received: what is left must have gone out within the limit.
    pub(super) fn closing(clock: &mut Option<Box<Clock>>, options: &RelayOptions) {
        let clock = clock.get_or_insert_with(|| Clock::start(options));
        clock.silence = None;
        let ends = Instant::now().checked_add(options.close_timeout);
        let sooner = |at: &Instant| clock.ends.is_none_or(|(before, _)| *at < before);
        if let Some(at) = ends.filter(sooner) {
            clock.ends = Some((at, PassedLimit::Close));
        }
    }

    /// A peer showed so long ago that it is there, without data.
    pub(super) fn heard(&mut self, ago: Duration) {
        if let Some(at) = Instant::now().checked_sub(ago) {
            self.active = self.active.max(at);
        }
    }

    /// Notes whether the relay has just moved something and answers which limit has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, moved: bool) -> Poll<PassedLimit> {
        if moved {
            self.active = Instant::now();
        }
        while let Some((deadline, limit)) = self.next() {
            if deadline <= Instant::now() {
                return Poll::Ready(limit);
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    fn next(&self) -> Option<(Instant, PassedLimit)> {
        let silent = |limit: Duration| self.active.checked_add(limit);
        let idle = self.idle.and_then(silent).map(|at| (at, PassedLimit::Idle));
        let silence = self.silence.and_then(|(limit, then)| Some((silent(limit)?, then)));
        [idle, silence, self.ends].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}
