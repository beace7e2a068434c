//! [`Stamp`]: a moment as packets have it, and as the rest of this machine does.

/// Seconds from 1900 to 1970 (RFC 868).
const TO_1970: i128 = 2_208_988_800;
/// Seconds after which stamps begin again: 1900, 2036, 2172 (RFC 5905 §6).
const ERA: i128 = 1 << 32;
const NANOS: i128 = 1_000_000_000;
/// 2026-01-01: a clock that shows less has not been set, and says nothing of the era.
const EARLIEST: i128 = 1_767_225_600 * NANOS;

/// A moment of RFC 5905 §6: seconds since 1900 in the upper 32 bits, modulo 2³², and a fraction. 0 says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(pub u64);

/// A moment in nanoseconds since 1970-01-01 UTC, without leap seconds.
pub(crate) type UnixNanos = i128;

impl Stamp {
    /// The stamp of a moment in any era, in nanoseconds since 1970.
    pub fn of(unix: i128) -> Self {
        let seconds = unix.div_euclid(NANOS) + TO_1970;
        let fraction = (unix.rem_euclid(NANOS) << 32) / NANOS;
        let seconds = u64::try_from(seconds.rem_euclid(ERA)).unwrap_or_default();
        Stamp(seconds << 32 | u64::try_from(fraction).unwrap_or_default())
    }

    /// The moment that it means: in nanoseconds since 1970, of all eras the one
    /// nearest to `near`, which is what the clock of this machine shows.
    pub fn near(self, near: i128) -> i128 {
        let near = near.max(EARLIEST);
        let seconds = i128::from(self.0 >> 32) - TO_1970;
        // Rounded to the nearest, so that a moment goes there and back.
        let fraction = (i128::from(self.0 & 0xffff_ffff) * NANOS + (1 << 31)) >> 32;
        let first = seconds * NANOS + fraction;
        let era = (near - first + ERA * NANOS / 2).div_euclid(ERA * NANOS);
        first + era * ERA * NANOS
    }

    /// Whether it says nothing.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}
