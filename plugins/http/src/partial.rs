//! Conditions and ranges (RFC 9110 §13, §14): how much of a file a request gets.

use crate::folder::Opened;
use http_range_header::parse_range_header;
use jackfield_plugin_api::HeaderBlock;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// How much of a file a request gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Nothing: the client has it.
    Unchanged,
    /// Nothing: it is not what the client takes it for.
    Failed,
    /// Nothing: the range is outside.
    Outside,
    /// All.
    Whole,
    /// These bytes.
    Range(Range<u64>),
}

/// In the order of RFC 9110 §13.2.2.
pub(crate) fn choose(head: &HeaderBlock, file: &Opened) -> Part {
    let text = |name: &str| head.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let date = |name: &str| text(name).and_then(|text| httpdate::parse_http_date(text).ok());
    let changed = file.changed.map(whole_seconds);
    let failed = match text("if-match") {
        Some(tags) => !has(tags, &file.etag, false),
        None => date("if-unmodified-since").zip(changed).is_some_and(|(since, at)| at > since),
    };
    if failed {
        return Part::Failed;
    }
    let unchanged = match text("if-none-match") {
        Some(tags) => has(tags, &file.etag, true),
        None => date("if-modified-since").zip(changed).is_some_and(|(since, at)| at <= since),
    };
    if unchanged {
        return Part::Unchanged;
    }
    let still = match text("if-range") {
        None => true,
        Some(tag) if tag.contains('"') => tag == file.etag,
        Some(_) => date("if-range").is_some() && date("if-range") == changed,
    };
    match text("range").filter(|range| still && range.starts_with("bytes=")) {
        Some(range) => ranged(range, file.length),
        None => Part::Whole,
    }
}

/// One range is given; of several, and of what is no range, the whole is.
fn ranged(range: &str, length: u64) -> Part {
    let Ok(ranges) = parse_range_header(range) else { return Part::Whole };
    if ranges.ranges.len() != 1 {
        return Part::Whole;
    }
    match ranges.validate(length).ok().and_then(|ranges| ranges.into_iter().next()) {
        Some(range) => Part::Range(*range.start()..range.end().saturating_add(1).min(length)),
        None => Part::Outside,
    }
}

/// Dates of HTTP have no fractions.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn has(tags: &str, own: &str, weak: bool) -> bool {
    let same = |tag: &str| match tag.strip_prefix("W/") {
        Some(tag) => weak && tag == own,
        None => tag == own,
    };
    tags.trim() == "*" || tags.split(',').map(str::trim).any(same)
}

#[cfg(test)]
mod tests {
    use super::{Part, choose};
    use crate::folder::Opened;
    use jackfield_plugin_api::HeaderBlock;
    use std::time::{Duration, SystemTime};

    fn chosen(fields: &[(&str, &str)]) -> Part {
        let file = Opened {
            file: tempfile::tempfile().unwrap(),
            length: 10,
            // 1994-11-15, 08:12:31 and a half.
            changed: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(784_887_151_500)),
            etag: "\"tag\"".into(),
            kind: "text/plain".into(),
        };
        choose(&HeaderBlock::new(fields.iter().copied()).unwrap(), &file)
    }

    #[test]
    fn ranges_lie_inside() {
        for (range, part) in [
            ("bytes=0-0", Part::Range(0..1)),
            ("bytes=2-4", Part::Range(2..5)),
            ("bytes=8-", Part::Range(8..10)),
            ("bytes=8-99", Part::Range(8..10)),
            ("bytes=-3", Part::Range(7..10)),
            ("bytes=10-", Part::Outside),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=x", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes=18446744073709551616-", Part::Whole),
        ] {
            assert_eq!(chosen(&[("range", range)]), part, "{range}");
        }
    }

    #[test]
    fn conditions_hold_in_their_order() {
        const AT: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
        const BEFORE: &str = "Tue, 15 Nov 1994 08:12:30 GMT";
        let range = ("range", "bytes=0-0");
        for (fields, part) in [
            (vec![("if-none-match", "\"a\", W/\"tag\"")], Part::Unchanged),
            (vec![("if-none-match", "*")], Part::Unchanged),
            (vec![("if-none-match", "\"a\""), ("if-modified-since", AT)], Part::Whole),
            (vec![("if-modified-since", AT)], Part::Unchanged),
            (vec![("if-modified-since", BEFORE)], Part::Whole),
            (vec![("if-modified-since", "yesterday")], Part::Whole),
            (vec![("if-match", "W/\"tag\"")], Part::Failed),
            (vec![("if-match", "\"tag\"")], Part::Whole),
            (vec![("if-unmodified-since", BEFORE)], Part::Failed),
            (vec![("if-range", "\"tag\""), range], Part::Range(0..1)),
            (vec![("if-range", "\"other\""), range], Part::Whole),
            (vec![("if-range", AT), range], Part::Range(0..1)),
            (vec![("if-range", BEFORE), range], Part::Whole),
        ] {
            assert_eq!(chosen(&fields), part, "{fields:?}");
        }
    }
}
