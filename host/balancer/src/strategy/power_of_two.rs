//! Of two drawn by chance and weight, the one with fewer sessions for its weight.

use super::weighted::Draws;
use super::{Loads, PickContext, Share, Strategy, StrategyInfo, mix};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "power_of_two",
    summary: "of two drawn by chance, the one with fewer sessions in flight",
    uses_key: false,
    uses_turn: false,
    uses_time: false,
    build: |shares| Box::new(PowerOfTwo { two: Two::new(shares), weights: weights(shares) }),
};

/// Two different targets, drawn by chance and weight.
#[derive(Debug)]
pub(super) struct Two {
    draws: Draws,
    count: usize,
}

impl Two {
    pub(super) fn new(shares: &[Share]) -> Self {
        Two { draws: Draws::new(shares), count: shares.len() }
    }

    pub(super) fn draw(&self, ask: &PickContext) -> (usize, usize) {
        let first = self.draws.draw(ask.chance);
        let second = self.draws.draw(mix(ask.chance));
        if first != second {
            return (first, second);
        }
        // A heavy target meets itself often; then any neighbour serves for the comparison.
        let next = if first + 1 == self.count { 0 } else { first + 1 };
        (first, next)
    }
}

/// Empty where all are equal.
fn weights(shares: &[Share]) -> Vec<u32> {
    if super::weighted::are_equal(shares) {
        return Vec::new();
    }
    shares.iter().map(|share| share.weight).collect()
}

#[derive(Debug)]
struct PowerOfTwo {
    two: Two,
    weights: Vec<u32>,
}

impl Strategy for PowerOfTwo {
    fn pick(&self, ask: &PickContext, loads: &dyn Loads) -> usize {
        let (first, second) = self.two.draw(ask);
        let load = |at: usize, other: usize| {
            let weight = self.weights.get(other).copied().unwrap_or(1);
            u64::from(loads.in_flight(at)) * u64::from(weight)
        };
        // The first of equals: its weight has been drawn already.
        if load(second, first) < load(first, second) { second } else { first }
    }
}
