//! Targets of an upstream that come, go and weigh otherwise, while the others keep their sessions and their health.

use crate::config::diff::Change;
use crate::config::model::UpstreamConfig;
use crate::config::{KeyPath, TargetConfig};
use crate::manager::Manager;
use crate::manager::define::in_range;
use crate::manager::definitions::Made;
use crate::manager::layer::TargetsLayer;
use crate::manager::target_builder::{Lacking, TargetBuilder, Unbuilt};
use crate::manager::upstreams::{UpstreamEntry, checks_fit, names_of, share_fits, spec};
use crate::upstream::{Spec, Upstream, UpstreamTarget};
use jackfield_plugin_api::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What becomes of the targets of an upstream.
#[derive(Debug)]
pub(super) struct TargetsPatch {
    upstream: Arc<Upstream>,
    gone: Vec<String>,
    new: Vec<Spec<UpstreamTarget>>,
    /// Weights of those that stay.
    weights: Vec<(String, u32)>,
}

/// Whether nothing of an upstream is different but its targets.
pub(super) fn is_patch(change: &Change) -> bool {
    let is_target = |key: &str| key == "targets" || key.starts_with("targets.");
    change.keys.iter().all(|key| is_target(&key.key))
}

impl TargetsPatch {
    /// The name of its upstream.
    pub(super) fn name(&self) -> &str {
        self.upstream.name()
    }

    /// Leaves as it is what was changed at run time.
    fn below(&mut self, layer: &TargetsLayer) {
        self.gone.retain(|name| !layer.has(name));
        self.new.retain(|spec| !layer.has(&spec.name));
        self.weights.retain(|(name, _)| !layer.weights.contains_key(name));
        for spec in &mut self.new {
            if let Some(weight) = layer.weights.get(&spec.name) {
                spec.weight = *weight;
            }
        }
    }
}

impl Manager {
    /// The patch by which `was` becomes `config`; `None` where it takes another upstream: of another driver, or with
    /// none of its targets. To be called on the tables that are staged.
    pub(super) async fn patch_upstream(
        &self,
        builder: &TargetBuilder<'_>,
        (name, config, change): (&str, &UpstreamConfig, &Change),
        was: &Made<UpstreamConfig, UpstreamEntry>,
    ) -> Result<Option<TargetsPatch>, Unbuilt> {
        let key = KeyPath::from_iter(["upstreams", name]);
        let upstream = &was.made.upstream;
        let before: BTreeMap<String, &TargetConfig> =
            names_of(&was.config.targets).into_iter().zip(&was.config.targets).collect();
        let names = names_of(&config.targets);
        let mut patch = TargetsPatch {
            upstream: Arc::clone(upstream),
            gone: before.keys().filter(|name| !names.contains(name)).cloned().collect(),
            new: Vec::new(),
            weights: Vec::new(),
        };
        let (mut lacking, mut made) = (Lacking::default(), Vec::new());
        for (index, (name, target)) in names.iter().zip(&config.targets).enumerate() {
            let touched = format!("targets.{index}");
            let is_touched = change.keys.iter().any(|key| {
                key.key
                    .strip_prefix(&touched)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            let known = before.get(name).copied().filter(|_| !is_touched);
            if let Some(weight) = known.and_then(|known| same_but_weight(known, target)) {
                patch.weights.extend(weight.map(|weight| (name.clone(), weight)));
                continue;
            }
            let at = key.key("targets").index(index);
            in_range(&at, target.problems()).map_err(|error| Unbuilt::at(at.clone(), error))?;
            let built = self.make_target(builder, &at, target, &config.interceptors).await;
            if let Some(built) = lacking.keep(built) {
                made.push(spec(name.clone(), built, target));
            }
        }
        let made = lacking.done(made)?;
        let driver = |one: Option<&str>| one.map(str::to_owned);
        let own = driver(upstream.driver().map(|driver| driver.name()));
        if made.iter().any(|spec| driver(spec.target.stack().top().map(|it| it.name())) != own) {
            return Ok(None);
        }
        // One that stands for another of its name is away for a moment, in which there must be others.
        let others = names.iter().any(|name| {
            let stays = before.contains_key(name) && !made.iter().any(|spec| spec.name == *name);
            stays || !before.contains_key(name)
        });
        if !made.is_empty() && !others {
            return Ok(None);
        }
        share_fits(&key, config, &made)?;
        checks_fit(&key, config, &made)?;
        for spec in made {
            let Spec { name, target, weight, priority, max_connections, labels } = spec;
            let target = upstream.target_of(&name, target);
            let target = target.map_err(|error| Unbuilt::at(key.key("targets"), error))?;
            patch.new.push(Spec { name, target, weight, priority, max_connections, labels });
        }
        patch.below(&self.core.targets.of(name));
        Ok(Some(patch))
    }

    /// Makes a patch.
    pub(super) fn apply_patch(&self, patch: TargetsPatch) {
        let TargetsPatch { upstream, gone, new, weights } = patch;
        self.carry(&upstream, false);
        let (balancer, now) = (upstream.balancer(), Instant::now());
        let there: Vec<String> = balancer.handles().iter().map(|it| it.name.clone()).collect();
        let told = |error: jackfield_plugin_api::Error| {
            tracing::warn!(upstream = upstream.name(), %error, "a target was not changed");
        };
        // Those with new names come first, so that there is one at any time.
        let added: Vec<String> = new.iter().map(|spec| spec.name.clone()).collect();
        let (again, fresh): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|spec| there.contains(&spec.name));
        for spec in fresh {
            balancer.add(spec, now).unwrap_or_else(told);
        }
        for name in gone.iter().filter(|name| there.contains(name)) {
            balancer.remove(name, now).unwrap_or_else(told);
        }
        for spec in again {
            balancer.remove(&spec.name, now).unwrap_or_else(told);
            balancer.add(spec, now).unwrap_or_else(told);
        }
        for (name, weight) in weights {
            balancer.set_weight(&name, weight, now).unwrap_or_else(told);
        }
        self.carry(&upstream, true);
        balancer.each(|name, target| {
            if added.iter().any(|added| added == name) {
                target.warm();
            }
        });
    }
}

/// The other weight of a target that is the same but for it, if it is another; `None` for another target.
fn same_but_weight(was: &TargetConfig, is: &TargetConfig) -> Option<Option<u32>> {
    let weighed = TargetConfig { weight: is.weight, ..was.clone() };
    (weighed == *is).then(|| (was.weight != is.weight).then(|| is.weight.into()))
}
