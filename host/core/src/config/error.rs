//! What is wrong with a configuration, all of it at once.

use std::fmt;

use super::position::{KeyPath, Position};

/// One mistake. `Display` writes one line:
/// `file:line:column: key: message (did you mean "x"?)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where it was written.
    pub position: Position,
    /// The key it is about; the root when it is about a whole file.
    pub key: KeyPath,
    /// What was expected. Never holds the value of an option.
    pub message: String,
    /// The nearest valid name or value, if one is near.
    pub suggestion: Option<String>,
}

impl ConfigError {
    /// A mistake at `position`, about `key`.
    pub fn new(position: Position, key: KeyPath, message: impl Into<String>) -> Self {
        Self { position, key, message: message.into(), suggestion: None }
    }

    /// Adds the nearest valid name.
    #[must_use]
    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if !self.key.segments().is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " (did you mean \"{suggestion}\"?)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Every mistake found, in the order of files and lines. `Display` writes one line for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Sorts `errors` by place and drops repetitions.
    pub fn new(mut errors: Vec<ConfigError>) -> Self {
        errors.sort();
        errors.dedup();
        Self(errors)
    }

    /// The mistakes; never empty when returned as an error.
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
