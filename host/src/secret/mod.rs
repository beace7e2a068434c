//! Secrets: strings that are never printed, and references to where they are kept.
//!
//! An option whose schema says `"x-secret": true` takes a reference in place of a text:
//! `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["PROGRAM", "ARGUMENT"] }`. Elsewhere
//! such a table is an ordinary value, if the schema takes tables there. References stay as they
//! are until the moment their value is needed, so a changed secret is picked up by the next
//! session.

mod reference;
mod resolve;
mod schema;

use std::fmt;

pub use reference::SecretRef;
pub use resolve::{ResolvedOptions, Resolver, SecretError};
pub use schema::{SecretFinding, SecretProblem, check, placeholders};

/// A password, key or token. `Debug` and `Display` print `***`; the text is reached only through
/// [`Secret::expose`], so that every use can be found by its name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log or format it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn formatting_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
