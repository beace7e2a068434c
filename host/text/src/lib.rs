//! What people write in configurations and on command lines: durations and sizes ([`units`]), addresses and
//! networks ([`networks`]), other forms of values ([`with`]), values out of range ([`range`]), names, some of
//! them mistyped ([`nearest`]), and files that are not there ([`files`]).

pub mod files;
pub mod nearest;
pub mod networks;
pub mod range;
pub mod units;
pub mod with;
