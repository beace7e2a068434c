//! [`Balancer`]: which target serves next. Uniqueness within one attempt, passing over targets that
//! are not healthy or have no room, and the order of failover are here, once for all strategies.
//!
//! Picking takes no lock: it reads a [`Picker`] that was prepared when something last changed.
//! Targets of the lowest priority number serve as long as one of them is healthy; those of the next
//! take what these cannot. When no target is healthy, all that are not drained serve, for a chance
//! is better than none.

use super::load::Load;
use super::options::HealthOptions;
use super::rotation::{Group, Picker, TargetUse};
use super::status::{TargetGlance, TargetStatus};
use super::strategy::{PickContext, StrategyInfo, mix};
use super::target_set::{Spec, TargetHandle, TargetSet};
use super::watcher::Watcher;
use arc_swap::ArcSwap;
use jackfield_lock::IgnorePoison;
use jackfield_plugin_api::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Targets of any kind, and the picker that chooses among them.
#[derive(Debug)]
pub struct Balancer<T> {
    strategy: &'static StrategyInfo,
    epoch: Instant,
    /// Makes chance repeat.
    seed: Option<u64>,
    turn: AtomicU64,
    rotation: ArcSwap<Picker<T>>,
    set: Mutex<TargetSet<T>>,
    /// Told when targets come or go.
    changes: watch::Sender<()>,
}

/// A target that was picked, counted as in flight. Say how it went with [`Pick::succeeded`] or [`Pick::failed`];
/// dropped without either, the target counts as not tried.
#[derive(Debug)]
pub struct Pick<'a, T> {
    balancer: &'a Balancer<T>,
    place: TargetUse<T>,
    from: Instant,
}

/// A session counts as in flight at its target as long as this lives.
#[derive(Debug)]
pub struct InFlight<T> {
    balancer: Arc<Balancer<T>>,
    place: TargetUse<T>,
    /// The session failed at the target's side.
    fell: AtomicBool,
}

/// Targets that an attempt has been at.
#[derive(Debug)]
pub struct Tried<T>(Vec<Arc<TargetHandle<T>>>);

impl<T> Default for Tried<T> {
    fn default() -> Self {
        Tried(Vec::new())
    }
}

impl<T> Clone for Tried<T> {
    fn clone(&self) -> Self {
        Tried(self.0.clone())
    }
}

impl<T> Tried<T> {
    /// Takes back the last attempt.
    pub(super) fn forget_last(&mut self) {
        self.0.pop();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Balancer<T> {
    /// A balancer over targets with names of their own. They are taken for healthy until shown
    /// otherwise.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Config`] for a name that is there twice.
    pub fn new(
        specs: Vec<Spec<T>>,
        strategy: &'static StrategyInfo,
        options: HealthOptions,
    ) -> Result<Self> {
        Balancer::seeded(specs, strategy, options, None)
    }

    /// Has `rest` called for each target that stops getting sessions, as it is drained, removed or
    /// replaced.
    #[must_use]
    pub fn on_rest(self, rest: fn(&T)) -> Self {
        self.set().rest = rest;
        self
    }

    /// Lets `watcher` hear of what happens to targets from now on.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.set().watch(watcher);
    }

    /// As [`Balancer::new`], with chance that repeats for the same seed.
    ///
    /// # Errors
    /// As there.
    pub fn with_seed(
        specs: Vec<Spec<T>>,
        strategy: &'static StrategyInfo,
        options: HealthOptions,
        seed: u64,
    ) -> Result<Self> {
        Balancer::seeded(specs, strategy, options, Some(seed))
    }

    fn seeded(
        specs: Vec<Spec<T>>,
        strategy: &'static StrategyInfo,
        options: HealthOptions,
        seed: Option<u64>,
    ) -> Result<Self> {
        let now = Instant::now();
        let set = TargetSet::new(specs, options)?;
        let rotation = ArcSwap::from_pointee(Picker::new(&set, strategy, now));
        let turn = AtomicU64::new(0);
        let (set, changes) = (Mutex::new(set), watch::Sender::new(()));
        Ok(Balancer { strategy, epoch: now, seed, turn, rotation, set, changes })
    }

    /// Its strategy.
    pub fn strategy(&self) -> &'static StrategyInfo {
        self.strategy
    }

    /// How many targets may be picked now: those that are healthy and not drained, or when none is
    /// healthy, all that are not drained.
    pub fn serving(&self) -> usize {
        let now = Instant::now();
        if self.rotation.load().is_due(now) {
            // One whose ejection has just ended counts: it is picked.
            self.refresh(now);
        }
        self.rotation.load().groups.iter().map(Group::len).sum()
    }

    /// How many targets there are, drained ones included.
    pub fn len(&self) -> usize {
        self.set().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Picks a target that is none of `tried`. `None` if none is left that
    /// has a weight and room. Lock-free unless time has just changed a standing.
    pub fn take(&self, key: Option<u64>, now: Instant, tried: &Tried<T>) -> Option<Pick<'_, T>> {
        let mut rotation = self.rotation.load();
        if rotation.is_due(now) {
            drop(rotation);
            self.refresh(now);
            rotation = self.rotation.load();
        }
        let ask = self.ask(key, now);
        let place = rotation.groups.iter().find_map(|group| group.take(&ask, &tried.0))?;
        Some(Pick { balancer: self, place, from: now })
    }

    fn ask(&self, key: Option<u64>, now: Instant) -> PickContext {
        let next = || self.turn.fetch_add(1, Ordering::Relaxed);
        let (turn, chance) = match self.seed {
            _ if self.strategy.uses_turn => [next(); 2].into(),
            Some(seed) => {
                let turn = next();
                (turn, mix(turn ^ seed))
            }
            None => (0, fastrand::u64(..)),
        };
        let millis = if self.strategy.uses_time { self.millis(now) } else { 0 };
        PickContext { turn, chance, key: key.unwrap_or(chance), millis }
    }

    #[expect(clippy::cast_possible_truncation, reason = "ages are taken modulo 2^32")]
    fn millis(&self, now: Instant) -> u32 {
        // Not `as_millis`, whose 128 bits take as long as a pick's atomics.
        let since = now.saturating_duration_since(self.epoch);
        (since.as_secs() as u32).wrapping_mul(1_000).wrapping_add(since.subsec_millis())
    }

    fn set(&self) -> MutexGuard<'_, TargetSet<T>> {
        self.set.lock().ignore_poison()
    }

    /// Changes the set; if `change` returns true, prepares picking anew.
    fn update(&self, now: Instant, change: impl FnOnce(&mut TargetSet<T>) -> bool) {
        let mut set = self.set();
        if change(&mut set) {
            self.rotation.store(Arc::new(Picker::new(&set, self.strategy, now)));
        }
        let noted = set.take_noted();
        drop(set);
        if let Some(watcher) = noted {
            watcher.tell();
        }
    }

    /// Lets time pass, once for all that see at the same moment that it is due.
    fn refresh(&self, now: Instant) {
        self.update(now, |set| self.rotation.load().is_due(now) && set.tick(now));
    }

    fn try_update(
        &self,
        now: Instant,
        change: impl FnOnce(&mut TargetSet<T>) -> Result<()>,
    ) -> Result<()> {
        let mut result = Ok(());
        self.update(now, |set| {
            result = change(set);
            result.is_ok()
        });
        if result.is_ok() {
            self.changes.send_replace(());
        }
        result
    }

    /// Makes these the targets. Those that were there by the same name keep their counters, health
    /// and sessions; sessions of those that are gone run on.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Config`] for a name that is there twice; nothing changes.
    pub fn replace(&self, specs: Vec<Spec<T>>, now: Instant) -> Result<()> {
        self.try_update(now, |set| set.replace(specs, now))
    }

    /// Adds a target.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::Config`] if there is one of that name.
    pub fn add(&self, spec: Spec<T>, now: Instant) -> Result<()> {
        self.try_update(now, |set| set.add(spec, now))
    }

    /// Removes a target; its sessions run on.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::NotFound`] with the nearest name.
    pub fn remove(&self, name: &str, now: Instant) -> Result<()> {
        self.try_update(now, |set| set.remove(name))
    }

    /// Changes a weight. 0 drains: the target gets no new sessions, and those it has run on.
    ///
    /// # Errors
    /// [`jackfield_plugin_api::ErrorKind::NotFound`] with the nearest name.
    pub fn set_weight(&self, name: &str, weight: u32, now: Instant) -> Result<()> {
        self.try_update(now, |set| set.set_weight(name, weight))
    }

    /// Calls `visit` for each target with its name, in the order they were given.
    pub fn each(&self, mut visit: impl FnMut(&str, &T)) {
        for handle in self.handles() {
            visit(&handle.name, &handle.target);
        }
    }

    /// Hears of changes of the set; ends with the balancer.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The targets, in the order they were given.
    pub fn handles(&self) -> Vec<Arc<TargetHandle<T>>> {
        self.set().entries.iter().map(|entry| Arc::clone(&entry.handle)).collect()
    }

    /// Takes the result of an active check.
    pub(super) fn checked(&self, load: &Arc<Load>, error: Option<&Error>, now: Instant) {
        self.update(now, |set| match error {
            None => set.change(load, |health, options| health.check_passed(now, options)),
            Some(error) => {
                set.note(load, error);
                set.change(load, |health, options| health.check_failed(options))
            }
        });
    }

    /// Whether no target is healthy, so that all that are not drained serve.
    pub fn is_panic(&self) -> bool {
        self.rotation.load().panic
    }

    /// Whether every target has weight 0.
    pub fn is_drained(&self) -> bool {
        self.rotation.load().groups.is_empty()
    }

    /// All targets as they are now.
    pub fn snapshot(&self, now: Instant) -> Vec<TargetStatus> {
        let millis = self.millis(now);
        self.refresh(now);
        let all: Vec<TargetGlance<T>> = {
            let set = self.set();
            let entries = set.entries.iter();
            entries.map(|entry| TargetGlance::of(entry, set.standing(entry, now))).collect()
        };
        all.into_iter().map(|glance| glance.status(now, millis)).collect()
    }
}

impl<T> Pick<'_, T> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.place.handle.name
    }

    /// The target.
    pub fn target(&self) -> &T {
        &self.place.handle.target
    }

    /// Notes it as tried.
    pub fn note(&self, tried: &mut Tried<T>) {
        tried.0.push(Arc::clone(&self.place.handle));
    }

    /// A session is open.
    pub fn succeeded(self, balancer: &Arc<Balancer<T>>, now: Instant) -> InFlight<T> {
        let Pick { balancer: own, mut place, from } = self;
        place.decided();
        let load = &place.handle.load;
        load.count(true);
        if load.is_troubled() {
            own.update(now, |set| {
                set.change(load, |health, options| health.succeeded(now, options))
            });
        }
        load.measured(nanos(now.saturating_duration_since(from)), own.millis(now));
        InFlight { balancer: Arc::clone(balancer), place, fell: AtomicBool::new(false) }
    }

    /// No session; `allowed` is the time that there was for it.
    pub fn failed(self, error: &Error, allowed: Duration, now: Instant) {
        let load = &self.place.handle.load;
        load.count(false);
        load.measured(nanos(allowed), self.balancer.millis(now));
        self.balancer.update(now, |set| set.failed(load, false, error, now));
    }
}

impl<T> InFlight<T> {
    /// Its target.
    pub fn at(&self) -> &T {
        &self.place.handle.target
    }

    /// The name of its target.
    pub fn target(&self) -> &str {
        &self.place.handle.name
    }

    /// The session failed at the target's side before it did anything: as bad as if it could
    /// not have been opened.
    pub fn failed(&self, error: &Error, now: Instant) {
        let load = &self.place.handle.load;
        load.count(false);
        self.fell.store(true, Ordering::Relaxed);
        self.balancer.update(now, |set| set.failed(load, true, error, now));
    }
}

impl<T> Drop for InFlight<T> {
    fn drop(&mut self) {
        let load = &self.place.handle.load;
        if load.is_troubled() && !*self.fell.get_mut() {
            self.balancer.set().change(load, |health, _| {
                health.ended_well();
                false
            });
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency needs no more than three digits")]
fn nanos(time: Duration) -> f32 {
    time.as_nanos() as f32
}

#[cfg(test)]
#[path = "balancer_tests.rs"]
mod tests;
