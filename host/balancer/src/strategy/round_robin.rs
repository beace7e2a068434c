//! In turn, each as often as its weight says, and as evenly spread as can be.

use super::{Loads, PickContext, Share, Strategy, StrategyInfo};
use std::collections::BTreeMap;

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "round_robin",
    summary: "in turn, each as often as its weight says",
    uses_key: false,
    uses_turn: true,
    uses_time: false,
    build: |shares| Box::new(RoundRobin::new(round(shares))),
};

/// The longest round for each target; beyond it weights are rounded.
const ROUND_EACH: usize = 64;

/// The longest round of a few targets.
const ROUND: usize = 65_536;

#[derive(Debug)]
struct RoundRobin {
    /// Numbers of targets in the order of serving.
    round: Vec<u32>,
    /// 2^64 divided by the length of the round, rounded up.
    part: u64,
}

impl RoundRobin {
    fn new(round: Vec<u32>) -> Self {
        let part = (u64::MAX / round.len().max(1) as u64).wrapping_add(1);
        RoundRobin { round, part }
    }

    /// The remainder of `turn` by the length of the round. Two multiplications take a third of the time of
    /// a division (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019); they are exact
    /// for numbers of 32 bits.
    fn place(&self, turn: u32) -> usize {
        let fraction = self.part.wrapping_mul(u64::from(turn));
        let place = (u128::from(fraction) * self.round.len() as u128) >> 64;
        // Less than the length.
        usize::try_from(place).unwrap_or_default()
    }
}

impl Strategy for RoundRobin {
    fn pick(&self, ask: &PickContext, _: &dyn Loads) -> usize {
        // Once in four billion turns the round is cut short.
        #[expect(clippy::cast_possible_truncation, reason = "turns are taken modulo 2^32")]
        let turn = ask.turn as u32;
        self.round[self.place(turn)] as usize
    }
}

/// One round, in which each target serves as often as its weight says. Targets of one weight take
/// turns; the k-th of a weight's N turns is due at (k + 1/2) / N of the round, so that none serves in
/// bursts. Costs the length of the round, whatever the weights.
fn round(shares: &[Share]) -> Vec<u32> {
    let weights = scaled(shares);
    let mut classes: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (at, weight) in (0_u32..).zip(&weights) {
        classes.entry(*weight).or_default().push(at);
    }
    let mut turns: Vec<(u64, u32, u32)> = Vec::new();
    for (weight, members) in &classes {
        let count = weight * members.len() as u64;
        for turn in 0..count {
            // Fits: a round has less than 2^31 turns.
            let due = ((2 * turn + 1) << 32) / (2 * count);
            let member = usize::try_from(turn).unwrap_or(0) % members.len();
            turns.push((due, members[0], members[member]));
        }
    }
    turns.sort_unstable_by_key(|(due, class, _)| (*due, *class));
    turns.into_iter().map(|(_, _, member)| member).collect()
}

/// The weights without their common factor, and small enough for a bounded round.
fn scaled(shares: &[Share]) -> Vec<u64> {
    let common = shares.iter().fold(0, |common, share| gcd(common, u64::from(share.weight)));
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let most = ROUND.max(shares.len().saturating_mul(ROUND_EACH).min(1 << 20)) as u64;
    let divisor = if total / common.max(1) <= most { common.max(1) } else { total.div_ceil(most) };
    let scale = |share: &Share| ((u64::from(share.weight) + divisor / 2) / divisor).max(1);
    shares.iter().map(scale).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32]) -> Vec<Share> {
        weights.iter().map(|weight| Share { weight: *weight, identity: 0 }).collect()
    }

    #[test]
    fn a_round_begins_with_the_first_and_has_no_bursts() {
        assert_eq!(round(&shares(&[1, 1, 1])), [0, 1, 2]);
        assert_eq!(round(&shares(&[300, 300, 300])), [0, 1, 2]);
        assert_eq!(round(&shares(&[5, 1, 1])), [0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(round(&shares(&[1, 2])), [1, 0, 1]);
    }

    #[test]
    fn a_place_is_the_remainder() {
        for length in [1_u32, 2, 3, 7, 64, 1000, 65_536, 65_537, 640_000] {
            let robin = RoundRobin::new(vec![0; length as usize]);
            for turn in (0..=u32::MAX).step_by(65_521).chain([1, length - 1, length, u32::MAX]) {
                assert_eq!(robin.place(turn), (turn % length) as usize, "{turn} % {length}");
            }
        }
    }

    #[test]
    fn large_weights_keep_their_proportion_in_a_bounded_round() {
        let round = round(&shares(&[3_000_001, 1_000_000]));
        assert!(round.len() <= ROUND + 2);
        let heavy = round.iter().filter(|at| **at == 0).count();
        assert!((heavy as f64 / round.len() as f64 - 0.75).abs() < 0.001, "{heavy}");
    }

    #[test]
    fn the_round_of_many_targets_is_bounded() {
        let weights: Vec<u32> = (1..=2_000).map(|at| at % 1000 + 1).collect();
        assert!(round(&shares(&weights)).len() <= 64 * 2_000 + 2_000);
    }
}
