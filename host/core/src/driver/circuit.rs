//! When the code of a plugin file that panics too often is used again: a state machine without a clock
//! or a lock.
//!
//! ```text
//!            panics within the window          the pause ends
//!   ┌────────┐ ───────────────────▶ ┌──────┐ ────────────────▶ ┌───────────┐
//!   │ closed │                      │ open │                   │ half open │
//!   └────────┘                      └──────┘ ◀──────────────── └───────────┘
//!       ▲                                         a panic            │
//!       └────────────────────────────────────────────────────────────┘
//!                  no panic for as long as the first pause
//! ```
//!
//! Open it gets no new sessions, half open one at a time. Each further pause is twice as long, up to the
//! longest; a file that behaved for as long as its last pause begins anew.

use crate::units::Timespan;
use arc_swap::ArcSwap;
use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// `[host.quarantine]`: when a plugin file that misbehaves gets no new sessions. Those that are open
/// go on.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QuarantineOptions {
    /// Panics of its code, in calls, sessions and drops, within `window`, after which it gets no new
    /// sessions for a while; 0 never. Default: 10.
    pub panics: u32,
    /// For how long a panic counts. Default: `"10m"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub window: Duration,
    /// How long that lasts at first, and how long one session at a time must then go without a panic
    /// until it is used as before. Each further one in a row lasts twice as long. Default: `"30s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub pause: Duration,
    /// How long that lasts at most. Default: `"1h"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub max_pause: Duration,
    /// How long a call into it may last until a log line tells where it was called for; `"0s"` never.
    /// Default: `"1s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub stuck_warn: Duration,
    /// How long a call into it may last until it gets no new sessions, which ends when the call does;
    /// `"0s"` for ever. Default: `"10s"`.
    #[serde(with = "jackfield_text::with::duration")]
    #[schemars(with = "Timespan")]
    pub stuck_limit: Duration,
}

/// The options that all files of a host share, which may change while it runs.
pub type SharedQuarantine = Arc<ArcSwap<QuarantineOptions>>;

impl QuarantineOptions {
    /// For all files of a host, until they are changed.
    pub fn shared(self) -> SharedQuarantine {
        Arc::new(ArcSwap::from_pointee(self))
    }

    /// Values out of range.
    pub fn problems(&self) -> Vec<Problem> {
        Ranges::new()
            .duration("window", self.window)
            .duration("pause", self.pause)
            .duration("max_pause", self.max_pause)
            .problems()
    }
}

impl Default for QuarantineOptions {
    fn default() -> Self {
        QuarantineOptions {
            panics: 10,
            window: Duration::from_secs(600),
            pause: Duration::from_secs(30),
            max_pause: Duration::from_secs(3600),
            stuck_warn: Duration::from_secs(1),
            stuck_limit: Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        /// When the first session that tries began.
        since: Option<Instant>,
        /// Whether one is being begun.
        busy: bool,
    },
}

/// What may be done with a file at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileStanding {
    /// It is used.
    Closed,
    /// It gets no new sessions until then.
    Open(Instant),
    /// It is tried.
    HalfOpen,
}

/// How a session may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// As any.
    Freely,
    /// As the one that tries; to be followed by [`Circuit::tried`].
    OnTrial,
}

/// What one more panic led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tripped {
    /// How long no session begins.
    pub(super) pause: Duration,
    /// Panics that led here.
    pub(super) panics: usize,
}

#[derive(Debug)]
pub(super) struct Circuit {
    state: Phase,
    /// When it panicked, oldest first; at most as many as open it.
    recent: VecDeque<Instant>,
    /// Times it was opened in a row.
    times: u32,
    /// When the last quarantine ended, and how long it was.
    last: Option<(Instant, Duration)>,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Circuit { state: Phase::Closed, recent: VecDeque::new(), times: 0, last: None }
    }

    /// Steps on by time alone.
    fn step(&mut self, options: &QuarantineOptions, now: Instant) {
        match self.state {
            Phase::Open { until } if until <= now => {
                self.state = Phase::HalfOpen { since: None, busy: false };
            }
            Phase::HalfOpen { since: Some(since), .. } if now >= since + options.pause => {
                self.state = Phase::Closed;
                self.recent.clear();
                self.last = self.last.map(|(_, pause)| (now, pause));
            }
            _ => {}
        }
    }

    pub(super) fn standing(&mut self, options: &QuarantineOptions, now: Instant) -> FileStanding {
        self.step(options, now);
        match self.state {
            Phase::Closed => FileStanding::Closed,
            Phase::Open { until } => FileStanding::Open(until),
            Phase::HalfOpen { .. } => FileStanding::HalfOpen,
        }
    }

    /// Whether and how a session may begin.
    ///
    /// # Errors
    /// How it stands, where none may.
    pub(super) fn admit(
        &mut self,
        options: &QuarantineOptions,
        now: Instant,
    ) -> Result<Admitted, FileStanding> {
        self.step(options, now);
        match &mut self.state {
            Phase::Closed => Ok(Admitted::Freely),
            Phase::HalfOpen { since, busy } if !*busy => {
                since.get_or_insert(now);
                *busy = true;
                Ok(Admitted::OnTrial)
            }
            Phase::HalfOpen { .. } => Err(FileStanding::HalfOpen),
            Phase::Open { until } => Err(FileStanding::Open(*until)),
        }
    }

    /// The session that tried has begun, or ended.
    pub(super) fn tried(&mut self) {
        if let Phase::HalfOpen { busy, .. } = &mut self.state {
            *busy = false;
        }
    }

    /// Counts a panic; returns whether no session begins from now on.
    pub(super) fn panicked(
        &mut self,
        options: &QuarantineOptions,
        now: Instant,
    ) -> Option<Tripped> {
        self.step(options, now);
        let most = options.panics as usize;
        if most == 0 {
            return None;
        }
        self.recent.push_back(now);
        self.recent.retain(|at| now < *at + options.window);
        let panics = self.recent.len();
        match self.state {
            Phase::Open { .. } => {
                self.recent.pop_front();
                None
            }
            Phase::Closed if panics < most => None,
            Phase::Closed | Phase::HalfOpen { .. } => {
                let is_anew = self.last.is_none_or(|(ended, pause)| {
                    self.state == Phase::Closed && now >= ended + pause
                });
                self.times = if is_anew { 1 } else { self.times.saturating_add(1) };
                let doubled = 2u32.saturating_pow(self.times - 1);
                let pause = options.pause.saturating_mul(doubled).min(options.max_pause);
                self.state = Phase::Open { until: now + pause };
                self.last = Some((now + pause, pause));
                self.recent.clear();
                Some(Tripped { pause, panics })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn options() -> QuarantineOptions {
        QuarantineOptions {
            panics: 3,
            window: 60 * SECOND,
            pause: 10 * SECOND,
            max_pause: 35 * SECOND,
            ..QuarantineOptions::default()
        }
    }

    fn open(circuit: &mut Circuit, now: Instant) -> Duration {
        assert_eq!(circuit.panicked(&options(), now), None);
        assert_eq!(circuit.panicked(&options(), now), None);
        circuit.panicked(&options(), now).expect("the third").pause
    }

    #[test]
    fn only_panics_within_the_window_count() {
        let (mut circuit, start) = (Circuit::new(), Instant::now());
        for minutes in 0..100 {
            assert_eq!(circuit.panicked(&options(), start + minutes * 31 * SECOND), None);
        }
        let now = start + 99 * 31 * SECOND;
        assert!(circuit.panicked(&options(), now).is_some());
        assert_eq!(circuit.admit(&options(), now), Err(FileStanding::Open(now + 10 * SECOND)));
    }

    #[test]
    fn after_the_pause_one_at_a_time_tries_and_a_panic_doubles_the_pause() {
        let (mut circuit, mut now) = (Circuit::new(), Instant::now());
        assert_eq!(open(&mut circuit, now), 10 * SECOND);
        for pause in [20, 35, 35] {
            let FileStanding::Open(until) = circuit.standing(&options(), now) else {
                panic!("open")
            };
            now = until;
            assert_eq!(circuit.admit(&options(), now), Ok(Admitted::OnTrial));
            assert_eq!(circuit.admit(&options(), now), Err(FileStanding::HalfOpen));
            circuit.tried();
            assert_eq!(circuit.admit(&options(), now), Ok(Admitted::OnTrial));
            let opened = circuit.panicked(&options(), now).expect("it tried");
            assert_eq!(opened.pause, pause * SECOND);
            circuit.tried();
            assert_eq!(circuit.panicked(&options(), now), None, "of a session that was open");
        }
    }

    #[test]
    fn behaving_for_a_while_closes_it_and_for_longer_makes_it_forget() {
        let (mut circuit, mut now) = (Circuit::new(), Instant::now());
        open(&mut circuit, now);
        now += 10 * SECOND;
        assert_eq!(circuit.standing(&options(), now), FileStanding::HalfOpen);
        now += 3600 * SECOND;
        assert_eq!(circuit.standing(&options(), now), FileStanding::HalfOpen, "nothing has tried");
        assert_eq!(circuit.admit(&options(), now), Ok(Admitted::OnTrial));
        now += 10 * SECOND;
        assert_eq!(circuit.admit(&options(), now), Ok(Admitted::Freely));
        assert_eq!(open(&mut circuit, now), 20 * SECOND, "again so soon");
        now += 20 * SECOND;
        assert_eq!(circuit.admit(&options(), now), Ok(Admitted::OnTrial));
        now += 10 * SECOND;
        assert_eq!(circuit.standing(&options(), now), FileStanding::Closed);
        now += 20 * SECOND;
        assert_eq!(open(&mut circuit, now), 10 * SECOND);
    }

    #[test]
    fn zero_never_opens() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        let never = QuarantineOptions { panics: 0, ..options() };
        for _ in 0..1000 {
            assert_eq!(circuit.panicked(&never, now), None);
        }
        assert_eq!(circuit.standing(&never, now), FileStanding::Closed);
    }
}
