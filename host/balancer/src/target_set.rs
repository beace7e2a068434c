//! [`TargetSet`]: the targets of an upstream with their health, changed one by one or as a whole.
//! What stays the same target keeps its state, so that a change never disturbs what runs.

use super::health::{Standing, TargetHealth};
use super::load::{Load, TrialGate};
use super::options::HealthOptions;
use super::watcher::{self, TargetChange, Watcher};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_text::nearest::did_you_mean;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// A target as it is asked for.
#[derive(Clone, Debug)]
pub struct Spec<T> {
    /// Its name; unique in its upstream, and what it is recognised by in a later set.
    pub name: String,
    /// How it is reached.
    pub target: T,
    /// Its part of the sessions relative to the others; 0 drains it: it gets no new ones.
    pub weight: u32,
    /// 0 serves first; a higher number only when none of the lower can.
    pub priority: u32,
    /// The most sessions at a time; `None` is any number.
    pub max_connections: Option<u32>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

impl<T> Spec<T> {
    /// A target with weight 1, priority 0 and no limit.
    pub fn new(name: impl Into<String>, target: T) -> Self {
        Spec {
            name: name.into(),
            target,
            weight: 1,
            priority: 0,
            max_connections: None,
            labels: BTreeMap::new(),
        }
    }
}

/// A target with its name, shared by those that pick it and the sessions at it.
#[derive(Debug)]
pub struct TargetHandle<T> {
    /// Its name; unique in its balancer.
    pub name: String,
    /// The target.
    pub target: T,
    pub(super) labels: BTreeMap<String, String>,
    /// Of its name, the same in every process.
    pub(super) identity: u64,
    pub(super) load: Arc<Load>,
}

#[derive(Debug)]
pub(super) struct TargetEntry<T> {
    pub(super) handle: Arc<TargetHandle<T>>,
    pub(super) weight: u32,
    pub(super) priority: u32,
    pub(super) health: TargetHealth,
    pub(super) last_error: Option<String>,
}

impl<T> TargetEntry<T> {
    fn new(
        spec: Spec<T>,
        load: Arc<Load>,
        health: TargetHealth,
        last_error: Option<String>,
    ) -> Self {
        load.set_limit(spec.max_connections);
        let hash = Sha256::digest(spec.name.as_bytes());
        let identity = hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let Spec { name, target, weight, priority, labels, .. } = spec;
        let handle = Arc::new(TargetHandle { name, target, labels, identity, load });
        TargetEntry { handle, weight, priority, health, last_error }
    }

    /// Lets those that pick without a lock see the health.
    fn publish(&self) {
        let gate = if self.health.is_half_open() { TrialGate::Trial } else { TrialGate::Open };
        self.handle.load.set_gate(gate);
    }
}

/// All targets of an upstream.
#[derive(Debug)]
pub(super) struct TargetSet<T> {
    pub(super) entries: Vec<TargetEntry<T>>,
    pub(super) options: HealthOptions,
    /// Called for a target that gets no more sessions.
    pub(super) rest: fn(&T),
    watcher: Option<Arc<dyn Watcher>>,
    /// Whether it was noted something that is not told.
    noted: bool,
}

impl<T> TargetSet<T> {
    pub(super) fn new(specs: Vec<Spec<T>>, options: HealthOptions) -> Result<Self> {
        unique(&specs)?;
        let entry = |spec| TargetEntry::new(spec, Arc::default(), TargetHealth::default(), None);
        let entries = specs.into_iter().map(entry).collect();
        Ok(TargetSet { entries, options, rest: |_| {}, watcher: None, noted: false })
    }

    /// Lets `watcher` hear of all that happens from now on.
    pub(super) fn watch(&mut self, watcher: Arc<dyn Watcher>) {
        self.watcher = Some(watcher);
    }

    /// The watcher, if something was noted since; to be told once the lock is released.
    pub(super) fn take_noted(&mut self) -> Option<Arc<dyn Watcher>> {
        std::mem::take(&mut self.noted).then(|| self.watcher.clone()).flatten()
    }

    fn note_change(&mut self, name: &str, change: &TargetChange, error: Option<&str>) {
        if let Some(watcher) = &self.watcher {
            watcher.note(name, change, error);
            self.noted = true;
        }
    }

    /// Makes this the whole set. Those that were there keep their state.
    pub(super) fn replace(&mut self, specs: Vec<Spec<T>>, now: Instant) -> Result<()> {
        unique(&specs)?;
        let names: HashSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
        let before: Vec<String> =
            self.entries.iter().map(|entry| entry.handle.name.clone()).collect();
        for name in before.iter().filter(|name| !names.contains(*name)) {
            self.note_change(name, &TargetChange::Removed, None);
        }
        for name in names.iter().filter(|name| !before.contains(name)) {
            self.note_change(name, &TargetChange::Added, None);
        }
        let mut old: HashMap<String, TargetEntry<T>> =
            self.entries.drain(..).map(|entry| (entry.handle.name.clone(), entry)).collect();
        for spec in specs {
            self.entries.push(match old.remove(&spec.name) {
                Some(entry) => {
                    (self.rest)(&entry.handle.target);
                    let load = Arc::clone(&entry.handle.load);
                    TargetEntry::new(spec, load, entry.health, entry.last_error)
                }
                None => TargetEntry::new(
                    spec,
                    Arc::default(),
                    TargetHealth::added(now, &self.options),
                    None,
                ),
            });
        }
        old.values().for_each(|entry| (self.rest)(&entry.handle.target));
        Ok(())
    }

    pub(super) fn add(&mut self, spec: Spec<T>, now: Instant) -> Result<()> {
        if self.position(&spec.name).is_ok() {
            return Err(twice(&spec.name));
        }
        let health = TargetHealth::added(now, &self.options);
        self.note_change(&spec.name, &TargetChange::Added, None);
        self.entries.push(TargetEntry::new(spec, Arc::default(), health, None));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        let at = self.position(name)?;
        let entry = self.entries.remove(at);
        (self.rest)(&entry.handle.target);
        self.note_change(name, &TargetChange::Removed, None);
        Ok(())
    }

    pub(super) fn set_weight(&mut self, name: &str, weight: u32) -> Result<()> {
        let at = self.position(name)?;
        self.entries[at].weight = weight;
        if weight == 0 {
            (self.rest)(&self.entries[at].handle.target);
        }
        self.note_change(name, &TargetChange::Weight(weight), None);
        Ok(())
    }

    fn position(&self, name: &str) -> Result<usize> {
        let found = self.entries.iter().position(|entry| entry.handle.name == name);
        found.ok_or_else(|| {
            let near = did_you_mean(name, self.entries.iter().map(|e| e.handle.name.as_str()));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no target {name:?}{hint}"))
        })
    }

    /// The entry that counts on that load, if it is still in the set.
    fn entry(&mut self, load: &Arc<Load>) -> Option<&mut TargetEntry<T>> {
        self.entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.handle.load, load))
    }

    /// Applies `change` to the health of a target; returns whether standings may have changed.
    pub(super) fn change(
        &mut self,
        load: &Arc<Load>,
        change: impl FnOnce(&mut TargetHealth, &HealthOptions) -> bool,
    ) -> bool {
        let options = self.options.clone();
        let Some(entry) = self.entry(load) else { return false };
        let (was_troubled, before) = (entry.health.is_ejected(), entry.health.stands());
        let changed = change(&mut entry.health, &options);
        load.set_troubled(entry.health.is_troubled());
        if changed {
            entry.publish();
            if was_troubled && !entry.health.is_ejected() {
                load.forget_latency();
            }
            if let Some(change) = watcher::change(before, entry.health.stands()) {
                let (handle, error) = (Arc::clone(&entry.handle), entry.last_error.clone());
                self.note_change(&handle.name, &change, error.as_deref());
            }
        }
        changed
    }

    /// A failure at a handle: of a session that had `opened`, or of opening one.
    pub(super) fn failed(
        &mut self,
        load: &Arc<Load>,
        opened: bool,
        error: &Error,
        now: Instant,
    ) -> bool {
        let ejected = self.entries.iter().filter(|entry| entry.health.is_ejected()).count();
        let may_eject = ejected < self.options.outlier.max_ejected(self.entries.len());
        self.note(load, error);
        self.change(load, |health, options| health.failed(opened, may_eject, now, options))
    }

    /// Remembers what went wrong last.
    pub(super) fn note(&mut self, load: &Arc<Load>, error: &Error) {
        if let Some(entry) = self.entry(load) {
            entry.last_error = Some(error.to_string());
        }
    }

    /// Lets time pass; returns whether standings may have changed.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let (mut changed, mut changes) = (false, Vec::new());
        for entry in &mut self.entries {
            let before = entry.health.stands();
            if entry.health.tick(now, &self.options) {
                entry.publish();
                changed = true;
                let change = watcher::change(before, entry.health.stands());
                changes.extend(change.map(|change| (Arc::clone(&entry.handle), change)));
            }
        }
        for (handle, change) in changes {
            self.note_change(&handle.name, &change, None);
        }
        changed
    }

    pub(super) fn standing(&self, entry: &TargetEntry<T>, now: Instant) -> Standing {
        entry.health.standing(now, &self.options)
    }

    /// When time next changes a standing by itself.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.health.due(now, &self.options)).min()
    }
}

fn unique<T>(specs: &[Spec<T>]) -> Result<()> {
    let mut seen = HashSet::new();
    match specs.iter().find(|spec| !seen.insert(spec.name.as_str())) {
        Some(spec) => Err(twice(&spec.name)),
        None => Ok(()),
    }
}

fn twice(name: &str) -> Error {
    Error::new(ErrorKind::Config, format!("target {name:?} is there twice"))
}
