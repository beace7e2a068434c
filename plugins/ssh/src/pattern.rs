//! Patterns as OpenSSH has them (`PATTERNS` in ssh_config(5)): `*` for any text, `?` for one character.

/// Whether `pattern` matches the whole of `text`, without regard to case. Linear in time for each star.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, from));
                at += 1;
            }
            (Some(letter), _) if *letter == b'?' || *letter == text[from] => {
                at += 1;
                from += 1;
            }
            // What the last star takes grows by one, and the rest is tried again.
            (_, Some((after, start))) => {
                star = Some((after, start + 1));
                at = after;
                from = start + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn stars_take_any_text_and_question_marks_one_character() {
        assert!(matches_pattern("a*b*c", "aXbYbZc") && !matches_pattern("a*b*c", "aXbYbZ"));
        assert!(matches_pattern("*", "") && matches_pattern("B?d.lab", "bad.LAB"));
        assert!(!matches_pattern("?", "") && !matches_pattern("", "a"));
    }
}
