//! What people write in configurations and on command lines: durations and sizes ([`units`]), other forms of values
//! ([`with`]), values out of range ([`range`]), and names, some of them mistyped ([`nearest`]).

pub mod nearest;
pub mod range;
pub mod units;
pub mod with;
