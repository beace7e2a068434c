//! The targets of upstreams, changed while they serve. What runs is never disturbed: the sessions of a
//! target that is removed or drained run on.

use super::Manager;
use super::define::in_range;
use super::layer::TargetEdit;
use super::target_builder::{Extras, StackAt, TargetBuilder, Unbuilt};
use super::upstreams::{name_of, spec};
use crate::config::{self, KeyPath};
use crate::connection::Target;
use crate::events::EventKind;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::sleep;
use std::time::Duration;
use tokio::time::Instant;

/// How often a target that drains is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Manager {
    /// Adds a target to an upstream once its stack is built and its options are checked. It is not
    /// connected to before its turn comes; with a slow start, its part of the sessions grows. Answers
    /// its name: its URI without a password, with what it goes via. One that was added by an equal
    /// definition is used again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the upstream or what it goes via; [`ErrorKind::Config`] for a
    /// target of that name that is there already, values out of range, or options that are not
    /// accepted. With a state directory, also a secret that is written out; what cannot be written there holds until
    /// the host ends.
    pub async fn add_target(&self, upstream: &str, target: config::TargetConfig) -> Result<String> {
        self.put_target(upstream, target, false).await
    }

    /// Adds a target that the host has found by name; it weighs what was set of it before.
    ///
    /// # Errors
    /// As [`Manager::add_target`].
    pub(super) async fn find_target(
        &self,
        upstream: &str,
        target: config::TargetConfig,
    ) -> Result<String> {
        self.put_target(upstream, target, true).await
    }

    async fn put_target(
        &self,
        upstream: &str,
        target: config::TargetConfig,
        is_found: bool,
    ) -> Result<String> {
        let (entry, name) = (self.core.upstreams.get(upstream)?, name_of(&target));
        let is_there = entry.made.upstream.targets().iter().any(|(other, _)| *other == name);
        if is_there && self.core.targets.is_added(upstream, &name, &target) {
            return Ok(name);
        }
        let key = KeyPath::from_iter(["upstreams", upstream, "targets", &name]);
        in_range(&key, target.problems())?;
        if self.core.named.keeps() {
            self.keepable(&target)?;
        }
        let builder = self.run_time_builder();
        let made = self.make_target(&builder, &key, &target, &entry.config.interceptors).await?;
        let (to, via) = (&entry.made.upstream, made.via().cloned());
        let mut made = spec(name.clone(), to.target_of(&name, made)?, &target);
        let set = self.core.targets.weight(upstream, &name).filter(|_| is_found);
        made.weight = set.unwrap_or(made.weight);
        to.balancer().add(made, Instant::now())?;
        via.iter().for_each(|via| self.core.named.carries(via, true));
        let target = Box::new(target);
        let edit = if is_found { TargetEdit::Find(target) } else { TargetEdit::Add(target) };
        self.note_target(upstream, &name, edit)?;
        Ok(name)
    }

    /// A target of an upstream, which puts `interceptors` around it. What it names gives it stack,
    /// credentials and interceptors, but no session: those are the upstream's own.
    pub(super) async fn make_target(
        &self,
        builder: &TargetBuilder<'_>,
        key: &KeyPath,
        target: &config::TargetConfig,
        interceptors: &[String],
    ) -> Result<Target, Unbuilt> {
        if let Some(to) = &target.to {
            let named = self.carrier(to).await;
            let named = named.map_err(|error| Unbuilt::missing(key.key("to"), error))?;
            let around = builder.interceptors.all_listed(interceptors);
            let around = around.map_err(|error| Unbuilt::missing(key.clone(), error))?;
            return Ok(builder.becoming.target_of(&named).again().intercepted(around));
        }
        let all = self.core.credentials();
        let credentials = match &target.credentials {
            Some(first) => all.chain(first),
            None => Ok(Vec::new()),
        };
        let credentials =
            credentials.map_err(|error| Unbuilt::missing(key.key("credentials"), error))?;
        let at = StackAt {
            is_carried: target.via.is_some(),
            login: target.login.as_ref(),
            ..StackAt::client(key.clone(), &target.uri, &target.options)
        };
        let extras = Extras { credentials, interceptors, ..Extras::default() };
        builder.target(&at, &extras, self.dials(target.via.as_ref()).await).await
    }

    /// Takes a target out of an upstream. Its unused pooled sessions are closed, the others run on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn remove_target(&self, upstream: &str, name: &str) -> Result<()> {
        self.take_target(upstream, name)?;
        self.note_target(upstream, name, TargetEdit::Remove)
    }

    /// The same, of which nothing is kept: another one of its name comes.
    pub(super) fn take_target(&self, upstream: &str, name: &str) -> Result<()> {
        let entry = self.core.upstreams.get(upstream)?;
        let from = &entry.made.upstream;
        let targets = from.targets();
        from.balancer().remove(name, Instant::now())?;
        let removed = targets.iter().find(|(other, _)| other == name);
        if let Some(via) = removed.and_then(|(_, target)| target.via()) {
            self.core.named.carries(via, false);
        }
        Ok(())
    }

    /// Changes a target's part of the sessions, from 0 to 1000. With 0 it gets no new ones.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name; [`ErrorKind::Config`] for a weight out of range.
    pub fn weigh_target(&self, upstream: &str, name: &str, weight: u32) -> Result<()> {
        if weight > 1000 {
            return Err(Error::option("weight", "expected a whole number from 0 to 1000"));
        }
        self.upstream(upstream)?.balancer().set_weight(name, weight, Instant::now())?;
        self.note_target(upstream, name, TargetEdit::Weigh(weight))
    }

    /// Gives a target no new sessions, and waits at most for `limit` until it has none. Answers how
    /// many it has then: they run on. Cancel safe: it goes on draining.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name, also when it is removed meanwhile.
    pub async fn drain_target(&self, upstream: &str, name: &str, limit: Duration) -> Result<u32> {
        let from = self.upstream(upstream)?;
        let balancer = from.balancer();
        balancer.set_weight(name, 0, Instant::now())?;
        self.note_target(upstream, name, TargetEdit::Weigh(0))?;
        let deadline = Instant::now() + limit;
        loop {
            let now = Instant::now();
            let mut targets = balancer.snapshot(now).into_iter();
            let left = targets.find(|target| target.name == name).map(|target| target.in_flight);
            match left {
                Some(left) if left > 0 && now < deadline => {
                    sleep(LOOK.min(deadline - now)).await;
                }
                Some(left) => {
                    if left == 0 {
                        let (upstream, target) = (upstream.to_owned(), name.to_owned());
                        self.events().announce(EventKind::TargetDrained { upstream, target });
                    }
                    return Ok(left);
                }
                None => {
                    let text = format!("target {name:?} was removed while it drained");
                    return Err(Error::new(ErrorKind::NotFound, text));
                }
            }
        }
    }
}
