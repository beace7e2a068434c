//! Values out of range, each with its key: what the options of every layer report, wherever they were written.

use std::collections::BTreeMap;
use std::time::Duration;

/// One value out of range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key below the table of the options; dotted where it is in a table inside.
    pub key: String,
    /// What was expected, as a sentence that begins with "expected".
    pub expected: String,
}

/// Collects problems, in the order of the checks.
#[derive(Debug, Default)]
#[must_use = "what was found is in `problems`"]
pub struct Ranges(Vec<Problem>);

impl Ranges {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes `key` unless its value fits.
    pub fn expect(mut self, fits: bool, key: &str, expected: impl Into<String>) -> Self {
        if !fits {
            self.0.push(Problem { key: key.to_owned(), expected: expected.into() });
        }
        self
    }

    /// A count that may not be 0.
    pub fn at_least_one(self, key: &str, value: u32) -> Self {
        self.expect(value > 0, key, "expected a whole number of at least 1")
    }

    /// A share in percent.
    pub fn percent(self, key: &str, value: u32) -> Self {
        self.expect(value <= 100, key, "expected a whole number from 0 to 100")
    }

    /// A duration that may not be zero.
    pub fn duration(self, key: &str, value: Duration) -> Self {
        self.expect(!value.is_zero(), key, "expected a duration of at least 1ms")
    }

    /// The same for each of a table.
    pub fn durations(self, key: &str, values: &BTreeMap<String, Duration>) -> Self {
        values
            .iter()
            .fold(self, |found, (name, value)| found.duration(&format!("{key}.{name}"), *value))
    }

    /// What was found in the table `key`.
    pub fn below(mut self, key: &str, problems: Vec<Problem>) -> Self {
        let inside =
            |problem: Problem| Problem { key: format!("{key}.{}", problem.key), ..problem };
        self.0.extend(problems.into_iter().map(inside));
        self
    }

    /// What was found.
    pub fn problems(self) -> Vec<Problem> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_out_of_range_has_its_key_and_others_none() {
        let times = BTreeMap::from([("exec".to_owned(), Duration::ZERO)]);
        let inside = Ranges::new().at_least_one("count", 0).at_least_one("fine", 1).problems();
        let found = Ranges::new()
            .percent("share", 101)
            .percent("whole", 100)
            .durations("limits", &times)
            .duration("time", Duration::from_millis(1))
            .below("table", inside)
            .problems();
        let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["share", "limits.exec", "table.count"]);
        assert!(found.iter().all(|problem| problem.expected.starts_with("expected a ")));
    }
}
