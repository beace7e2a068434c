//! Strategies: which of the targets that may serve is next. Each is a pure function of what it was
//! built from, of the context of a pick, and of the loads it is shown; health, exclusion, retries and order of
//! failover are decided around it, once for all of them.

mod balance;
mod consistent_hash;
mod failover;
mod least_connections;
mod peak_ewma;
mod power_of_two;
mod random;
mod round_robin;
mod weighted;

use std::fmt;

pub use balance::Balance;

/// A target as a strategy is built from it.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Its part of the sessions relative to the others; at least 1.
    pub weight: u32,
    /// Stays the same for the same target, in every process.
    pub identity: u64,
}

/// What a strategy is told when it picks.
#[derive(Clone, Copy, Debug)]
pub struct PickContext {
    /// The number of the pick; 0 where [`StrategyInfo::uses_turn`] is not set.
    pub turn: u64,
    /// Random bits; the turn where [`StrategyInfo::uses_turn`] is set.
    pub chance: u64,
    /// What the session belongs to; equal for those that are to meet at one target.
    pub key: u64,
    /// Now, in milliseconds since any moment; 0 where [`StrategyInfo::uses_time`] is not set.
    pub millis: u32,
}

impl PickContext {
    /// The context of one more pick, after the target that was picked could not serve.
    #[must_use]
    pub fn again(&self, times: u64) -> Self {
        PickContext {
            turn: self.turn.wrapping_add(times),
            chance: mix(self.chance.wrapping_add(times)),
            key: mix(self.key.wrapping_add(times)),
            millis: self.millis,
        }
    }
}

/// What the targets carry now, by their number in the list that the strategy was built from.
pub trait Loads {
    /// Sessions at that target; `u32::MAX` if it can take none.
    fn in_flight(&self, at: usize) -> u32;
    /// Its moving latency in nanoseconds; 0 if unknown.
    fn latency(&self, at: usize, millis: u32) -> f32;
}

/// Picks a target, by its number.
pub trait Strategy: fmt::Debug + Send + Sync {
    /// The next target. Must be less than the number of targets it was built from.
    fn pick(&self, ask: &PickContext, loads: &dyn Loads) -> usize;
}

/// A strategy as it is named in configurations and documents.
#[derive(Debug)]
pub struct StrategyInfo {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Whether it depends on the key.
    pub uses_key: bool,
    /// Whether it looks at the number of the pick. Where none does, picks are not counted, which keeps
    /// the threads that pick out of each other's way.
    pub uses_turn: bool,
    /// Whether it looks at the time.
    pub uses_time: bool,
    /// Builds it for targets, of which there is at least one.
    pub build: fn(&[Share]) -> Box<dyn Strategy>,
}

/// Two entries with one name would make configurations ambiguous.
impl PartialEq for StrategyInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Every strategy there is; the first is the default.
pub static STRATEGIES: &[StrategyInfo] = &[
    round_robin::INFO,
    least_connections::INFO,
    random::INFO,
    power_of_two::INFO,
    peak_ewma::INFO,
    consistent_hash::INFO,
    failover::INFO,
];

/// The strategy of that name.
pub fn find(name: &str) -> Option<&'static StrategyInfo> {
    STRATEGIES.iter().find(|info| info.name == name)
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64).
#[inline]
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
