//! Topics and filters (MQTT 5.0 §4.7, 3.1.1 §4.7): what is one, and what matches what.

/// The most bytes of a topic or filter: a length of two bytes stands before it (§1.5.4).
pub(crate) const LONGEST: usize = 65_535;

/// What the filter of a shared subscription begins with (MQTT 5.0 §4.8.2).
const SHARE: &str = "$share/";

/// Whether messages can be published to `topic`.
pub(crate) fn is_topic(topic: &str) -> bool {
    is_text(topic) && !topic.contains(['+', '#'])
}

/// Whether `filter` can be subscribed to: `+` and `#` stand for whole levels, `#` at the end only. One that is
/// shared has a name of its group, and a filter.
pub(crate) fn is_filter(filter: &str) -> bool {
    let Some(shared) = filter.strip_prefix(SHARE) else { return is_plain_filter(filter) };
    let Some((group, filter)) = shared.split_once('/') else { return false };
    !group.is_empty() && !group.contains(['+', '#']) && is_text(group) && is_plain_filter(filter)
}

fn is_plain_filter(filter: &str) -> bool {
    if !is_text(filter) {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let whole = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !whole {
            return false;
        }
    }
    true
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.contains('\0')
}

/// The group of a shared subscription and its filter; `None` for the group of one that is not shared.
pub(crate) fn shared(filter: &str) -> (Option<&str>, &str) {
    match filter.strip_prefix(SHARE).and_then(|rest| rest.split_once('/')) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, filter),
    }
}

/// Whether `topic` matches `filter`, which is not shared. A topic that begins with `$` matches no wildcard at its
/// first level (§4.7.2).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether `pattern` matches every topic that `filter` does; neither is shared.
pub(crate) fn covers(pattern: &str, filter: &str) -> bool {
    // Wildcards at the first level leave topics of the server alone.
    if filter.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = filter.split('/');
    for allowed in pattern.split('/') {
        if allowed == "#" {
            return true;
        }
        match levels.next() {
            Some("#") | None => return false,
            Some(level) if allowed == "+" || allowed == level => {}
            Some(_) => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::{covers, is_filter, is_topic, matches, shared};

    #[test]
    fn a_pattern_covers_filters_that_match_nothing_else() {
        for (pattern, filter, fits) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/b", "a/+", false),
            ("a/+", "a/#", false),
            ("a/#", "a/#", true),
            ("a/#", "a", true),
            ("a/#", "a/+/c/#", true),
            ("a/#", "#", false),
            ("#", "#", true),
            ("#", "+/a", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/+", true),
            ("a/+/c", "a/b/c/d", false),
            ("a/+/c", "a/b", false),
        ] {
            assert_eq!(covers(pattern, filter), fits, "{pattern} {filter}");
        }
    }

    #[test]
    fn wildcards_stand_for_whole_levels() {
        for (filter, topic, fits) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/+", "/b", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+", "/a", false),
        ] {
            assert_eq!(matches(filter, topic), fits, "{filter} {topic}");
        }
    }

    #[test]
    fn topics_have_no_wildcards_and_filters_have_them_at_their_places() {
        for (text, topic, filter) in [
            ("a", true, true),
            ("/", true, true),
            ("a/+/b", false, true),
            ("a/b+", false, false),
            ("a/#", false, true),
            ("a/#/b", false, false),
            ("a#", false, false),
            ("", false, false),
            ("a\0", false, false),
            ("$share/g/a/#", false, true),
            ("$share/g", true, false),
            ("$share//a", true, false),
            ("$share/+/a", false, false),
        ] {
            assert_eq!((is_topic(text), is_filter(text)), (topic, filter), "{text:?}");
        }
        assert!(!is_topic(&"a".repeat(65_536)));
        assert_eq!(shared("$share/g/a/b"), (Some("g"), "a/b"));
        assert_eq!(shared("a/b"), (None, "a/b"));
    }
}
