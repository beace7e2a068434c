//! What one target carries at this moment, in atomics: read by every pick, written without a lock. What a
//! pick calls is small and may be copied into other crates, where picking is generic.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// No limit of sessions at once.
pub(super) const NO_LIMIT: u32 = u32::MAX;

/// Time in which an old latency loses most of its say, in milliseconds.
const DECAY: f32 = 10_000.0;

/// Whether sessions may pass to a target whose ejection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum TrialGate {
    /// All may.
    Open = 0,
    /// One may, to try.
    Trial = 1,
    /// The one that tries is under way.
    Trying = 2,
}

/// Counters of one target; they live as long as the target or a session to it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Load {
    in_flight: AtomicU32,
    limit: AtomicU32,
    gate: AtomicU8,
    /// Set while failures are recorded, so that the next success must be reported.
    troubled: AtomicU8,
    /// The moving latency in nanoseconds (`f32` bits, 0 if unknown), and when it was last measured,
    /// in milliseconds: one word, so that both always belong together.
    latency: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            in_flight: AtomicU32::new(0),
            limit: AtomicU32::new(NO_LIMIT),
            gate: AtomicU8::new(TrialGate::Open as u8),
            troubled: AtomicU8::new(0),
            latency: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

impl Load {
    /// Sessions that live or are being opened.
    #[inline]
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// As [`Load::in_flight`]; [`NO_LIMIT`] when no further session may pass.
    #[inline]
    pub(super) fn room(&self) -> u32 {
        let in_flight = self.in_flight();
        let full = in_flight >= self.limit.load(Ordering::Relaxed);
        if full || self.gate.load(Ordering::Relaxed) == TrialGate::Trying as u8 {
            return NO_LIMIT;
        }
        in_flight
    }

    /// Takes a place; returns whether it is the trial session, or `None` if there is no place.
    #[inline]
    pub(super) fn enter(&self) -> Option<bool> {
        let trial = match self.gate.load(Ordering::Acquire) {
            gate if gate == TrialGate::Open as u8 => false,
            _ => {
                self.step_gate(TrialGate::Trial, TrialGate::Trying)?;
                true
            }
        };
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == NO_LIMIT {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            return Some(trial);
        }
        let one_more = |count: u32| (count < limit).then(|| count + 1);
        if self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).is_err() {
            if trial {
                self.step_gate(TrialGate::Trying, TrialGate::Trial);
            }
            return None;
        }
        Some(trial)
    }

    /// Gives a place back.
    #[inline]
    pub(super) fn leave(&self, trial: bool) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if trial {
            self.step_gate(TrialGate::Trying, TrialGate::Trial);
        }
    }

    fn step_gate(&self, from: TrialGate, to: TrialGate) -> Option<()> {
        let (from, to) = (from as u8, to as u8);
        self.gate.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).ok().map(drop)
    }

    pub(super) fn set_gate(&self, gate: TrialGate) {
        self.gate.store(gate as u8, Ordering::Release);
    }

    pub(super) fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire) != 0
    }

    pub(super) fn set_troubled(&self, troubled: bool) {
        self.troubled.store(u8::from(troubled), Ordering::Release);
    }

    pub(super) fn count(&self, success: bool) {
        let counter = if success { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions opened, and attempts and sessions failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.succeeded.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Takes a measured latency into the moving one: a longer one at once, shorter ones by and by.
    pub(super) fn measured(&self, nanos: f32, millis: u32) {
        let blend = |word: u64| {
            let (old, at) = unpack(word);
            let blended = if nanos >= old {
                nanos
            } else {
                let keep = (-age(at, millis) / DECAY).exp();
                old * keep + nanos * (1.0 - keep)
            };
            Some(pack(blended.max(1.0), millis))
        };
        // The closure never refuses.
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, blend);
    }

    /// The moving latency in nanoseconds; 0 if unknown. It fades while there is no measurement, so that a
    /// target once slow is tried again.
    #[inline]
    pub(super) fn latency(&self, millis: u32) -> f32 {
        let (value, at) = unpack(self.latency.load(Ordering::Relaxed));
        value / (1.0 + age(at, millis) / DECAY)
    }

    /// Forgets the latency: what recovers or begins is not what it was.
    pub(super) fn forget_latency(&self) {
        self.latency.store(0, Ordering::Relaxed);
    }
}

fn pack(value: f32, millis: u32) -> u64 {
    u64::from(value.to_bits()) << 32 | u64::from(millis)
}

fn unpack(word: u64) -> (f32, u32) {
    let [low, high] = [word & u64::from(u32::MAX), word >> 32];
    (f32::from_bits(u32::try_from(high).unwrap_or(0)), u32::try_from(low).unwrap_or(0))
}

#[expect(clippy::cast_precision_loss, reason = "an age needs no more than three digits")]
fn age(at: u32, now: u32) -> f32 {
    // Clocks of other threads may be a moment behind; the count wraps after 49 days.
    let age = now.wrapping_sub(at);
    if age > u32::MAX / 2 { 0.0 } else { age as f32 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_passed_and_places_come_back() {
        let load = Load::default();
        load.set_limit(Some(2));
        assert_eq!((load.enter(), load.enter(), load.enter()), (Some(false), Some(false), None));
        assert_eq!(load.room(), NO_LIMIT);
        load.leave(false);
        assert_eq!(load.room(), 1);
        assert_eq!(load.enter(), Some(false));
    }

    #[test]
    fn one_session_at_a_time_tries_a_target() {
        let load = Load::default();
        load.set_gate(TrialGate::Trial);
        assert_eq!((load.enter(), load.enter()), (Some(true), None));
        // Given up without an answer: the next may try.
        load.leave(true);
        assert_eq!(load.enter(), Some(true));
        // Decided meanwhile: leaving changes nothing.
        load.set_gate(TrialGate::Open);
        load.leave(true);
        assert_eq!((load.enter(), load.enter()), (Some(false), Some(false)));
    }

    #[test]
    fn latency_rises_at_once_and_falls_by_and_by() {
        let load = Load::default();
        assert_eq!(load.latency(0), 0.0);
        load.measured(100.0, 0);
        load.measured(900.0, 10);
        assert_eq!(load.latency(10), 900.0);
        load.measured(100.0, 1_010);
        let after_a_second = load.latency(1_010);
        assert!((800.0..900.0).contains(&after_a_second), "{after_a_second}");
        // Half of it after ten seconds without a measurement.
        assert!((load.latency(11_010) - after_a_second / 2.0).abs() < 1.0);
        assert_eq!(load.latency(1_000), after_a_second, "a clock that is behind");
    }
}
