//! The rules of the repository that a compiler does not know.
//!
//! Each rule is a function from text to violations, so that a planted violation can show that the
//! rule sees what it is there for.

mod drivers;
mod names;
mod ranks;
mod tokens;
mod tree;

pub(crate) use tree::top;

use std::fmt;

/// A broken rule and where.
#[derive(Debug, PartialEq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Fails with one line per violation.
fn hold(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} broken rules:\n{}", lines.len(), lines.join("\n"));
}
