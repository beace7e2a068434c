//! [`Picker`]: the targets that may serve now, prepared for picking. Made anew whenever a target,
//! a weight or a standing changes; never changed itself.

use super::load::NO_LIMIT;
use super::strategy::{Loads, PickContext, Share, Strategy, StrategyInfo};
use super::target_set::{TargetEntry, TargetHandle, TargetSet};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// Draws until targets are taken in order.
const DRAWS: u64 = 3;

#[derive(Debug)]
pub(super) struct Picker<T> {
    /// By priority, the first to serve first.
    pub(super) groups: Vec<Group<T>>,
    /// Whether no target is healthy, so that all serve.
    pub(super) panic: bool,
    /// When it is to be made anew.
    until: Option<Instant>,
}

/// The targets of one priority.
#[derive(Debug)]
pub(super) struct Group<T> {
    handles: Vec<Arc<TargetHandle<T>>>,
    strategy: Box<dyn Strategy>,
}

/// The targets of a group and what its strategy is built from, in one order.
type Planned<T> = (Vec<Arc<TargetHandle<T>>>, Vec<Share>);

/// A target that was taken, counted as in flight until this is dropped.
#[derive(Debug)]
pub(super) struct TargetUse<T> {
    pub(super) handle: Arc<TargetHandle<T>>,
    trial: bool,
}

impl<T> TargetUse<T> {
    /// What it was to show is shown: as it ends, nothing is given back to be tried.
    pub(super) fn decided(&mut self) {
        self.trial = false;
    }
}

impl<T> Drop for TargetUse<T> {
    fn drop(&mut self) {
        self.handle.load.leave(self.trial);
    }
}

impl<T> Picker<T> {
    pub(super) fn new(set: &TargetSet<T>, info: &StrategyInfo, now: Instant) -> Self {
        let percent = |entry: &TargetEntry<T>| set.standing(entry, now).percent();
        let healthy = set.entries.iter().any(|entry| entry.weight > 0 && percent(entry) > 0);
        let mut groups: BTreeMap<u32, Planned<T>> = BTreeMap::new();
        for entry in &set.entries {
            let percent = if healthy { percent(entry) } else { 100 };
            // In hundredths, so that a slow start counts for light targets too.
            let weight = entry.weight.saturating_mul(percent);
            if weight > 0 {
                let (handles, shares) = groups.entry(entry.priority).or_default();
                handles.push(Arc::clone(&entry.handle));
                shares.push(Share { weight, identity: entry.handle.identity });
            }
        }
        let build =
            |(handles, shares): (_, Vec<Share>)| Group { handles, strategy: (info.build)(&shares) };
        Picker {
            groups: groups.into_values().map(build).collect(),
            panic: !healthy,
            until: set.due(now),
        }
    }

    /// Whether time has changed a standing since it was made.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl<T> Group<T> {
    /// How many targets it has.
    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Takes a target that has room and is none of `tried`: the strategy's choice if it can, else
    /// those drawn next, else those that follow.
    pub(super) fn take(
        &self,
        ask: &PickContext,
        tried: &[Arc<TargetHandle<T>>],
    ) -> Option<TargetUse<T>> {
        let view = View { group: self, tried };
        let first = self.strategy.pick(ask, &view);
        if let Some(place) = self.enter(first, tried) {
            return Some(place);
        }
        let draws = (1..=DRAWS).map(|times| self.strategy.pick(&ask.again(times), &view));
        let count = self.handles.len();
        let in_order = (1..count).map(|step| (first + step) % count);
        draws.chain(in_order).find_map(|at| self.enter(at, tried))
    }

    fn enter(&self, at: usize, tried: &[Arc<TargetHandle<T>>]) -> Option<TargetUse<T>> {
        let handle = &self.handles[at];
        if is_tried(handle, tried) {
            return None;
        }
        let trial = handle.load.enter()?;
        Some(TargetUse { handle: Arc::clone(handle), trial })
    }
}

/// By load, which outlives a change of the set.
fn is_tried<T>(handle: &TargetHandle<T>, tried: &[Arc<TargetHandle<T>>]) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(&other.load, &handle.load))
}

/// The loads of a group, without those that cannot be taken.
struct View<'a, T> {
    group: &'a Group<T>,
    tried: &'a [Arc<TargetHandle<T>>],
}

impl<T> Loads for View<'_, T> {
    fn in_flight(&self, at: usize) -> u32 {
        let handle = &self.group.handles[at];
        if is_tried(handle, self.tried) { NO_LIMIT } else { handle.load.room() }
    }

    fn latency(&self, at: usize, millis: u32) -> f32 {
        self.group.handles[at].load.latency(millis)
    }
}
