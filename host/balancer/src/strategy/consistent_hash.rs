//! The same key meets the same target, and when targets come or go few keys move: Maglev hashing
//! (Eisenbud and others, NSDI 2016, section 3.4), with weights.

use super::{Loads, PickContext, Share, Strategy, StrategyInfo, mix};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "consistent_hash",
    summary: "the same key meets the same target; few move when targets change",
    uses_key: true,
    uses_turn: false,
    uses_time: false,
    build: |shares| Box::new(Maglev { table: table(shares) }),
};

/// Entries of the table for each target, so that shares are right within a percent.
const ENTRIES_EACH: usize = 100;

/// The smallest table.
const ENTRIES: usize = 4099;

#[derive(Debug)]
struct Maglev {
    table: Vec<u32>,
}

impl Strategy for Maglev {
    fn pick(&self, ask: &PickContext, _: &dyn Loads) -> usize {
        let wide = u128::from(mix(ask.key)) * self.table.len() as u128;
        let at = usize::try_from(wide >> 64).unwrap_or(0);
        self.table[at] as usize
    }
}

/// Fills the table: targets claim entries in turn, each in an order of its own, heavier ones more
/// often.
fn table(shares: &[Share]) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let size = next_prime((shares.len() * ENTRIES_EACH).max(ENTRIES));
    let heaviest = shares.iter().map(|share| share.weight).max().unwrap_or(1).max(1);
    let size_64 = size as u64;
    let mut order: Vec<(u64, u64)> = shares
        .iter()
        .map(|share| {
            let skip = mix(share.identity ^ 0x5bd1_e995) % (size_64 - 1) + 1;
            (mix(share.identity) % size_64, skip)
        })
        .collect();
    let mut credit = vec![0_u64; shares.len()];
    let mut table = vec![FREE; size];
    let mut left = size;
    while left > 0 {
        for (at, share) in shares.iter().enumerate() {
            credit[at] += u64::from(share.weight.max(1));
            if credit[at] < u64::from(heaviest) {
                continue;
            }
            credit[at] -= u64::from(heaviest);
            let (next, skip) = &mut order[at];
            loop {
                let entry = &mut table[usize::try_from(*next).unwrap_or(0)];
                *next = (*next + *skip) % size_64;
                if *entry == FREE {
                    *entry = u32::try_from(at).unwrap_or(0);
                    break;
                }
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    table
}

/// The first prime from `number` on: with a prime size every order reaches every entry.
fn next_prime(number: usize) -> usize {
    let is_prime = |number: &usize| {
        (2..)
            .take_while(|divisor| divisor * divisor <= *number)
            .all(|divisor| !number.is_multiple_of(divisor))
    };
    (number..).find(is_prime).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(count: u64, weight: u32) -> Vec<Share> {
        (0..count).map(|at| Share { weight, identity: mix(at) }).collect()
    }

    #[test]
    fn the_sizes_are_prime() {
        assert_eq!((next_prime(4099), next_prime(10_000), next_prime(2)), (4099, 10_007, 2));
    }

    #[test]
    fn few_entries_move_when_a_target_leaves() {
        let all = shares(20, 1);
        let (before, after) = (table(&all), table(&all[..19]));
        let moved = before.iter().zip(&after).filter(|(old, new)| **old != 19 && old != new);
        let share = moved.count() as f64 / before.len() as f64;
        // Those of the one that left have to move; of the others only a few may.
        assert!(share < 0.10, "{share} moved");
    }

    #[test]
    fn weights_share_the_table() {
        let mut all = shares(3, 1);
        all[1].weight = 2;
        let table = table(&all);
        let heavy = table.iter().filter(|at| **at == 1).count() as f64 / table.len() as f64;
        assert!((heavy - 0.5).abs() < 0.01, "{heavy}");
    }
}
