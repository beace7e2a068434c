//! [`Patterns`]: the regular expressions that a dialogue waits for.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;

/// The most memory that one pattern may take when it is made ready, in bytes.
const SIZE: usize = 1 << 20;

/// The most patterns of one set.
const MOST: usize = 64;

/// One or more regular expressions over bytes, in the syntax of the crate `regex`; the first to match in
/// the text wins, and of two at the same place the first of the set. `$` is the end of what was heard so
/// far, so that `"[$#] $"` is a prompt that waits. In text the end of a line is `\n`, and `\r\n` in a pattern
/// means the same.
#[derive(Clone)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone)]
struct Pattern {
    /// For bytes as they come, and as it was written.
    raw: Regex,
    /// For text, where that is another one.
    text: Option<Regex>,
}

impl Patterns {
    /// Makes a set of patterns.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for none at all, more than 64, or one that is no regular expression.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self> {
        let made = Patterns::some(patterns)?.0;
        if made.is_empty() {
            return Err(wrong_number(0));
        }
        Ok(Patterns(made))
    }

    /// As [`Patterns::new`], or none.
    pub(super) fn some<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut made = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let raw = built(pattern, pattern)?;
            let text = pattern.replace("\\r\\n", "\\n").replace("\r\n", "\n");
            let text = (text != pattern).then(|| built(&text, pattern)).transpose()?;
            made.push(Pattern { raw, text });
        }
        if made.len() > MOST {
            return Err(wrong_number(made.len()));
        }
        Ok(Patterns(made))
    }

    /// One set of several, in this order.
    pub(super) fn joined<'a>(sets: impl IntoIterator<Item = &'a Patterns>) -> Result<Self> {
        let all: Vec<Pattern> = sets.into_iter().flat_map(|set| set.0.iter().cloned()).collect();
        if all.len() > MOST { Err(wrong_number(all.len())) } else { Ok(Patterns(all)) }
    }

    /// All of them, for bytes as they come or for text.
    pub(super) fn all(&self, raw: bool) -> impl Iterator<Item = &Regex> {
        self.0.iter().map(move |pattern| match &pattern.text {
            Some(text) if !raw => text,
            _ => &pattern.raw,
        })
    }
}

fn wrong_number(found: usize) -> Error {
    let text = format!("expected 1 to {MOST} patterns, found {found}");
    Error::new(ErrorKind::Config, text)
}

fn built(pattern: &str, written: &str) -> Result<Regex> {
    RegexBuilder::new(pattern).size_limit(SIZE).build().map_err(|error| {
        // Its own words have several lines, with a mark under the place.
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let text = format!("{written:?} is not a regular expression: {why}");
        Error::new(ErrorKind::Config, text)
    })
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(f, "{or}{:?}", pattern.raw.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
