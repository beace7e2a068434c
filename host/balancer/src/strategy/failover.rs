//! The first target that can serve, in the order they are written; the others are its substitutes.

use super::{Loads, PickContext, Strategy, StrategyInfo};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "failover",
    summary: "the first that can serve, in the order written; weights only say drained or not",
    uses_key: false,
    uses_turn: false,
    uses_time: false,
    build: |_| Box::new(Failover),
};

#[derive(Debug)]
struct Failover;

impl Strategy for Failover {
    fn pick(&self, _: &PickContext, _: &dyn Loads) -> usize {
        0
    }
}
