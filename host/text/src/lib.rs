//! What people write in configurations and on command lines: durations and sizes ([`units`]), and names, some of
//! them mistyped ([`nearest`]).

pub mod nearest;
pub mod units;
