//! Addresses that are new are taken before anything changes.

use super::stage::StagedRoute;
use crate::config::model::RouteConfig;
use crate::config::{Config, ConfigError, ConfigErrors, KeyPath, Loaded};
use crate::connection::Target;
use crate::listener::{Bound, Listener};
use crate::manager::Manager;
use crate::manager::entries::DefinedBy;
use crate::manager::listen::RunningListener;
use crate::stack::Stack;
use jackfield_plugin_api::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A route whose address is had.
pub(in crate::manager) enum ReadyRoute {
    /// It changes what listens already.
    Under(RunningListener, Box<Listener>, Arc<RouteConfig>),
    /// It begins to listen.
    New(Bound, Arc<RouteConfig>),
}

impl Manager {
    /// Takes the addresses of routes. Those that need one of a listener that is in use, or of one that is `leaving`,
    /// come last: that one is stopped before.
    ///
    /// # Errors
    /// Every address that cannot be taken, with its place; everything listens as before then.
    pub(in crate::manager) async fn bind_routes(
        &self,
        loaded: &Loaded,
        routes: Vec<StagedRoute>,
        leaving: &[RunningListener],
    ) -> Result<Vec<ReadyRoute>, ConfigErrors> {
        let mut binding = Binding { manager: self, loaded, ready: Vec::new(), errors: Vec::new() };
        let anew = routes.iter().filter(|route| route.anew);
        let mut in_use: Vec<RunningListener> = leaving.to_vec();
        in_use.extend(anew.filter_map(|route| route.running.clone()));
        let mut late = Vec::new();
        for staged in routes {
            match &staged.running {
                Some(running) if !staged.anew => {
                    let running = running.clone();
                    let ready = ReadyRoute::Under(running, Box::new(staged.listener), staged.route);
                    binding.ready.push((staged.index, ready));
                }
                _ => {
                    let own =
                        |it: &RunningListener| collide(it.target().stack(), &staged.listener.stack);
                    if staged.anew || in_use.iter().any(own) {
                        late.push(staged);
                    } else {
                        binding.bind(staged.index, staged.listener, staged.route).await;
                    }
                }
            }
        }
        if binding.errors.is_empty() {
            binding.bind_late(late, &in_use).await;
        }
        let Binding { mut ready, errors, .. } = binding;
        if !errors.is_empty() {
            return Err(ConfigErrors::new(errors));
        }
        ready.sort_by_key(|(index, _)| *index);
        Ok(ready.into_iter().map(|(_, ready)| ready).collect())
    }
}

struct Binding<'a> {
    manager: &'a Manager,
    loaded: &'a Loaded,
    /// By the numbers of the routes.
    ready: Vec<(usize, ReadyRoute)>,
    errors: Vec<ConfigError>,
}

impl Binding<'_> {
    async fn bind(&mut self, index: usize, listener: Listener, route: Arc<RouteConfig>) {
        match listener.bind(Arc::clone(&self.manager.core.named.lives)).await {
            Ok(bound) => self.ready.push((index, ReadyRoute::New(bound, route))),
            Err(error) => self.fail(index, &error),
        }
    }

    fn fail(&mut self, index: usize, error: &Error) {
        let key = KeyPath::from_iter(["routes"]).index(index).key("listen");
        let position = self.loaded.sources.locate(&key);
        self.errors.push(ConfigError::new(position, key, error.to_string()));
    }

    /// Binds what needs the addresses of listeners `in_use`, which are stopped for that, and begun again if it fails.
    async fn bind_late(&mut self, late: Vec<StagedRoute>, in_use: &[RunningListener]) {
        let (mut stopped, already): (Vec<RunningListener>, usize) = (Vec::new(), self.ready.len());
        for staged in late {
            let own = staged.running.iter().filter(|_| staged.anew);
            let in_way =
                in_use.iter().filter(|it| collide(it.target().stack(), &staged.listener.stack));
            for running in own.chain(in_way) {
                if stopped.iter().any(|other| other.is(running)) {
                    continue;
                }
                running.stop().await;
                stopped.push(running.clone());
            }
            self.bind(staged.index, staged.listener, staged.route).await;
            if !self.errors.is_empty() {
                break;
            }
        }
        if self.errors.is_empty() {
            stopped.iter().for_each(RunningListener::linger);
            return;
        }
        // What was bound in their places goes first.
        self.ready.truncate(already);
        for running in stopped {
            let Some(route) = running.route() else { continue };
            let again = match running.bind_again().await {
                Ok(bound) => {
                    let by = DefinedBy::Config;
                    self.manager.core.listeners.accept(bound, Some(route), by).map(drop)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = again {
                let name = running.name();
                tracing::error!(listener = name, %error, "it was stopped for another and cannot listen again");
            }
        }
    }
}

/// Options by which two listeners may have one address.
const SHARE_ADDRESSES: [&str; 2] = ["reuse_port", "family"];

/// The routes that listen where one before them does, with the number of that, as far as one of both is `new`; `there` has
/// the stacks of those that stay and are near. By the numbers of the routes.
pub(super) fn listened_twice(
    config: &Config,
    new: &BTreeMap<usize, &Stack>,
    there: &BTreeMap<usize, Arc<Target>>,
) -> Vec<(usize, usize)> {
    let shares = |index: usize| {
        config.routes.get(index).is_some_and(|route| names_any(&route.options, &SHARE_ADDRESSES))
    };
    let mut all: BTreeMap<usize, &Stack> = there.iter().map(|(at, it)| (*at, it.stack())).collect();
    all.extend(new);
    // Each is held against those that share its port or path: there may be thousands of routes.
    let mut places: BTreeMap<SharedPlace<'_>, Vec<usize>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, stack) in &all {
        let Some(place) = place(stack) else { continue };
        let before = places.entry(place).or_default();
        let first = before.iter().copied().find(|first| {
            (new.contains_key(index) || new.contains_key(first))
                && all.get(first).is_some_and(|other| collide(stack, other))
                && !(shares(*index) || shares(*first))
        });
        found.extend(first.map(|first| (*index, first)));
        before.push(*index);
    }
    found
}

/// Tells of a stack whether it shares a port or path with one of `new`: the others collide with none of those.
pub(super) fn is_near<'a>(new: impl Iterator<Item = &'a Stack>) -> impl Fn(&Stack) -> bool {
    let wanted: BTreeSet<SharedPlace<'a>> = new.filter_map(place).collect();
    move |stack| place(stack).is_some_and(|place| wanted.contains(&place))
}

/// What stacks that collide have in common: their port, or the path of those that have none.
type SharedPlace<'a> = (Option<u16>, &'a str);

/// `None` for one that collides with no other.
fn place(stack: &Stack) -> Option<SharedPlace<'_>> {
    let address = stack.address();
    match address.port {
        Some(0) => None,
        // The rest of the address is of a layer above the transport.
        Some(port) => Some((Some(port), "")),
        None => Some((None, address.path.as_str())).filter(|(_, path)| !path.is_empty()),
    }
}

/// Whether two stacks cannot listen at the same time.
fn collide(one: &Stack, other: &Stack) -> bool {
    let (Some(transport), Some(same)) = (one.transport(), other.transport()) else { return false };
    // One of them may be of an older generation of its plugin.
    if transport.name() != same.name() {
        return false;
    }
    let (one, other) = (one.address(), other.address());
    match (one.port, other.port) {
        (Some(port), Some(same)) => {
            let is_any = one.host.is_empty() || other.host.is_empty();
            port != 0 && port == same && (is_any || one.host.eq_ignore_ascii_case(&other.host))
        }
        (None, None) => !one.path.is_empty() && one.host == other.host && one.path == other.path,
        _ => false,
    }
}

/// Whether a table, or one in it, has a key of that name.
fn names_any(table: &serde_json::Map<String, serde_json::Value>, names: &[&str]) -> bool {
    table.iter().any(|(key, value)| {
        let below = value.as_object().is_some_and(|table| names_any(table, names));
        below || names.contains(&key.as_str())
    })
}
