//! Clocks of engines (RFC 3414 §2.2 and §3.2).

use std::time::Duration;

/// Seconds that a message may be late (RFC 3414 §2.2.3).
const WINDOW: i32 = 150;
/// Boots of an engine that takes nothing any more (RFC 3414 §2.2.2).
const WORN_OUT: i32 = i32::MAX;

/// The clock of another engine, as far as it has shown it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    boots: i32,
    /// Its latest time, and when we heard of it.
    time: i32,
    heard: Duration,
    /// Whether a message that was authenticated has said so.
    proven: bool,
}

impl Clock {
    /// As an engine says without proof: good for sending, not for judging.
    pub(crate) fn said(boots: i32, time: i32, now: Duration) -> Self {
        Clock { boots, time, heard: now, proven: false }
    }

    /// What to put into a message.
    pub(crate) fn now(&self, now: Duration) -> (i32, i32) {
        let since = i32::try_from(now.saturating_sub(self.heard).as_secs()).unwrap_or(i32::MAX);
        (self.boots, self.time.saturating_add(since))
    }

    /// Judges an authenticated message of that engine, and learns from it (RFC 3414 §3.2 step 7b).
    ///
    /// # Errors
    /// It is not in the time window.
    pub(crate) fn check(&mut self, boots: i32, time: i32, now: Duration) -> Result<(), String> {
        if !self.proven || boots > self.boots || boots == self.boots && time > self.time {
            *self = Clock { boots, time, heard: now, proven: true };
        }
        let (ours, our_time) = self.now(now);
        if ours == WORN_OUT || boots < ours || time < our_time.saturating_sub(WINDOW) {
            return Err(format!(
                "a message of boot {boots}, second {time} is not in the time window of its engine, which is at boot \
                 {ours}, second {our_time}"
            ));
        }
        Ok(())
    }
}

/// Our own engine: of those who send us informs, and of traps that we send.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) id: Vec<u8>,
    boots: i32,
    started: Duration,
}

impl Own {
    /// Counts minutes since 2020 as boots: each start has more than the one before, and nothing is to be kept.
    pub(crate) fn new(id: Vec<u8>, now: Duration) -> Self {
        const YEAR_2020: u64 = 1_577_836_800;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let minutes = since.unwrap_or_default().as_secs().saturating_sub(YEAR_2020) / 60;
        Own { id, boots: i32::try_from(minutes).unwrap_or(WORN_OUT - 1), started: now }
    }

    /// An id by chance, in the form of RFC 3411 §5 with octets.
    pub(crate) fn random_id() -> Vec<u8> {
        let mut id = vec![0x80, 0, 0, 0, 5];
        id.extend_from_slice(&fastrand::u64(..).to_be_bytes());
        id
    }

    /// What our clock shows.
    pub(crate) fn now(&self, now: Duration) -> (i32, i32) {
        let since = now.saturating_sub(self.started).as_secs();
        (self.boots, i32::try_from(since).unwrap_or(i32::MAX))
    }

    /// Whether a message of somebody else, who goes by our clock, is in the time window (RFC 3414 §3.2 step 7a).
    pub(crate) fn takes(&self, boots: i32, time: i32, now: Duration) -> bool {
        let (ours, our_time) = self.now(now);
        boots == ours && (i64::from(time) - i64::from(our_time)).abs() <= i64::from(WINDOW)
    }
}
