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
    /// These, in the order asked for; two or more, none of which meets another.
    Ranges(Vec<Range<u64>>),
}

/// The most ranges that are answered.
const RANGES: usize = 16;

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

/// The ranges that lie inside. The whole where one is no range, and where so much is asked for that it
/// cannot be meant well (RFC 9110 §17.15): too many, or some twice.
fn ranged(field: &str, length: u64) -> Part {
    let each = field.trim_start_matches("bytes=").split(',').map(str::trim);
    let mut inside: Vec<Range<u64>> = Vec::new();
    for (index, range) in each.filter(|range| !range.is_empty()).enumerate() {
        let Ok(parsed) = parse_range_header(&format!("bytes={range}")) else { return Part::Whole };
        if index == RANGES {
            return Part::Whole;
        }
        // One that lies outside is passed over.
        let valid = parsed.validate(length).ok().and_then(|ranges| ranges.into_iter().next());
        inside.extend(valid.map(|at| *at.start()..at.end().saturating_add(1).min(length)));
    }
    let meets = |(index, one): (usize, &Range<u64>)| {
        inside.iter().skip(index + 1).any(|two| one.start < two.end && two.start < one.end)
    };
    if inside.iter().enumerate().any(meets) {
        return Part::Whole;
    }
    match inside.len() {
        0 => Part::Outside,
        1 => inside.pop().map_or(Part::Outside, Part::Range),
        _ => Part::Ranges(inside),
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
            coding: None,
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
            ("bytes=8-9, 0-1,3-3", Part::Ranges(vec![8..10, 0..2, 3..4])),
            ("bytes=0-1,10-12", Part::Range(0..2)),
            ("bytes=10-12,11-", Part::Outside),
            ("bytes=0-4,4-5", Part::Whole),
            ("bytes=-5,0-", Part::Whole),
            ("bytes=0-1,x", Part::Whole),
            (&format!("bytes={}", "0-0,".repeat(17)), Part::Whole),
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
