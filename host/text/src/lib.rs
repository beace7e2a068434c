//! What people write in configurations and on command lines: durations and sizes ([`units`]), addresses and
//! networks ([`networks`]), and names, some of them mistyped ([`nearest`]).

pub mod nearest;
pub mod networks;
pub mod units;
