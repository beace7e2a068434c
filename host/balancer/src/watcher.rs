//! [`Watcher`]: hears of what happens to the targets of a balancer.

use super::health::Standing;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// What has happened to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetChange {
    /// It was added.
    Added,
    /// It was removed; its sessions run on.
    Removed,
    /// It has another weight; 0 drains it.
    Weight(u32),
    /// Active checks find it dead.
    Down,
    /// Active checks find it alive again.
    Up,
    /// It failed too often in a row, and rests for so long.
    Ejected(Duration),
    /// Its ejection is over, and it is tried.
    HalfOpen,
    /// It serves again after an ejection.
    Recovered,
}

/// Hears of what happens to the targets of a balancer, in order.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// Called under the balancer's lock: must not block, nor use the balancer. `error` is what went wrong at
    /// the target last.
    fn note(&self, target: &str, change: &TargetChange, error: Option<&str>);

    /// Called without the lock, after one or more were noted.
    fn tell(&self);
}

/// What a step from one standing to the next means, if anything.
pub(super) fn change(before: Standing, after: Standing) -> Option<TargetChange> {
    match (before, after) {
        (Standing::Ejected(_), Standing::Ejected(_)) | (Standing::Down, Standing::Down) => None,
        (_, Standing::Ejected(until)) => {
            Some(TargetChange::Ejected(until.saturating_duration_since(Instant::now())))
        }
        (_, Standing::Down) => Some(TargetChange::Down),
        (Standing::Ejected(_), Standing::HalfOpen) => Some(TargetChange::HalfOpen),
        (Standing::Down, _) => Some(TargetChange::Up),
        (Standing::Ejected(_) | Standing::HalfOpen, Standing::Up | Standing::Starting(_)) => {
            Some(TargetChange::Recovered)
        }
        _ => None,
    }
}
