//! [`TargetsLayer`]: what was changed of the targets of an upstream at run time, over what its definition says.
//!
//! It holds whatever else changes of the upstream, in the files or in what is built of them, until it is reset: a target
//! that was added stays, one that was removed stays away, and a weight that was set is the weight. A definition of the
//! whole upstream at run time is the newest word, and ends it.
//!
//! Targets that the host has found by name ([`super::discover`]) are beside it: nobody has changed anything, so they are no
//! drift, are not written out, and stay when the layer is reset.

use super::upstreams::names_of;
use crate::config::model::UpstreamConfig;
use crate::config::{DiscoverOptions, TargetConfig};
use crate::lock::IgnorePoison;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// What was changed of the targets of one upstream, by their names there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TargetsLayer {
    /// Targets that were added.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub added: BTreeMap<String, TargetConfig>,
    /// Targets of the definition that were removed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<String>,
    /// Weights that were set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, u32>,
    /// Targets that the host has found by name.
    #[serde(skip)]
    pub(super) found: BTreeMap<String, TargetConfig>,
}

/// The label of a target that was found: the name of its service.
pub(super) const SERVICE: &str = "service";

/// One change of a target.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TargetEdit {
    Add(Box<TargetConfig>),
    /// The host has found it by name.
    Find(Box<TargetConfig>),
    Remove,
    Weigh(u32),
}

/// A target as it is to be.
pub(super) struct LayeredTarget {
    pub(super) name: String,
    pub(super) config: TargetConfig,
    /// Its number in the definition; `None` for one that was added.
    pub(super) index: Option<usize>,
}

impl TargetsLayer {
    pub(super) fn note(&mut self, target: &str, change: TargetEdit) {
        match change {
            TargetEdit::Add(config) => drop(self.added.insert(target.to_owned(), *config)),
            TargetEdit::Find(config) => drop(self.found.insert(target.to_owned(), *config)),
            TargetEdit::Remove => {
                self.weights.remove(target);
                let came = self.found.remove(target).or(self.added.remove(target));
                if came.is_none() {
                    self.removed.insert(target.to_owned());
                }
            }
            TargetEdit::Weigh(weight) => drop(self.weights.insert(target.to_owned(), weight)),
        }
    }

    /// The changes that make it, one for each of its entries.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&str, TargetEdit)> {
        // What was removed comes first: one of the same name may have been added then.
        let removed = self.removed.iter().map(|name| (name.as_str(), TargetEdit::Remove));
        let added = self
            .added
            .iter()
            .map(|(name, config)| (name.as_str(), TargetEdit::Add(Box::new(config.clone()))));
        let found = self
            .found
            .iter()
            .map(|(name, config)| (name.as_str(), TargetEdit::Find(Box::new(config.clone()))));
        let weights =
            self.weights.iter().map(|(name, weight)| (name.as_str(), TargetEdit::Weigh(*weight)));
        removed.chain(added).chain(found).chain(weights)
    }

    /// Whether nobody has changed anything.
    pub(super) fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.weights.is_empty()
    }

    /// What is left of it when it is reset.
    #[must_use]
    pub(super) fn reset(self) -> Self {
        TargetsLayer { found: self.found, ..TargetsLayer::default() }
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.weights.len() + self.found.len()
    }

    /// Whether the definition has no say about a target of that name.
    pub(super) fn has(&self, target: &str) -> bool {
        self.added.contains_key(target)
            || self.removed.contains(target)
            || self.found.contains_key(target)
    }

    /// The targets of a definition with what was changed of them, and what was found by its services. An upstream is never
    /// without a target: if all of the definition were removed, and none was added, those of the definition are there.
    pub(super) fn over(&self, upstream: &UpstreamConfig) -> Vec<LayeredTarget> {
        let defined = &upstream.targets;
        let all: Vec<LayeredTarget> = names_of(defined)
            .into_iter()
            .zip(defined)
            .enumerate()
            .map(|(index, (name, config))| LayeredTarget {
                name,
                config: config.clone(),
                index: Some(index),
            })
            .collect();
        let (mut wanted, left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|target| !self.has(&target.name));
        let found = self.found.iter().filter(|(_, found)| is_of(found, &upstream.discover));
        wanted.extend(self.added.iter().chain(found).map(|(name, config)| LayeredTarget {
            name: name.clone(),
            config: config.clone(),
            index: None,
        }));
        let mut wanted = if wanted.is_empty() { left } else { wanted };
        for target in &mut wanted {
            let weight = self.weights.get(&target.name).copied();
            if let Some(weight) = weight.and_then(|weight| u16::try_from(weight).ok()) {
                target.config.weight = weight;
            }
        }
        wanted
    }
}

/// Whether a target was found by one of these services.
fn is_of(found: &TargetConfig, services: &DiscoverOptions) -> bool {
    let service = found.labels.get(SERVICE);
    services.services.iter().any(|named| named.host.as_ref() == service)
}

/// The layers of all upstreams, by name.
#[derive(Debug, Default)]
pub(super) struct TargetsLayers(Mutex<BTreeMap<String, TargetsLayer>>);

impl TargetsLayers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TargetsLayer>> {
        self.0.lock().ignore_poison()
    }

    pub(super) fn all(&self) -> BTreeMap<String, TargetsLayer> {
        self.lock().clone()
    }

    /// That of one upstream; empty if nothing was changed of it.
    pub(super) fn of(&self, upstream: &str) -> TargetsLayer {
        self.lock().get(upstream).cloned().unwrap_or_default()
    }

    /// The names of the targets that were added to an upstream.
    pub(super) fn added(&self, upstream: &str) -> Vec<String> {
        let all = self.lock();
        all.get(upstream).map(|layer| layer.added.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether the host has found a target by name.
    pub(super) fn is_found(&self, upstream: &str, target: &str) -> bool {
        self.lock().get(upstream).is_some_and(|layer| layer.found.contains_key(target))
    }

    /// Targets that were found by services which `services` no longer names.
    pub(super) fn strays(&self, upstream: &str, services: &DiscoverOptions) -> Vec<String> {
        let all = self.lock();
        let found = all.get(upstream).into_iter().flat_map(|layer| &layer.found);
        let strays = found.filter(|(_, found)| !is_of(found, services));
        strays.map(|(name, _)| name.clone()).collect()
    }

    /// The weight that was set of a target.
    pub(super) fn weight(&self, upstream: &str, target: &str) -> Option<u32> {
        self.lock().get(upstream)?.weights.get(target).copied()
    }

    /// Whether a target was added by an equal definition.
    pub(super) fn is_added(&self, upstream: &str, target: &str, config: &TargetConfig) -> bool {
        self.lock().get(upstream).and_then(|layer| layer.added.get(target)) == Some(config)
    }

    pub(super) fn note(&self, upstream: &str, target: &str, change: TargetEdit) {
        self.lock().entry(upstream.to_owned()).or_default().note(target, change);
    }

    /// Forgets what was changed of an upstream, and what was found; answers whether there was anything.
    pub(super) fn clear(&self, upstream: &str) -> bool {
        self.lock().remove(upstream).is_some()
    }

    /// Forgets what was changed of an upstream; answers whether anything was.
    pub(super) fn reset(&self, upstream: &str) -> bool {
        let mut all = self.lock();
        let Some(layer) = all.remove(upstream) else { return false };
        let was_changed = !layer.is_unchanged();
        let left = layer.reset();
        if !left.found.is_empty() {
            all.insert(upstream.to_owned(), left);
        }
        was_changed
    }

    /// Takes what was kept.
    pub(super) fn restore(&self, kept: BTreeMap<String, TargetsLayer>) {
        *self.lock() = kept;
    }
}
