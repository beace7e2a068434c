//! The verbs on upstreams, and from their definitions to what serves.

use super::Manager;
use super::define::check_name;
use super::definitions::Made;
use super::discover;
use super::entries::DefinedBy;
use super::layer::{LayeredTarget, TargetEdit, TargetsLayer};
use super::named::Existing;
use super::snapshot::Defined;
use super::target_builder::{Lacking, TargetBuilder, Unbuilt, check_call_timeouts};
use crate::config::model::UpstreamConfig;
use crate::config::{self, Config, KeyPath, Reference};
use crate::connection::{Target, shares};
use crate::upstream::{Spec, Upstream, UpstreamContext, UpstreamOptions, UpstreamSnapshot};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An upstream; what was changed of its targets at run time is kept apart from it ([`super::layer`]).
#[derive(Debug)]
pub(super) struct UpstreamEntry {
    pub(super) upstream: Arc<Upstream>,
}

impl UpstreamEntry {
    /// The same upstream, for another definition of it.
    pub(super) fn again(&self) -> Self {
        UpstreamEntry { upstream: Arc::clone(&self.upstream) }
    }

    /// An upstream that was made.
    pub(super) fn of(upstream: Upstream) -> Self {
        UpstreamEntry { upstream: Arc::new(upstream) }
    }
}

impl Made<UpstreamConfig, UpstreamEntry> {
    /// With the names of targets that were `added` at run time.
    pub(super) fn snapshot(&self, added: Vec<String>) -> Defined<UpstreamSnapshot> {
        Defined { it: self.made.upstream.snapshot(), defined_by: self.by, added }
    }
}

impl Manager {
    /// Defines an upstream without connecting; its checks and what its pools keep open begin at once. Routes that
    /// lead to one that is replaced lead to the new one; sessions of the old one go on, and its pools are closed.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] for a name that is taken by another definition, unless it is replaced; an equal one is
    /// used again, with what was added to it since. [`ErrorKind::Config`] for a name, a key or options that are not
    /// acceptable; [`ErrorKind::NotFound`] for what a target names.
    pub async fn define_upstream(
        &self,
        name: &str,
        config: UpstreamConfig,
        existing: Existing,
    ) -> Result<Arc<Upstream>> {
        check_name(name)?;
        let alone = [(name.to_owned(), config.clone())].into();
        config::check_alone(&Config { upstreams: alone, ..Config::default() })?;
        if let Some(entry) = self.core.upstreams.equal(name, &config, existing)? {
            return Ok(Arc::clone(&entry.made.upstream));
        }
        // A definition of the whole is the newest word, unless it is one that was kept.
        let is_kept = self.core.written.is_restoring();
        let layer = if is_kept { self.core.targets.of(name) } else { TargetsLayer::default() };
        let made = self.make_upstream(&self.run_time_builder(), (name, &config), &layer).await?;
        let replaced = self.enter_upstream(name, &config, made, DefinedBy::Call, existing)?;
        if !is_kept {
            self.forget_targets(name)?;
        }
        let upstream = self.upstream(name)?;
        self.keep_up(&upstream);
        self.tell_defined(format!("upstreams.{name}"), replaced.is_some());
        if let Some(replaced) = replaced {
            self.reroute(&Reference::Upstream(name.to_owned())).await;
            replaced.close_pools();
        }
        Ok(upstream)
    }

    /// Takes an upstream away. Unused sessions of its pools are closed, those in use within `limit`; others run on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name; [`ErrorKind::InUse`] while a route leads to it.
    pub async fn remove_upstream(&self, name: &str, limit: Duration) -> Result<()> {
        self.core.upstreams.get(name)?;
        self.leads_nowhere_else(&Reference::Upstream(name.to_owned()))?;
        let Some(entry) = self.core.upstreams.remove(name) else { return Ok(()) };
        if entry.by != DefinedBy::Config {
            self.forget_targets(name)?;
        }
        let upstream = &entry.made.upstream;
        self.carry(upstream, false);
        self.tell_removed(format!("upstreams.{name}"));
        upstream.drain_pools(Instant::now() + limit).await;
        Ok(())
    }

    /// Makes an upstream of its definition, wherever that stands, with what was changed of its targets.
    pub(super) async fn make_upstream(
        &self,
        builder: &TargetBuilder<'_>,
        (name, config): (&str, &UpstreamConfig),
        layer: &TargetsLayer,
    ) -> Result<Upstream, Unbuilt> {
        let key = KeyPath::from_iter(["upstreams", name]);
        let (mut lacking, mut made) = (Lacking::default(), Vec::new());
        for LayeredTarget { name: target, config: said, index } in layer.over(config) {
            let key = key.key("targets");
            let key = index.map_or_else(|| key.key(&target), |index| key.index(index));
            let built = self.make_target(builder, &key, &said, &config.interceptors).await;
            let built = match (built, index) {
                // It must not keep the host from starting: nobody could take it away then.
                (Err(unbuilt), None) => {
                    let error = Error::from(unbuilt);
                    tracing::warn!(upstream = name, target, %error, "a target that was added at run time is left out");
                    continue;
                }
                (built, _) => lacking.keep(built),
            };
            made.extend(built.map(|built| spec(target, built, &said)));
        }
        let made = lacking.done(made)?;
        share_fits(&key, config, &made)?;
        checks_fit(&key, config, &made)?;
        if let Some(first) = made.first().filter(|_| config.interceptors.is_empty()) {
            check_call_timeouts(&key, &config.options.call_timeouts, first.target.stack())?;
        }
        let context = UpstreamContext {
            pooled: Some(self.core.pooled.clone()),
            events: Some(self.events().clone()),
            lives: Some(Arc::clone(&self.core.named.lives)),
        };
        let made = Upstream::within(name, made, self.upstream_options(config), context);
        made.map_err(|error| Unbuilt::at(key.key("targets"), error))
    }

    /// Enters an upstream; returns the one of that name before.
    pub(super) fn enter_upstream(
        &self,
        name: &str,
        config: &UpstreamConfig,
        made: Upstream,
        by: DefinedBy,
        existing: Existing,
    ) -> Result<Option<Arc<Upstream>>> {
        let made = UpstreamEntry::of(made);
        let upstream = Arc::clone(&made.upstream);
        let made = Made { config: config.clone(), made, by };
        let replaced = self.core.upstreams.enter(name, made, existing)?;
        Ok(self.carry_instead(&upstream, replaced.as_deref()))
    }

    /// Notes what an upstream goes via, and no longer what the one goes via that had its name; answers that one.
    pub(super) fn carry_instead(
        &self,
        upstream: &Upstream,
        replaced: Option<&Made<UpstreamConfig, UpstreamEntry>>,
    ) -> Option<Arc<Upstream>> {
        self.carry(upstream, true);
        let replaced = replaced.map(|replaced| Arc::clone(&replaced.made.upstream));
        replaced.iter().for_each(|replaced| self.carry(replaced, false));
        replaced
    }

    /// Notes what the targets of an upstream go via, or no longer do.
    pub(super) fn carry(&self, upstream: &Upstream, more: bool) {
        for (_, target) in upstream.targets() {
            target.via().into_iter().for_each(|via| self.core.named.carries(via, more));
        }
    }

    /// Begins the checks of an upstream and the lookups of its services, and opens what its pools keep open.
    pub(super) fn keep_up(&self, upstream: &Arc<Upstream>) {
        let entry = self.core.upstreams.get(upstream.name());
        let options = entry.map(|entry| entry.config.discover.clone()).unwrap_or_default();
        for stray in self.core.targets.strays(upstream.name(), &options) {
            // It was left out as the upstream was made.
            let forgotten = self.note_target(upstream.name(), &stray, TargetEdit::Remove);
            if let Err(error) = forgotten {
                tracing::warn!(upstream = upstream.name(), target = stray, %error, "it stays in the state directory");
            }
        }
        if !options.services.is_empty() {
            let (core, upstream) = (Arc::downgrade(&self.core), Arc::downgrade(upstream));
            self.held().checks.spawn(discover::follow(core, upstream, options));
        }
        if let Some(checks) = upstream.checks() {
            let checking = &mut self.held().checks;
            // Those of upstreams that are there no more have ended.
            while checking.try_join_next().is_some() {}
            checking.spawn(checks);
        }
        upstream.warm();
    }

    /// How it serves, within the limits of the host.
    fn upstream_options(&self, upstream: &UpstreamConfig) -> UpstreamOptions {
        let options = upstream.options.clone();
        let connect_timeout = options.connect_timeout.or(Some(self.core.connect_limit()));
        UpstreamOptions { connect_timeout, ..options }
    }
}

/// Only where sessions open streams can several callers share one.
pub(super) fn share_fits(
    key: &KeyPath,
    upstream: &UpstreamConfig,
    targets: &[Spec<Target>],
) -> Result<(), Unbuilt> {
    let Some(pool) = upstream.options.pool.as_ref().filter(|pool| pool.share > 1) else {
        return Ok(());
    };
    let Some(spec) = targets.iter().find(|spec| !shares(&spec.target)) else { return Ok(()) };
    let driver = spec.target.stack().top().map_or("its carrier", |driver| driver.name());
    let text = format!(
        "expected 1, not {}: sessions of {driver} ({}) carry one conversation each",
        pool.share, spec.name
    );
    Err(Unbuilt::at(key.key("pool").key("share"), Error::new(ErrorKind::Config, text)))
}

/// A check has a session of its own, for which it would wait as long as others have an exclusive path.
pub(super) fn checks_fit(
    key: &KeyPath,
    upstream: &UpstreamConfig,
    targets: &[Spec<Target>],
) -> Result<(), Unbuilt> {
    let exclusive = targets.iter().find(|spec| spec.target.is_exclusive());
    match exclusive.filter(|_| upstream.options.health.is_some()) {
        Some(spec) => {
            let text = format!("no target can be exclusive, and {} is", spec.name);
            Err(Unbuilt::at(key.key("health"), Error::new(ErrorKind::Config, text)))
        }
        None => Ok(()),
    }
}

/// A target as its upstream takes it.
pub(super) fn spec<T>(name: String, target: T, config: &config::TargetConfig) -> Spec<T> {
    Spec {
        name,
        target,
        weight: config.weight.into(),
        priority: config.priority.into(),
        max_connections: config.max_connections,
        labels: config.labels.clone(),
    }
}

/// A target's URI and what it goes via, or what it names.
pub(super) fn name_of(config: &config::TargetConfig) -> String {
    match (&config.to, &config.via) {
        (Some(to), _) => to.to_string(),
        (None, Some(via)) => format!("{} via {via}", config.uri),
        (None, None) => config.uri.to_string(),
    }
}

/// The names of targets, in their order.
pub(super) fn names_of(targets: &[config::TargetConfig]) -> Vec<String> {
    let mut names = HashSet::new();
    targets.iter().map(|target| unique(target, &mut names)).collect()
}

/// A target's name; where several have the same, as with different options, they are numbered.
fn unique(config: &config::TargetConfig, names: &mut HashSet<String>) -> String {
    let name = name_of(config);
    let numbered = (2..).map(|number| format!("{name} #{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
    let name = free.unwrap_or(name);
    names.insert(name.clone());
    name
}
