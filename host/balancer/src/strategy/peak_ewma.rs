//! Of two drawn by chance and weight, the one that is likely to answer sooner: its moving latency
//! times its sessions. The latency is that of opening sessions; it rises with the slowest at once
//! and falls by and by, and a failure counts as the whole time that was allowed.
//!
//! A target not measured yet gets one session, and no second one before the first is open.

use super::power_of_two::Two;
use super::{Loads, PickContext, Share, Strategy, StrategyInfo};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "peak_ewma",
    summary: "of two drawn by chance, the one that opens sooner, by moving peak latency and load",
    uses_key: false,
    uses_turn: false,
    uses_time: true,
    build: |shares| Box::new(PeakEwma::new(shares)),
};

#[derive(Debug)]
struct PeakEwma {
    two: Two,
    /// What one session adds to the load of each: the mean weight over its own.
    each: Vec<f32>,
}

impl PeakEwma {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a comparison of loads needs no more than three digits"
    )]
    fn new(shares: &[Share]) -> Self {
        let total: f64 = shares.iter().map(|share| f64::from(share.weight)).sum();
        let mean = total / shares.len().max(1) as f64;
        let each = |share: &Share| (mean / f64::from(share.weight.max(1))) as f32;
        PeakEwma { two: Two::new(shares), each: shares.iter().map(each).collect() }
    }

    #[expect(clippy::cast_precision_loss, reason = "as above")]
    fn cost(&self, at: usize, ask: &PickContext, loads: &dyn Loads) -> f32 {
        let in_flight = loads.in_flight(at);
        let latency = loads.latency(at, ask.millis);
        match (in_flight, latency > 0.0) {
            (u32::MAX, _) => f32::INFINITY,
            (0, false) => 0.0,
            // Unknown and already tried: after everything that is known.
            (_, false) => f32::MAX,
            (_, true) => latency * (1.0 + in_flight as f32 * self.each[at]),
        }
    }
}

impl Strategy for PeakEwma {
    fn pick(&self, ask: &PickContext, loads: &dyn Loads) -> usize {
        let (first, second) = self.two.draw(ask);
        if self.cost(second, ask, loads) < self.cost(first, ask, loads) { second } else { first }
    }
}
