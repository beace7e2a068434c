//! The text of OpenMetrics: families of series, each with its help and its type.

use crate::metrics::MetricKind;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Labels of a series, in their order.
pub(super) type SeriesLabels<'a> = &'a [(&'a str, &'a str)];

/// One family: all series of one name.
struct MetricFamily {
    kind: MetricKind,
    help: String,
    lines: String,
}

/// Collects series by family, whatever order they come in.
#[derive(Default)]
pub(super) struct Exposition {
    families: BTreeMap<String, MetricFamily>,
    /// Names that are wanted; empty: all.
    wanted: Vec<String>,
}

impl Exposition {
    /// Of families with these names, or of all.
    pub(super) fn of(wanted: &[&str]) -> Self {
        let own = |name: &&str| name.strip_suffix("_total").unwrap_or(name).to_owned();
        Exposition { wanted: wanted.iter().map(own).collect(), ..Exposition::default() }
    }

    /// The family of a name; `None` if it is not wanted, or there is one of that name and another type.
    fn family(&mut self, name: &str, kind: MetricKind, help: &str) -> Option<&mut MetricFamily> {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| wanted == name) {
            return None;
        }
        let new = || MetricFamily { kind, help: help.to_owned(), lines: String::new() };
        let family = self.families.entry(name.to_owned()).or_insert_with(new);
        (family.kind == kind).then_some(family)
    }

    /// What grows; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, labels: SeriesLabels<'_>, value: f64) {
        let Some(family) = self.family(name, MetricKind::Counter, help) else { return };
        line(&mut family.lines, name, "_total", labels, None, value);
    }

    /// What goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: SeriesLabels<'_>, value: f64) {
        let Some(family) = self.family(name, MetricKind::Gauge, help) else { return };
        line(&mut family.lines, name, "", labels, None, value);
    }

    /// How values are spread: for each bound how many are at most as large, their number and their sum.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: SeriesLabels<'_>,
        buckets: &[(f64, u64)],
        (count, sum): (u64, f64),
    ) {
        let Some(family) = self.family(name, MetricKind::Histogram, help) else { return };
        let lines = &mut family.lines;
        for (bound, below) in buckets {
            line(lines, name, "_bucket", labels, Some(&number(*bound)), whole(*below));
        }
        line(lines, name, "_bucket", labels, Some("+Inf"), whole(count));
        line(lines, name, "_count", labels, None, whole(count));
        line(lines, name, "_sum", labels, None, sum);
    }

    pub(super) fn text(self) -> String {
        let mut text = String::new();
        for (name, MetricFamily { kind, help, lines }) in self.families {
            let kind = kind.as_str();
            let _ = write!(text, "# TYPE {name} {kind}\n# HELP {name} {}\n{lines}", escaped(&help));
        }
        text.push_str("# EOF\n");
        text
    }
}

/// A count as the number that a sample is.
#[allow(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 a count is inexact in every reader, too"
)]
pub(super) fn whole(count: u64) -> f64 {
    count as f64
}

fn line(
    lines: &mut String,
    name: &str,
    suffix: &str,
    labels: SeriesLabels<'_>,
    bound: Option<&str>,
    value: f64,
) {
    lines.push_str(name);
    lines.push_str(suffix);
    let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
    let mut mark = '{';
    for (label, value) in all {
        let _ = write!(lines, "{mark}{label}=\"{}\"", escaped(value));
        mark = ',';
    }
    if mark == ',' {
        lines.push('}');
    }
    let _ = writeln!(lines, " {}", number(value));
}

fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_and_labels_are_escaped() {
        let mut text = Exposition::of(&[]);
        text.gauge("jackfield_b", "How b it is.", &[("target", "a\"\\b\nc")], 1.5);
        text.counter("jackfield_a", "As.", &[], 3.0);
        text.gauge("jackfield_b", "How b it is.", &[("target", "d")], 2.0);
        text.gauge("jackfield_a", "Of another type.", &[], 1.0);
        text.histogram("jackfield_c", "Cs.", &[("x", "y")], &[(0.5, 1), (1.0, 2)], (3, 4.5));
        let expected = r#"# TYPE jackfield_a counter
# HELP jackfield_a As.
jackfield_a_total 3
# TYPE jackfield_b gauge
# HELP jackfield_b How b it is.
jackfield_b{target="a\"\\b\nc"} 1.5
jackfield_b{target="d"} 2
# TYPE jackfield_c histogram
# HELP jackfield_c Cs.
jackfield_c_bucket{x="y",le="0.5"} 1
jackfield_c_bucket{x="y",le="1"} 2
jackfield_c_bucket{x="y",le="+Inf"} 3
jackfield_c_count{x="y"} 3
jackfield_c_sum{x="y"} 4.5
# EOF
"#;
        assert_eq!(text.text(), expected);
    }

    #[test]
    fn only_what_is_wanted_is_written() {
        let mut text = Exposition::of(&["jackfield_a_total"]);
        text.counter("jackfield_a", "As.", &[], 3.0);
        text.gauge("jackfield_b", "Bs.", &[], 3.0);
        assert_eq!(text.text().lines().count(), 4);
    }
}
