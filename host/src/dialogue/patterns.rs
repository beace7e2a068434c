//! [`Patterns`]: what is waited for.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;

/// The most memory that one pattern may take when it is made ready, in bytes.
const SIZE: usize = 1 << 20;

/// The most patterns of one set.
const MOST: usize = 64;

/// One or more regular expressions over bytes, in the syntax of the crate `regex`; the first to match in
/// the text wins, and of two at the same place the first of the set. `$` is the end of what was heard so
/// far, so that `"[$#] $"` is a prompt that waits.
#[derive(Clone)]
pub struct Patterns(Vec<Regex>);

impl Patterns {
    /// Makes a set of patterns.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for none at all, more than 64, or one that is no regular expression.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut made = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let built = RegexBuilder::new(pattern).size_limit(SIZE).build();
            made.push(built.map_err(|error| {
                // Its own words have several lines, with a mark under the place.
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let text = format!("{pattern:?} is no regular expression: {why}");
                Error::new(ErrorKind::Config, text)
            })?);
        }
        if made.is_empty() || made.len() > MOST {
            let text = format!("expected 1 to {MOST} patterns, found {}", made.len());
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(Patterns(made))
    }

    pub(super) fn all(&self) -> &[Regex] {
        &self.0
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(f, "{or}{:?}", pattern.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
