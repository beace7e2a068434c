//! The nearest valid name to a mistyped one, for error messages.

/// Names longer than this (in bytes) are never compared, so that hostile input costs nothing.
const MAX_LEN: usize = 128;

/// The candidate that `name` was most likely meant to be, or `None` when nothing is close.
///
/// Close means: equal but for case, or at most one edit (insert, delete, replace, swap of
/// neighbours) per three characters of `name`, and at least one edit for short names. Of equally
/// close candidates the first wins.
pub fn did_you_mean<'a, I, S>(name: &str, candidates: I) -> Option<&'a str>
where
    I: IntoIterator<Item = &'a S>,
    S: AsRef<str> + ?Sized + 'a,
{
    if name.is_empty() || name.len() > MAX_LEN {
        return None;
    }
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().map(AsRef::as_ref) {
        if candidate.len() > MAX_LEN || candidate == name {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn finds_the_closest_name_and_only_when_close() {
        let names = ["plugins", "cache", "timeouts", "limits"];
        for (typed, expected) in [
            ("plugin", Some("plugins")),
            ("pluigns", Some("plugins")),
            ("Cache", Some("cache")),
            ("timeout", Some("timeouts")),
            ("zebra", None),
            ("", None),
            ("c", None),
        ] {
            assert_eq!(did_you_mean(typed, &names), expected, "{typed}");
        }
    }

    #[test]
    fn the_first_of_equally_close_names_wins() {
        assert_eq!(did_you_mean("tcq", &["tcp", "tcr"]), Some("tcp"));
    }

    #[test]
    fn very_long_names_are_not_compared() {
        let long = "a".repeat(100_000);
        assert_eq!(did_you_mean(&long, &[long.as_str(), "a"]), None);
    }
}
