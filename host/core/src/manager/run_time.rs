//! What was changed at run time, as a layer over the configuration: looked at, brought into force, and dropped.

use super::Manager;
use super::define::refuse_secrets;
use super::entries::DefinedBy;
use super::layer::{TargetEdit, TargetsLayer};
use super::upstreams::{names_of, spec};
use super::written::WrittenObject;
use crate::config::diff::ObjectId;
use crate::config::model::{ConnectionConfig, UpstreamConfig};
use crate::config::{KeyPath, TargetConfig, Via};
use crate::stack::Plan;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What was changed at run time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunTimeLayer {
    /// Whether it is kept in a state directory, and so is there again after a restart.
    pub kept: bool,
    /// Connections that were defined; what they hold is shown only if it is kept, when it holds no secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<String, Value>,
    /// What was changed of targets, by upstream.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<String, TargetsLayer>,
    /// Devices, paths, handlers, routes and whole upstreams that were defined or removed, by names such as
    /// `upstreams.NAME`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, WrittenObject>,
    /// What else was defined, which is gone with the host: `upstreams.NAME`, `routes.LISTEN`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_kept: Vec<String>,
    /// How it differs from the configuration, a line for each difference.
    pub drift: Vec<String>,
}

impl Manager {
    /// Notes a change of a target, and keeps it if there is a state directory.
    pub(super) fn note_target(
        &self,
        upstream: &str,
        target: &str,
        change: TargetEdit,
    ) -> Result<()> {
        // What the host finds by name changes no definition.
        let is_found = matches!(change, TargetEdit::Find(_))
            || change == TargetEdit::Remove && self.core.targets.is_found(upstream, target);
        self.core.targets.note(upstream, target, change.clone());
        if !is_found {
            self.core.revisions.note(&format!("upstreams.{upstream}"));
        }
        let kept = self.core.named.keep_target(upstream, target, change);
        kept.map_err(|error| {
            let text = format!("it holds until the host ends, and cannot be kept: {error}");
            Error::new(error.kind(), text)
        })
    }

    /// Forgets what was changed of the targets of an upstream.
    pub(super) fn forget_targets(&self, upstream: &str) -> Result<()> {
        if self.core.targets.clear(upstream) {
            self.core.named.forget_targets(upstream, false)
        } else {
            Ok(())
        }
    }

    /// As [`Manager::forget_targets`], but for those that the host has found by name.
    fn reset_targets(&self, upstream: &str) -> Result<()> {
        if self.core.targets.reset(upstream) {
            self.core.revisions.note(&format!("upstreams.{upstream}"));
            self.core.named.forget_targets(upstream, true)
        } else {
            Ok(())
        }
    }

    /// A target that is kept must hold no secret, only where it is.
    pub(super) fn keepable(&self, target: &TargetConfig) -> Result<()> {
        if target.to.is_some() {
            return Ok(());
        }
        if matches!(&target.via, Some(Via::Uri(uri)) if uri.password.is_some()) {
            let text =
                "a target that is kept holds no password: via names a connection that has it";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let carried = target.via.is_some();
        let plan = Plan::new(&target.uri, &self.core.registry(), Role::Client, carried)?;
        let TargetConfig { uri, options, login, .. } = target.clone();
        refuse_secrets(
            &plan,
            &ConnectionConfig { uri, options, login, ..ConnectionConfig::default() },
        )
    }

    /// Lets the targets of all upstreams be as what was changed at run time says.
    pub(super) async fn bring_all_targets(&self) {
        for upstream in self.core.targets.all().into_keys() {
            // One that is not there now may be again.
            if self.core.upstreams.get(&upstream).is_ok() {
                self.bring_targets(&upstream).await;
            }
        }
    }

    /// Lets the targets of an upstream be those of its definition, with what was changed at run time. What cannot be
    /// had is left out, with a warning.
    async fn bring_targets(&self, name: &str) {
        let Ok(entry) = self.core.upstreams.get(name) else { return };
        let (upstream, now) = (&entry.made.upstream, Instant::now());
        let wanted = self.core.targets.of(name).over(&entry.config);
        let there = upstream.targets();
        let told = |error: Error, target: &str| {
            tracing::warn!(upstream = name, target, %error, "a target is not as it was changed");
        };
        for target in &wanted {
            if there.iter().any(|(other, _)| *other == target.name) {
                let weight = target.config.weight.into();
                let set = upstream.balancer().set_weight(&target.name, weight, now);
                set.unwrap_or_else(|error| told(error, &target.name));
            } else if let Err(error) =
                self.bring_target(name, &entry.config, &target.name, &target.config).await
            {
                told(error, &target.name);
            }
        }
        for (target, it) in &there {
            if wanted.iter().any(|other| other.name == *target) {
                continue;
            }
            match upstream.balancer().remove(target, now) {
                Ok(()) => it.via().into_iter().for_each(|via| self.core.named.carries(via, false)),
                Err(error) => told(error, target),
            }
        }
    }

    async fn bring_target(
        &self,
        upstream: &str,
        defined: &UpstreamConfig,
        name: &str,
        config: &TargetConfig,
    ) -> Result<()> {
        let key = KeyPath::from_iter(["upstreams", upstream, "targets", name]);
        let builder = self.run_time_builder();
        let made = self.make_target(&builder, &key, config, &defined.interceptors).await?;
        let (to, via) = (self.upstream(upstream)?, made.via().cloned());
        let made = spec(name.to_owned(), to.target_of(name, made)?, config);
        to.balancer().add(made, Instant::now())?;
        via.iter().for_each(|via| self.core.named.carries(via, true));
        Ok(())
    }

    /// What was changed at run time.
    pub fn run_time_layer(&self) -> RunTimeLayer {
        let kept = self.core.named.keeps();
        let mut layer = RunTimeLayer { kept, ..RunTimeLayer::default() };
        for entry in self.core.named.entries.all() {
            if entry.by != DefinedBy::Call {
                continue;
            }
            let written = entry.config.as_deref().filter(|_| kept);
            let written = written.and_then(|config| {
                crate::config::model::sparse(config, serde_json::value::Serializer).ok()
            });
            layer.drift.push(format!("connections.{} was defined", entry.name));
            layer.connections.insert(entry.name.to_string(), written.unwrap_or(Value::Null));
        }
        let changed = self.core.targets.all().into_iter();
        for (name, mut changed) in changed.filter(|(_, changed)| !changed.is_unchanged()) {
            layer.drift.extend(self.drift_of(&name, &changed));
            if !kept {
                for target in changed.added.values_mut() {
                    (target.options, target.login) = Default::default();
                }
            }
            layer.upstreams.insert(name, changed);
        }
        layer.objects = self.core.written.all();
        layer.drift.extend(self.written_drift());
        layer.not_kept = self.not_kept();
        layer.not_kept.retain(|what| !self.is_written(what));
        let lost = layer.not_kept.iter().map(|what| format!("{what} was defined, and is not kept"));
        layer.drift.extend(lost);
        layer
    }

    fn drift_of(&self, upstream: &str, changed: &TargetsLayer) -> Vec<String> {
        let Ok(entry) = self.core.upstreams.get(upstream) else {
            return vec![format!("upstreams.{upstream} is not there; its targets were changed")];
        };
        let defined: BTreeMap<String, &TargetConfig> =
            names_of(&entry.config.targets).into_iter().zip(&entry.config.targets).collect();
        let there = upstream_names(&entry.made.upstream.targets());
        let mut lines = Vec::new();
        for name in changed.added.keys() {
            let lost = if there.contains(name) { "" } else { ", and is not in force" };
            lines.push(format!("upstreams.{upstream}: target {name} was added{lost}"));
        }
        for name in changed.removed.iter().filter(|name| defined.contains_key(*name)) {
            lines.push(format!("upstreams.{upstream}: target {name} was removed"));
        }
        for (name, weight) in &changed.weights {
            let own = changed.added.get(name).or_else(|| changed.found.get(name));
            let own = own.or_else(|| defined.get(name).copied());
            if let Some(own) = own.filter(|own| u32::from(own.weight) != *weight) {
                let said = own.weight;
                lines.push(format!(
                    "upstreams.{upstream}: target {name} has weight {weight}, not {said}"
                ));
            }
        }
        lines
    }

    /// Whether something, or each path of a device, was written as a file would say it.
    fn is_written(&self, what: &str) -> bool {
        let below = format!("{what}.");
        let all = self.core.written.all();
        all.contains_key(what) || all.keys().any(|name| name.starts_with(&below))
    }

    /// Definitions of calls that end with the host.
    fn not_kept(&self) -> Vec<String> {
        let by_call = |by: DefinedBy| by == DefinedBy::Call;
        let upstreams = self.core.upstreams.all().into_iter();
        let upstreams = upstreams.filter(|(_, it)| by_call(it.by));
        let handlers = self.core.handlers.all().into_iter();
        let handlers = handlers.filter(|(_, it)| by_call(it.by));
        let devices = self.device_snapshots().into_iter();
        let devices = devices.filter(|it| by_call(it.defined_by) || !it.added.is_empty());
        let routes = self.listeners().into_iter().filter(|it| by_call(it.defined_by));
        upstreams
            .map(|(name, _)| format!("upstreams.{name}"))
            .chain(handlers.map(|(name, _)| format!("handlers.{name}")))
            .chain(devices.map(|it| format!("devices.{}", it.it.name)))
            .chain(routes.map(|it| format!("routes.{}", it.listen)))
            .collect()
    }

    /// Drops what was changed at run time of targets, connections that were defined, and what else was written as a file
    /// would say it: all is as the configuration says. Sessions of targets that go run on; connections are closed. Answers
    /// the objects that the configuration has and that were removed or replaced: they are as it says once
    /// [`Reloader::restore`](crate::reload::Reloader::restore) has taken them over anew.
    ///
    /// # Errors
    /// What could not be dropped, which stays.
    pub async fn reset_run_time_layer(&self) -> Result<Vec<ObjectId>> {
        for upstream in self.core.targets.all().into_keys() {
            self.reset_targets(&upstream)?;
            self.bring_targets(&upstream).await;
        }
        let (again, mut failed) = self.reset_written().await;
        for entry in self.core.named.entries.all() {
            if entry.by == DefinedBy::Call
                && let Err(error) = self.destroy(&entry.name).await
            {
                failed.push(error.to_string());
            }
        }
        if failed.is_empty() {
            return Ok(again);
        }
        Err(Error::new(ErrorKind::InUse, failed.join("; ")))
    }
}

fn upstream_names<T>(targets: &[(String, T)]) -> Vec<String> {
    targets.iter().map(|(name, _)| name.clone()).collect()
}
