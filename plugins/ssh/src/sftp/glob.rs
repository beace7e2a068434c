//! Patterns of paths: `*`, `?` and `[a-z]` in any of their parts, as a shell has them.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use regex::Regex;

/// One part of a path between slashes.
#[derive(Debug)]
pub(super) enum Part {
    /// A name as it is written.
    Name(String),
    /// Names that match.
    Pattern(Matcher),
}

/// Whether a name matches one part of a pattern. A dot at the beginning is matched by a dot alone.
#[derive(Debug)]
pub(super) struct Matcher {
    regex: Regex,
    hidden: bool,
}

impl Matcher {
    pub(super) fn matches(&self, name: &str) -> bool {
        (self.hidden || !name.starts_with('.')) && self.regex.is_match(name)
    }
}

/// A pattern's parts; the first says whether it begins at the root.
///
/// # Errors
/// [`ErrorKind::Config`]: a bracket that is not closed, or a range that runs backwards.
pub(super) fn parse(pattern: &str) -> Result<(bool, Vec<Part>)> {
    let parts = pattern.split('/').filter(|part| !part.is_empty()).map(part);
    Ok((pattern.starts_with('/'), parts.collect::<Result<_>>()?))
}

fn part(text: &str) -> Result<Part> {
    if !text.contains(['*', '?', '[', '\\']) {
        return Ok(Part::Name(text.to_owned()));
    }
    let mut regex = String::from("(?s)^");
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => class(text, &mut letters, &mut regex)?,
            '\\' => quote(letters.next().unwrap_or('\\'), &mut regex),
            letter => quote(letter, &mut regex),
        }
    }
    regex.push('$');
    let regex = Regex::new(&regex).map_err(|_| wrong(text, "a range that is none"))?;
    Ok(Part::Pattern(Matcher { regex, hidden: text.starts_with('.') }))
}

/// What is between brackets. The first letter may be a closing bracket, which is meant then.
fn class(text: &str, letters: &mut std::str::Chars<'_>, regex: &mut String) -> Result<()> {
    regex.push('[');
    let mut first = true;
    loop {
        match letters.next() {
            None => return Err(wrong(text, "a bracket that is not closed")),
            Some('!' | '^') if first && !regex.ends_with('^') => {
                regex.push('^');
                continue;
            }
            Some(']') if !first => break,
            Some('-') if !first => regex.push('-'),
            Some(letter) => quote(letter, regex),
        }
        first = false;
    }
    regex.push(']');
    Ok(())
}

fn quote(letter: char, regex: &mut String) {
    if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
        regex.push('\\');
    }
    regex.push(letter);
}

fn wrong(text: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the pattern has {what}")).with("pattern", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        match part(pattern).expect("a pattern") {
            Part::Name(own) => own == name,
            Part::Pattern(matcher) => matcher.matches(name),
        }
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        assert!(matches("*.log", "a.log") && !matches("*.log", "a.log.1"));
        assert!(matches("?", "ä") && !matches("?", "ab"));
        assert!(matches("[a-c]x", "bx") && !matches("[!a-c]x", "bx") && matches("[!a-c]x", "dx"));
        assert!(matches("[]]", "]") && matches("[a-]", "-") && !matches("[.]*", ".x"));
        assert!(!matches("*", ".hidden") && matches(".*", ".hidden"));
        assert!(matches(r"\*", "*") && !matches(r"\*", "a"));
        assert!(matches("a+(b)", "a+(b)") && matches("a+(b)*", "a+(b)c"));
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        for wrong in ["[a", "[z-a]*"] {
            assert_eq!(parse(wrong).expect_err(wrong).kind(), ErrorKind::Config);
        }
        let (root, parts) = parse("/var//log/*.log").expect("a pattern");
        assert!(root && parts.len() == 3);
    }
}
