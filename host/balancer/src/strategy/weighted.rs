//! [`Draws`]: random numbers of targets in proportion to their weights, at the same cost for any
//! number of targets (Vose's alias method).

use super::Share;

/// Whether all have one weight.
pub(super) fn are_equal(shares: &[Share]) -> bool {
    shares.windows(2).all(|pair| pair[0].weight == pair[1].weight)
}

/// A table to draw from.
#[derive(Debug)]
pub(super) struct Draws {
    count: usize,
    /// For each column, how much of it (of `u64::MAX`) belongs to the target itself, and whose the
    /// rest is. Empty when all weights are equal.
    columns: Vec<(u64, u32)>,
}

impl Draws {
    pub(super) fn new(shares: &[Share]) -> Self {
        let count = shares.len();
        if are_equal(shares) {
            return Draws { count, columns: Vec::new() };
        }
        let total: u128 = shares.iter().map(|share| u128::from(share.weight)).sum();
        // In units of total/count, so that a column holds exactly `total`.
        let mut parts: Vec<u128> =
            shares.iter().map(|share| u128::from(share.weight) * count as u128).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|at| parts[*at] < total);
        let mut columns = vec![(u64::MAX, 0_u32); count];
        while let (Some(less), Some(&more)) = (small.pop(), large.last()) {
            let own = parts[less] * u128::from(u64::MAX) / total;
            columns[less] =
                (u64::try_from(own).unwrap_or(u64::MAX), u32::try_from(more).unwrap_or(0));
            parts[more] -= total - parts[less];
            if parts[more] < total {
                large.pop();
                small.push(more);
            }
        }
        Draws { count, columns }
    }

    /// The target that these random bits stand for.
    pub(super) fn draw(&self, chance: u64) -> usize {
        let wide = u128::from(chance) * self.count as u128;
        // Less than the count, which is a `usize`.
        let column = usize::try_from(wide >> 64).unwrap_or(0);
        let Some((own, other)) = self.columns.get(column) else { return column };
        let rest = u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0);
        if rest <= *own { column } else { *other as usize }
    }
}
