//! The targets of upstreams, changed while they serve. What runs is never disturbed: the sessions of a
//! target that is removed or drained run on.

use super::graph::Graph;
use super::upstreams::{name_of, spec};
use crate::config;
use crate::connection::Target;
use crate::secret::Resolver;
use crate::stack::{Plan, Stack};
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a target that drains is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Graph {
    /// Adds a target to an upstream once its stack is built and its options are checked. It is not
    /// connected to before its turn comes; with a slow start, its part of the sessions grows. Answers
    /// its name: its URI without a password, with what it goes via.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the upstream or what it goes via; [`ErrorKind::Config`] for a
    /// target of that name that is there already, values out of range, or options that are not
    /// accepted.
    pub async fn add_target(&self, upstream: &str, target: config::Target) -> Result<String> {
        let (to, name) = (self.upstream(upstream)?, name_of(&target));
        if let Some((key, expected)) = target.problems().into_iter().next() {
            let text = format!("{key}: {expected}");
            return Err(Error::new(ErrorKind::Config, text).with("target", name));
        }
        let plan = Plan::new(&target.uri, &self.registry, Role::Client, target.via.is_some())?;
        let via = self.carrier(target.via.as_ref()).await?;
        let made = Stack::new(plan, &target.options, Role::Client, &Resolver::default()).await;
        let stack = made.map_err(|error| Error::from(error).with("target", &name))?;
        let outlet = to.outlet(Target::new(stack, via.clone()))?;
        to.balancer().add(spec(name.clone(), outlet, &target), Instant::now())?;
        via.iter().for_each(|via| self.named.carries_target(via, true));
        Ok(name)
    }

    /// Takes a target out of an upstream. Its unused pooled sessions are closed, the others run on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn remove_target(&self, upstream: &str, name: &str) -> Result<()> {
        let from = self.upstream(upstream)?;
        let targets = from.targets();
        from.balancer().remove(name, Instant::now())?;
        let removed = targets.iter().find(|(other, _)| other == name);
        if let Some(via) = removed.and_then(|(_, target)| target.via()) {
            self.named.carries_target(via, false);
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
        self.upstream(upstream)?.balancer().set_weight(name, weight, Instant::now())
    }

    /// Gives a target no new sessions, and waits at most for `limit` until it has none. Answers how
    /// many it has then: they run on. Cancel safe: it goes on draining.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name, also when it is removed meanwhile.
    pub async fn drain_target(&self, upstream: &str, name: &str, limit: Duration) -> Result<u32> {
        let balancer = self.upstream(upstream)?.balancer();
        balancer.set_weight(name, 0, Instant::now())?;
        let deadline = Instant::now() + limit;
        loop {
            let now = Instant::now();
            let mut targets = balancer.snapshot(now).into_iter();
            let left = targets.find(|target| target.name == name).map(|target| target.in_flight);
            match left {
                Some(left) if left > 0 && now < deadline => {
                    sleep(LOOK.min(deadline - now)).await;
                }
                Some(left) => return Ok(left),
                None => {
                    let text = format!("target {name:?} was removed while it drained");
                    return Err(Error::new(ErrorKind::NotFound, text));
                }
            }
        }
    }
}
