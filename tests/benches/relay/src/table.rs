//! Figures of several rounds, as medians and ratios.

use super::process::Kind;

/// One figure and one cost for each relay and round.
pub(super) struct Table {
    figure: &'static str,
    cost: &'static str,
    rows: Vec<(Kind, f64, f64)>,
}

impl Table {
    pub(super) fn new(figure: &'static str, cost: &'static str) -> Self {
        Table { figure, cost, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, kind: Kind, figure: f64, cost: f64) {
        self.rows.push((kind, figure, cost));
    }

    fn column(&self, kind: Kind, pick: impl Fn(&(Kind, f64, f64)) -> f64) -> Vec<f64> {
        self.rows.iter().filter(|row| row.0 == kind).map(pick).collect()
    }

    /// The median over the rounds of one relay's figure against another's.
    fn ratio(&self, kind: Kind, to: Kind) -> f64 {
        let own = self.column(kind, |row| row.1);
        let other = self.column(to, |row| row.1);
        median(own.iter().zip(&other).map(|(own, other)| own / other).collect())
    }

    pub(super) fn print(&self) {
        println!("\n{} ({} rounds)", self.figure, self.column(Kind::Direct, |row| row.1).len());
        println!(
            "  {:16} {:>9} {:>9} {:>10} {:>18}",
            "", "median", "to direct", "to haproxy", self.cost
        );
        let mut kinds: Vec<Kind> = Vec::new();
        for (kind, ..) in &self.rows {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        for kind in kinds {
            println!(
                "  {:16} {:9.1} {:9.2} {:10.2} {:18.3}",
                kind.name(),
                median(self.column(kind, |row| row.1)),
                self.ratio(kind, Kind::Direct),
                self.ratio(kind, Kind::HaProxy),
                median(self.column(kind, |row| row.2)),
            );
        }
    }
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
