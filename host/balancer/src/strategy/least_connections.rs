//! The target with the fewest sessions for its weight. Looks at every target; where there are
//! thousands, `power_of_two` comes close at a constant cost.

use super::{Loads, PickContext, Strategy, StrategyInfo};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "least_connections",
    summary: "the fewest sessions in flight for its weight; looks at every target",
    uses_key: false,
    uses_turn: true,
    uses_time: false,
    build: |shares| {
        Box::new(LeastConnections { weights: shares.iter().map(|share| share.weight).collect() })
    },
};

#[derive(Debug)]
struct LeastConnections {
    weights: Vec<u32>,
}

impl Strategy for LeastConnections {
    fn pick(&self, ask: &PickContext, loads: &dyn Loads) -> usize {
        let count = self.weights.len();
        // Equals take turns.
        let first = usize::try_from(ask.turn % count as u64).unwrap_or(0);
        let (mut best, mut fewest, mut capacity) = (first, u64::MAX, 1);
        for at in (first..count).chain(0..first) {
            let weight = u64::from(self.weights[at]);
            // With the session to come, so that weights count among idle targets too.
            let sessions = u64::from(loads.in_flight(at)) + 1;
            if fewest == u64::MAX || sessions * capacity < fewest * weight {
                (best, fewest, capacity) = (at, sessions, weight);
            }
        }
        best
    }
}
