//! By chance, in proportion to the weights.

use super::weighted::Draws;
use super::{Loads, PickContext, Strategy, StrategyInfo};

pub(super) const INFO: StrategyInfo = StrategyInfo {
    name: "random",
    summary: "by chance, in proportion to the weights",
    uses_key: false,
    uses_turn: false,
    uses_time: false,
    build: |shares| Box::new(Random { draws: Draws::new(shares) }),
};

#[derive(Debug)]
struct Random {
    draws: Draws,
}

impl Strategy for Random {
    fn pick(&self, ask: &PickContext, _: &dyn Loads) -> usize {
        self.draws.draw(ask.chance)
    }
}
