//! Whether a target may serve: a state machine without a clock, a lock or a socket.
//!
//! ```text
//!               failures in a row                ejection ends
//!   ┌───────┐ ───────────────────▶ ┌─────────┐ ────────────────▶ ┌───────────┐
//!   │ closed │                     │ ejected │                   │ half open │
//!   └───────┘ ◀─────────────────── └─────────┘ ◀──────────────── └───────────┘
//!       ▲      a session opens, or `rise` checks    it fails           │
//!       └──────────────────────────────────────────────────────────────┘
//!                      the one session that tries opens
//! ```
//!
//! Beside it stands the word of active checks: down after `fall` failed ones in a row, up after
//! `rise` passed ones. A target serves if it is up and not ejected; half open it is given one
//! session at a time. Each further ejection lasts longer by the length of the first, at most ten
//! times as long; a target that behaved for as long as its last ejection begins anew.

use super::options::HealthOptions;
use std::time::Duration;
use tokio::time::Instant;

/// The longest ejection, in lengths of the first.
const LONGEST: u32 = 10;

/// Steps in which a recovered target gets its share back.
const STEPS: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breaker {
    Closed,
    Ejected { until: Instant },
    HalfOpen,
}

/// Whether, and how much, a target serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It serves.
    Up,
    /// It has recovered and serves a growing part of its share, in percent.
    Starting(u32),
    /// It is tried with one session at a time.
    HalfOpen,
    /// It failed too often and rests until then.
    Ejected(Instant),
    /// Active checks find it dead.
    Down,
}

impl Standing {
    /// As it is written in snapshots.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Up => "up",
            Standing::Starting(_) => "starting",
            Standing::HalfOpen => "half_open",
            Standing::Ejected(_) => "ejected",
            Standing::Down => "down",
        }
    }

    /// The part of its share that it gets, in percent; 0 if it does not serve.
    pub fn percent(self) -> u32 {
        match self {
            Standing::Up | Standing::HalfOpen => 100,
            Standing::Starting(percent) => percent,
            Standing::Ejected(_) | Standing::Down => 0,
        }
    }
}

/// The health of one target.
#[derive(Clone, Debug)]
pub struct TargetHealth {
    down: bool,
    passed: u32,
    missed: u32,
    failures: u32,
    /// The row that an opening ended, until a session that opened has ended well: a target that accepts
    /// and then fails has ended nothing.
    doubted: u32,
    circuit: Breaker,
    ejections: u32,
    /// When the last ejection ended, and how long it was.
    last_ejection: Option<(Instant, Duration)>,
    recovered: Option<Instant>,
}

impl Default for TargetHealth {
    fn default() -> Self {
        TargetHealth {
            down: false,
            passed: 0,
            missed: 0,
            failures: 0,
            doubted: 0,
            circuit: Breaker::Closed,
            ejections: 0,
            last_ejection: None,
            recovered: None,
        }
    }
}

impl TargetHealth {
    /// The health of a target that was added to those that run already.
    pub fn added(now: Instant, options: &HealthOptions) -> Self {
        let mut health = TargetHealth::default();
        health.recover(now, options);
        health
    }

    /// An active check was answered. Returns whether the standing may have changed.
    pub fn check_passed(&mut self, now: Instant, options: &HealthOptions) -> bool {
        self.missed = 0;
        self.passed = self.passed.saturating_add(1);
        if self.passed < options.checks.rise || !(self.down || self.is_ejected()) {
            return false;
        }
        self.down = false;
        self.close(now, options);
        true
    }

    /// An active check was not answered. Returns whether the standing may have changed.
    pub fn check_failed(&mut self, options: &HealthOptions) -> bool {
        self.passed = 0;
        self.missed = self.missed.saturating_add(1);
        let falls = self.missed >= options.checks.fall && !self.down;
        self.down |= falls;
        falls
    }

    /// A session was opened, which ends a row of failures, however long, unless the session then fails
    /// itself. Returns whether the standing may have changed.
    pub fn succeeded(&mut self, now: Instant, options: &HealthOptions) -> bool {
        self.doubted = self.doubted.max(self.failures);
        self.failures = 0;
        let was = self.circuit;
        if was != Breaker::Closed {
            self.close(now, options);
        }
        was != Breaker::Closed
    }

    /// A session that opened has ended, and not by a fault of the target's.
    pub fn ended_well(&mut self) {
        self.doubted = 0;
    }

    /// A session could not be opened or, with `opened`, failed before it did anything. It ejects
    /// only if `may_eject`, or if the target was ejected before and is being tried. Returns whether
    /// the standing may have changed.
    pub fn failed(
        &mut self,
        opened: bool,
        may_eject: bool,
        now: Instant,
        options: &HealthOptions,
    ) -> bool {
        if opened {
            self.failures = self.failures.max(std::mem::take(&mut self.doubted));
        }
        self.failures = self.failures.saturating_add(1);
        let eject = match self.circuit {
            Breaker::Closed => may_eject && self.failures >= options.outlier.consecutive_failures,
            Breaker::HalfOpen => true,
            // What began before the ejection says nothing new.
            Breaker::Ejected { .. } => false,
        };
        if eject {
            self.eject(now, options);
        }
        eject
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is ejected or half open.
    pub fn is_ejected(&self) -> bool {
        self.circuit != Breaker::Closed
    }

    /// Whether one session at a time may try it.
    pub fn is_half_open(&self) -> bool {
        self.circuit == Breaker::HalfOpen
    }

    /// Whether a success would be news.
    pub fn is_troubled(&self) -> bool {
        self.failures > 0 || self.doubted > 0 || self.is_ejected()
    }

    /// Lets time pass. Returns whether the standing may have changed.
    pub fn tick(&mut self, now: Instant, options: &HealthOptions) -> bool {
        let mut changed = false;
        if matches!(self.circuit, Breaker::Ejected { until } if until <= now) {
            self.circuit = Breaker::HalfOpen;
            changed = true;
        }
        if let Some(recovered) = self.recovered {
            // A step of the ramp is a change too.
            changed = true;
            if now >= recovered + options.slow_start {
                self.recovered = None;
            }
        }
        changed
    }

    /// Whether, and how much, it serves.
    pub fn standing(&self, now: Instant, options: &HealthOptions) -> Standing {
        let stands = self.stands();
        if stands != Standing::Up {
            return stands;
        }
        match self.recovered.map(|since| steps(since, now, options)) {
            Some(steps @ 1..STEPS) => Standing::Starting(steps * 100 / STEPS),
            _ => Standing::Up,
        }
    }

    /// As [`TargetHealth::standing`], with a target that serves a part of its share as one that serves.
    pub fn stands(&self) -> Standing {
        match (self.down, self.circuit) {
            (true, _) => Standing::Down,
            (_, Breaker::Ejected { until }) => Standing::Ejected(until),
            (_, Breaker::HalfOpen) => Standing::HalfOpen,
            (_, Breaker::Closed) => Standing::Up,
        }
    }

    /// When time next changes the standing by itself.
    pub fn due(&self, now: Instant, options: &HealthOptions) -> Option<Instant> {
        if let Breaker::Ejected { until } = self.circuit {
            return Some(until);
        }
        let since = self.recovered?;
        Some(since + options.slow_start * steps(since, now, options).min(STEPS) / STEPS)
    }

    fn close(&mut self, now: Instant, options: &HealthOptions) {
        if self.is_ejected() {
            self.last_ejection = Some((now, self.ejection(options)));
        }
        self.circuit = Breaker::Closed;
        self.failures = 0;
        self.recover(now, options);
    }

    fn recover(&mut self, now: Instant, options: &HealthOptions) {
        self.recovered = (!options.slow_start.is_zero()).then_some(now);
    }

    fn eject(&mut self, now: Instant, options: &HealthOptions) {
        if self.last_ejection.take().is_some_and(|(ended, length)| now >= ended + length) {
            self.ejections = 0;
        }
        self.ejections = (self.ejections + 1).min(LONGEST);
        self.recovered = None;
        self.circuit = Breaker::Ejected { until: now + self.ejection(options) };
    }

    fn ejection(&self, options: &HealthOptions) -> Duration {
        options.outlier.base_ejection * self.ejections
    }
}

/// The step of its slow start that a target is in, from 1; more than the last when it is over.
fn steps(since: Instant, now: Instant, options: &HealthOptions) -> u32 {
    let passed = now.saturating_duration_since(since).as_nanos() * u128::from(STEPS);
    let steps = passed / options.slow_start.as_nanos().max(1);
    u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
