//! Listeners of a running host: those of its configuration, and those that a program adds.

use super::Manager;
use super::entries::DefinedBy;
use super::snapshot::ListenerSnapshot;
use crate::addr::Addr;
use crate::config::model::RouteConfig;
use crate::config::{DrainOptions, Options};
use crate::connection::{Flags, Live, Lives, Policy, Target};
use crate::events::{Bus, Cause, EventKind};
use crate::listener::{Bound, IntoCode, Listener, ListenerOptions, Service, ServiceSlot};
use crate::lock::IgnorePoison;
use crate::shutdown::Shutdown;
use crate::stack::uri::StackUri;
use arc_swap::ArcSwap;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use jackfield_text::range::Problem;
use jackfield_timers::timeout_at;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How a program listens.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// Options of the listener's drivers, as `options` of a route.
    pub options: Options,
    /// Whom it lets in, and how many, as the keys of a route. Default: everybody.
    pub listener: ListenerOptions,
    /// What each connection does by itself: keepalive, idle time, room for posts.
    pub policy: Policy,
    /// Free labels of each connection.
    pub labels: BTreeMap<String, String>,
}

/// All listeners of a host.
#[derive(Debug)]
pub(super) struct Listeners {
    state: Mutex<ListenerTable>,
    lives: Arc<Lives>,
    events: Bus,
    /// As the host says now.
    shutdown_timeout: ArcSwap<Duration>,
}

#[derive(Debug, Default)]
struct ListenerTable {
    running: Vec<Arc<OneListener>>,
    /// Accept no more; what they have accepted goes on.
    draining: Vec<Arc<OneListener>>,
    stopped: bool,
}

/// One listener.
#[derive(Debug)]
struct OneListener {
    name: Arc<str>,
    local: Option<Addr>,
    by: DefinedBy,
    service: ServiceSlot,
    /// The route that defines it; none of one that runs code of the program.
    route: Mutex<Option<Arc<RouteConfig>>>,
    shutdown: Shutdown,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// A listener that runs, until it is closed or its host stops; dropping this changes nothing.
#[derive(Clone, Debug)]
pub struct RunningListener {
    running: Arc<OneListener>,
    listeners: Weak<Listeners>,
}

impl Listeners {
    pub(super) fn new(lives: Arc<Lives>, events: Bus, shutdown_timeout: Duration) -> Arc<Self> {
        let shutdown_timeout = ArcSwap::from_pointee(shutdown_timeout);
        Arc::new(Listeners { state: Mutex::default(), lives, events, shutdown_timeout })
    }

    /// From now on closing lets what was accepted finish for so long.
    pub(super) fn set_shutdown_timeout(&self, limit: Duration) {
        self.shutdown_timeout.store(Arc::new(limit));
    }

    fn lock(&self) -> MutexGuard<'_, ListenerTable> {
        self.state.lock().ignore_poison()
    }

    /// Starts to accept.
    pub(super) fn accept(
        self: &Arc<Self>,
        bound: Bound,
        route: Option<Arc<RouteConfig>>,
        by: DefinedBy,
    ) -> Result<RunningListener> {
        let shutdown = Shutdown::default();
        let mut state = self.lock();
        if state.stopped {
            return Err(Error::new(
                ErrorKind::Closed,
                "the host is stopping and accepts no new listener",
            ));
        }
        let (name, local) = (Arc::clone(bound.name()), bound.local());
        let service = bound.service();
        if let [first, others @ ..] = &bound.locals()[..]
            && !others.is_empty()
        {
            let also = others.join(" ");
            tracing::info!(listener = &*name, local = first, also, "a name with several addresses");
        }
        let accepting = tokio::spawn(bound.run(shutdown.worker()));
        let (route, accepting) = (Mutex::new(route), Mutex::new(Some(accepting)));
        let running = OneListener { name, local, by, service, route, shutdown, accepting };
        let running = Arc::new(running);
        state.running.push(Arc::clone(&running));
        self.events.announce_later(EventKind::ListenerUp {
            listener: running.name.to_string(),
            local: running.local.clone(),
            to: running.service.name().to_string(),
        });
        drop(state);
        self.events.deliver();
        Ok(RunningListener { running, listeners: Arc::downgrade(self) })
    }

    /// What listens, in the order in which it came.
    pub(super) fn snapshot(&self) -> Vec<ListenerSnapshot> {
        self.lock().running.iter().map(|running| running.snapshot()).collect()
    }

    /// Handles of all of them.
    pub(super) fn running(self: &Arc<Self>) -> Vec<RunningListener> {
        let all = self.lock().running.clone().into_iter();
        all.map(|running| RunningListener { running, listeners: Arc::downgrade(self) }).collect()
    }

    /// Accepts no more, lets what runs go on until `end`, then ends it. Answers how many connections had to
    /// be ended. What blocks is left behind.
    pub(super) async fn stop(&self, end: Instant) -> usize {
        let running = {
            let mut state = self.lock();
            state.stopped = true;
            (std::mem::take(&mut state.running), std::mem::take(&mut state.draining))
        };
        let (running, draining) = running;
        running.iter().for_each(|running| running.shutdown.begin());
        for running in &running {
            // A listener whose transport blocks is ended with the rest.
            let _ = timeout_at(end, running.stopped()).await;
            self.tell_down(running, "the host is stopping");
        }
        let left = || end.saturating_duration_since(Instant::now());
        let count = || self.lives.count().accepted;
        let all = running.iter().chain(&draining);
        let finishing = all.map(|running| running.shutdown.finish(left(), count));
        let late = futures_util::future::join_all(finishing).await;
        late.into_iter().flatten().max().unwrap_or(0)
    }

    fn tell_down(&self, running: &OneListener, why: &str) {
        let listener = running.name.to_string();
        self.events.announce(EventKind::ListenerDown { listener, cause: Cause::of(why) });
    }
}

impl OneListener {
    fn snapshot(&self) -> ListenerSnapshot {
        ListenerSnapshot {
            listen: self.name.to_string(),
            local: self.local.clone(),
            to: self.service.name().to_string(),
            flags: Flags { is_listening: true, is_healthy: true, ..Flags::default() },
            defined_by: self.by,
            totals: self.service.totals(),
        }
    }

    fn route(&self) -> MutexGuard<'_, Option<Arc<RouteConfig>>> {
        self.route.lock().ignore_poison()
    }

    /// Completes when it accepts no more, and its address is free. Cancel safe.
    async fn stopped(&self) {
        let accepting = self.accepting.lock().ignore_poison().take();
        if let Some(accepting) = accepting {
            // It panics only where its driver does, and is over then.
            let _ = accepting.await;
        }
    }
}

impl RunningListener {
    /// As it was written.
    pub fn name(&self) -> &str {
        &self.running.name
    }

    /// Where it listens, with the port that the system chose: an address of the network, or a path.
    pub fn local(&self) -> Option<&Addr> {
        self.running.local.as_ref()
    }

    /// Where it listens, if that is an address of the network.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local()?.socket()
    }

    /// Where it leads now.
    pub fn leads_to(&self) -> Arc<str> {
        self.running.service.name()
    }

    /// The route that defines it.
    pub(super) fn route(&self) -> Option<Arc<RouteConfig>> {
        self.running.route().clone()
    }

    /// Serves what it accepts from now on as `route` says.
    pub(super) fn reroute(&self, service: Service, route: Arc<RouteConfig>) {
        *self.running.route() = Some(route);
        self.running.service.replace(service);
    }

    /// Becomes `listener` but for where it listens, for what it accepts from now on.
    pub(super) fn become_as(&self, listener: Listener, route: Arc<RouteConfig>) {
        *self.running.route() = Some(route);
        self.running.service.become_as(listener);
    }

    /// What it listens with.
    pub(super) fn target(&self) -> Arc<Target> {
        self.running.service.target()
    }

    /// Listens by the present generation of its transport, at the same address.
    ///
    /// # Errors
    /// What the transport says.
    pub(super) async fn listen_anew(&self) -> Result<()> {
        self.running.service.listen_anew().await
    }

    /// Takes its address again, after it was stopped, for another listener of the same service.
    ///
    /// # Errors
    /// What the transport says.
    pub(super) async fn bind_again(&self) -> Result<Bound> {
        self.running.service.bind_again().await
    }

    /// Accepts no more; what it has accepted has `drain.within` to end, and is closed one after the other within
    /// `drain.spread` then. All of that goes on by itself.
    pub(super) async fn drain(&self, drain: DrainOptions, lives: &Lives) {
        self.stop().await;
        let name = &self.running.name;
        let mut left = lives.all();
        // Another one of that name has accepted the others.
        left.retain(|live| live.listener().is_some_and(|listener| Arc::ptr_eq(listener, name)));
        self.linger();
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            if !running.shutdown.idle(drain.within.0).await {
                close_spread(&left, drain.spread.0).await;
                let _ = running.shutdown.finish(CUT, || ()).await;
            }
        });
    }

    /// Lets the end of the host end what this, which was stopped, has accepted.
    pub(super) fn linger(&self) {
        let (running, listeners) = (Arc::clone(&self.running), self.listeners.clone());
        let Some(table) = listeners.upgrade() else { return };
        {
            let draining = &mut table.lock().draining;
            if draining.iter().any(|other| Arc::ptr_eq(other, &running)) {
                return;
            }
            draining.push(Arc::clone(&running));
        }
        tokio::spawn(async move {
            running.shutdown.idle(Duration::MAX).await;
            if let Some(listeners) = listeners.upgrade() {
                listeners.lock().draining.retain(|other| !Arc::ptr_eq(other, &running));
            }
        });
    }

    /// Whether both are one listener.
    pub(super) fn is(&self, other: &RunningListener) -> bool {
        Arc::ptr_eq(&self.running, &other.running)
    }

    /// Accepts no more; what it has accepted goes on. Its address is free when this completes.
    pub async fn stop(&self) {
        self.running.shutdown.begin();
        self.running.stopped().await;
        let Some(listeners) = self.listeners.upgrade() else { return };
        let was_running = {
            let running = &mut listeners.lock().running;
            let before = running.len();
            running.retain(|running| !Arc::ptr_eq(running, &self.running));
            running.len() < before
        };
        if was_running {
            listeners.tell_down(&self.running, "it was closed");
        }
    }

    /// Accepts no more, lets what it has accepted finish for `host.shutdown_timeout`, then ends it. Safe to
    /// repeat.
    pub async fn close(&self) {
        let limit =
            self.listeners.upgrade().map_or(Duration::ZERO, |it| **it.shutdown_timeout.load());
        self.close_within(limit).await;
    }

    /// As [`RunningListener::close`], with that limit.
    pub async fn close_within(&self, limit: Duration) {
        let end = Instant::now() + limit;
        self.stop().await;
        let left = end.saturating_duration_since(Instant::now());
        // How many had to be ended is no news here.
        let _ = self.running.shutdown.finish(left, || ()).await;
    }
}

/// How long what was closed by a drain may take to end.
pub(super) const CUT: Duration = Duration::from_secs(1);

/// Closes what lives, one after the other, evenly over that time.
async fn close_spread(left: &[Arc<Live>], spread: Duration) {
    let left: Vec<_> = left.iter().filter(|live| !live.state().is_final()).collect();
    let pause = spread / u32::try_from(left.len().max(1)).unwrap_or(u32::MAX);
    let closing = left.iter().enumerate().map(|(at, live)| async move {
        jackfield_timers::sleep(pause * u32::try_from(at).unwrap_or(u32::MAX)).await;
        let _ = timeout_at(Instant::now() + CUT, live.close(0, "what it came by is there no more"))
            .await;
    });
    futures_util::future::join_all(closing).await;
}

impl Manager {
    /// Listens at `uri` and runs `code` for each connection, or for each request, by the type of its argument:
    /// `|connection: Arc<Live>| async move { … }` or `|request: ServedRequest| async move { … }`. A connection
    /// whose code has returned is drained and closed. Port 0 lets the system choose, see
    /// [`RunningListener::local`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URI or options that are not acceptable; [`ErrorKind::Unsupported`] if
    /// sessions of that listener have nothing that `code` takes; [`ErrorKind::InUse`] and what else its transport
    /// says; [`ErrorKind::Closed`] once the host stops.
    pub async fn listen<M>(&self, uri: &str, code: impl IntoCode<M>) -> Result<RunningListener> {
        self.listen_with(uri, ListenOptions::default(), code).await
    }

    /// As [`Manager::listen`], with options.
    ///
    /// # Errors
    /// As there.
    pub async fn listen_with<M>(
        &self,
        uri: &str,
        options: ListenOptions,
        code: impl IntoCode<M>,
    ) -> Result<RunningListener> {
        let code = code.into_code();
        let parsed: StackUri = uri
            .parse()
            .map_err(|error| Error::new(ErrorKind::Config, format!("{uri}: {error}")))?;
        let ListenOptions { options, listener, policy, labels } = options;
        if let Some(Problem { key, expected }) = listener.problems().into_iter().next() {
            return Err(Error::new(ErrorKind::Config, format!("{key}: {expected}")));
        }
        let stack = self.stack(&parsed, &options.0, Role::Server).await?;
        if let Some(top) = stack.top() {
            code.fits(top.manifest.facets).map_err(|error| error.with("listen", uri))?;
        }
        let listener = Listener {
            name: parsed.to_string().into(),
            stack,
            service: Service::Code { code, policy, labels },
            options: listener,
            handshake_timeout: self.core.host().timeouts.handshake.0,
        };
        let bound = listener.bind(Arc::clone(&self.core.named.lives)).await?;
        self.core.listeners.accept(bound, None, DefinedBy::Program)
    }
}
