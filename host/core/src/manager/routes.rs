//! Routes: from their definitions to listeners, in a file or at run time.

use super::Manager;
use super::entries::DefinedBy;
use super::listen::RunningListener;
use super::named::Existing;
use super::target_builder::{StackAt, TargetBuilder, Unbuilt};
use crate::config::model::{HostConfig, RouteConfig};
use crate::config::{self, Config, KeyPath, Options, Reference};
use crate::listener::{Listener, Service};
use crate::route::{Destination, Route};
use crate::stack::Stack;
use crate::upstream::KeyFrom;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Role};
use std::sync::Arc;

/// A listener and the route that defines it.
pub(super) type PlannedRoute = (Listener, Arc<RouteConfig>);

impl Manager {
    /// Listens as a route of the configuration does, `listen` and `to` at least, and joins what comes to where it
    /// leads. With [`Existing::Replace`] a route that listens there already is changed: where only `to` and how the
    /// two are joined is different, its listener goes on and what comes from then on goes the new way; else it is
    /// stopped and another begun; if that cannot listen, nothing does. What was accepted before goes on in all cases.
    /// Port 0 is another port each time.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] for an address that another route listens on, unless it is replaced; an equal one is
    /// used again. [`ErrorKind::Config`] for a key, URI, option or combination that is not acceptable;
    /// [`ErrorKind::NotFound`] for where it leads; what the transport says; [`ErrorKind::Closed`] once the host
    /// stops.
    pub async fn add_route(
        &self,
        route: RouteConfig,
        existing: Existing,
    ) -> Result<RunningListener> {
        let alone = Config { routes: vec![route.clone()], ..Config::default() };
        config::check_alone(&alone)?;
        let there = self.route_at(&route);
        if let Some((listener, known)) = &there {
            if **known == route {
                return Ok(listener.clone());
            }
            if existing == Existing::Refuse {
                let text = format!("another route listens on {} already", route.listen);
                return Err(Error::new(ErrorKind::InUse, text));
            }
        }
        let root = KeyPath::root();
        let made = self.make_route(&self.run_time_builder(), &root, &route).await?;
        let (listener, route) = made;
        let replaced = there.is_some();
        let what = format!("routes.{}", route.listen);
        let running = match there {
            Some((running, known)) if same_listener(&known, &route) => {
                running.reroute(listener.service, route);
                running
            }
            there => {
                if let Some((running, _)) = &there {
                    running.stop().await;
                }
                let bound = listener.bind(Arc::clone(&self.core.named.lives)).await?;
                self.core.listeners.accept(bound, Some(route), DefinedBy::Call)?
            }
        };
        self.tell_defined(what, replaced);
        Ok(running)
    }

    /// The route that listens where `route` is to.
    fn route_at(&self, route: &RouteConfig) -> Option<(RunningListener, Arc<RouteConfig>)> {
        if route.listen.port == Some(0) {
            return None;
        }
        let listen = route.listen.to_string();
        let mut all = self.core.listeners.running().into_iter();
        all.find_map(|running| {
            let known = running.route().filter(|_| running.name() == listen)?;
            Some((running, known))
        })
    }

    /// The listener of that name: as it is written, or the address where it listens.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn listener(&self, name: &str) -> Result<RunningListener> {
        let running = self.core.listeners.running();
        let is_named = |it: &&RunningListener| {
            it.name() == name || it.local().is_some_and(|local| local.to_string() == name)
        };
        running.iter().find(is_named).cloned().ok_or_else(|| {
            let all: Vec<&str> = running.iter().map(RunningListener::name).collect();
            let text = format!("nothing listens on {name:?}; listeners: {}", all.join(" "));
            Error::new(ErrorKind::NotFound, text)
        })
    }

    /// Points the routes that lead to `to` at the present object of that name.
    pub(super) async fn reroute(&self, to: &Reference) {
        for running in self.core.listeners.running() {
            let Some(route) = running.route().filter(|route| route.to == *to) else { continue };
            let made = self.make_service(&self.run_time_builder(), &KeyPath::root(), &route).await;
            match made {
                Ok(service) => running.reroute(service, route),
                Err(error) => {
                    let error = Error::from(error);
                    tracing::warn!(listener = running.name(), %error, "route stays with what was replaced");
                }
            }
        }
    }

    /// # Errors
    /// [`ErrorKind::InUse`] if a route leads to `to`.
    pub(super) fn leads_nowhere_else(&self, to: &Reference) -> Result<()> {
        let running = self.core.listeners.running();
        let mut leading =
            running.iter().filter(|running| running.route().is_some_and(|route| route.to == *to));
        let Some(first) = leading.next() else { return Ok(()) };
        let text = format!("the route of {} leads to {to}; remove it first", first.name());
        Err(Error::new(ErrorKind::InUse, text))
    }

    /// A listener of its route, which stands at `key`.
    pub(super) async fn make_route(
        &self,
        builder: &TargetBuilder<'_>,
        key: &KeyPath,
        route: &RouteConfig,
    ) -> Result<PlannedRoute, Unbuilt> {
        let at = StackAt {
            uri_key: key.key("listen"),
            role: Role::Server,
            ..StackAt::client(key.clone(), &route.listen, &route.options)
        };
        let stack = builder.stack(&at).await;
        let service = self.make_service(builder, key, route).await;
        let fits = match (&stack, &route.to) {
            (Ok(stack), Reference::Handler(name)) => self.fits_handler(&key.key("to"), stack, name),
            (Ok(stack), Reference::Admin) => fits_admin(&key.key("listen"), stack),
            _ => Ok(()),
        };
        let (stack, service) =
            Unbuilt::both(Unbuilt::both(stack, fits).map(|(it, ())| it), service)?;
        let listener = Listener {
            name: route.listen.to_string().into(),
            stack,
            service,
            options: route.listener.clone(),
            handshake_timeout: self.core.host().timeouts.handshake.0,
        };
        Ok((listener, Arc::new(route.clone())))
    }

    async fn make_service(
        &self,
        builder: &TargetBuilder<'_>,
        key: &KeyPath,
        route: &RouteConfig,
    ) -> Result<Service, Unbuilt> {
        let (to, options) = (key.key("to"), Options::default());
        let destination = self.resolve(builder, &to, &route.to, &options, route.observe).await?;
        let uses_key =
            matches!(&destination, Destination::Upstream(upstream) if upstream.uses_key());
        if route.joining.hash != KeyFrom::default() && !uses_key {
            let text = "has no effect: it is for upstreams with balance = \"consistent_hash\"";
            return Err(Unbuilt::at(key.key("hash"), Error::new(ErrorKind::Config, text)));
        }
        let host = self.core.host();
        let HostConfig { timeouts, limits, .. } = &*host;
        let (name, options) = (route.to.to_string().into(), route.joining.clone());
        let route = Route::new(name, destination, options, &timeouts.relay, limits.relay);
        Ok(Service::Route(route))
    }

    /// A handler gets a listener's sessions as they are: where they can have none of the facets that it takes,
    /// the route can never work.
    fn fits_handler(&self, key: &KeyPath, stack: &Stack, name: &str) -> Result<(), Unbuilt> {
        // What is missing has mistakes of its own.
        let (Some(top), Ok(handler)) = (stack.top(), self.core.handlers.get(name)) else {
            return Ok(());
        };
        let plugin_name = handler.config.handler.as_deref().unwrap_or(name);
        let registry = self.registry();
        let Ok(handler) = registry.handler(plugin_name) else { return Ok(()) };
        let (gives, takes) = (top.manifest.facets, handler.manifest.facets);
        if takes.bits() == 0 || gives.bits() & takes.bits() != 0 {
            return Ok(());
        }
        let list = |facets: Facets| facets.names().collect::<Vec<_>>().join(", ");
        let text = format!(
            "expected a handler of what sessions of {} can have: {}; {plugin_name} takes {}",
            top.name(),
            list(gives),
            list(takes).replace(", ", " or "),
        );
        Err(Unbuilt::at(key.clone(), Error::new(ErrorKind::Config, text)))
    }
}

/// Who asks the admin API over a route says so by a certificate or a token: that needs a byte stream within layers.
fn fits_admin(key: &KeyPath, stack: &Stack) -> Result<(), Unbuilt> {
    let has_stream = stack.top().is_some_and(|top| top.manifest.facets.contains(Facets::STREAM));
    if has_stream && stack.has_layers() {
        return Ok(());
    }
    let text = format!(
        "expected a layer that encrypts a byte stream, for the admin API, found {} alone; in the clear that listens on \
         this machine only, by admin.listen",
        stack.name(),
    );
    Err(Unbuilt::at(key.clone(), Error::new(ErrorKind::Config, text)))
}

/// Whether two routes listen the same way, wherever they lead and however they join it.
fn same_listener(one: &RouteConfig, other: &RouteConfig) -> bool {
    one.listen == other.listen && one.options == other.options && one.listener == other.listener
}
