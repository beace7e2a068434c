//! The answer to `time`, made of the best of several samples.

use crate::exchange::{Sample, clock};
use crate::operations::Time;
use crate::options::Leap;
use crate::packet::seconds_of_short;
use crate::stamp::UnixNanos;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const NANOS: f64 = 1e9;

/// A moment as RFC 3339 has it; none after the year 9999.
pub(crate) fn text(unix: UnixNanos) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(unix).ok()?.format(&Rfc3339).ok()
}

#[expect(clippy::cast_precision_loss, reason = "a fraction of a microsecond of a time")]
fn seconds(nanos: i128) -> f64 {
    nanos as f64 / NANOS
}

/// The time now, by the sample with the least delay: what was longest under way is the least exact.
///
/// # Errors
/// If there is none.
pub(crate) fn time(samples: &[Sample]) -> Result<Time> {
    let best = samples.iter().min_by_key(|sample| sample.delay);
    let best = best.ok_or_else(|| Error::new(ErrorKind::TimedOut, "no server has answered"))?;
    let now = clock() + best.offset;
    let squares: f64 =
        samples.iter().map(|sample| seconds(sample.offset - best.offset).powi(2)).sum();
    let others = u32::try_from(samples.len() - 1).unwrap_or(u32::MAX);
    let answer = &best.answer;
    Ok(Time {
        time: text(now).unwrap_or_default(),
        unix: seconds(now),
        unix_ms: i64::try_from(now.div_euclid(1_000_000)).unwrap_or(i64::MAX),
        offset: seconds(best.offset),
        delay: seconds(best.delay),
        jitter: if others == 0 { 0.0 } else { (squares / f64::from(others)).sqrt() },
        samples: others + 1,
        ignored: samples.iter().map(|sample| sample.ignored).sum(),
        server: best.server.to_string(),
        version: answer.version,
        stratum: answer.stratum,
        leap: Leap::of_bits(answer.leap).word().to_owned(),
        reference_id: answer.reference_text(),
        reference_time: (!answer.reference.is_none())
            .then(|| text(answer.reference.near(best.at)))
            .flatten(),
        precision: f64::from(answer.precision).exp2(),
        root_delay: seconds_of_short(answer.root_delay),
        root_dispersion: seconds_of_short(answer.root_dispersion),
    })
}
