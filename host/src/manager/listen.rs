//! Listeners of a running host: those of its configuration, and those that a program adds.

use super::Manager;
use super::snapshot::ListenerSnapshot;
use crate::config::Options;
use crate::connection::{Flags, Lives, Policy};
use crate::events::{Bus, Cause, EventKind};
use crate::listener::{AdmissionOptions, Bound, IntoCode, Listener, Service};
use crate::shutdown::Shutdown;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How a program listens.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// Options of the listener's drivers, as `options` of a route.
    pub options: Options,
    /// What each connection does by itself: keepalive, idle time, room for posts.
    pub policy: Policy,
    /// Free labels of each connection.
    pub labels: BTreeMap<String, String>,
    /// The most connections of this listener at once; more wait to be accepted. Default:
    /// `host.max_connections`.
    pub max_connections: Option<usize>,
    /// Time for a peer to get through the layers. Default: `host.timeouts.handshake`.
    pub handshake_timeout: Option<Duration>,
    /// Whom it lets in. Default: everybody.
    pub admission: AdmissionOptions,
}

/// All listeners of a host.
#[derive(Debug)]
pub(super) struct Listeners {
    state: Mutex<ListenerTable>,
    lives: Arc<Lives>,
    events: Bus,
    shutdown_timeout: Duration,
}

#[derive(Debug, Default)]
struct ListenerTable {
    running: Vec<Arc<OneListener>>,
    stopped: bool,
}

/// One listener.
#[derive(Debug)]
struct OneListener {
    snapshot: ListenerSnapshot,
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
        Arc::new(Listeners { state: Mutex::default(), lives, events, shutdown_timeout })
    }

    fn lock(&self) -> MutexGuard<'_, ListenerTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to accept.
    pub(super) fn accept(self: &Arc<Self>, bound: Bound) -> Result<RunningListener> {
        let snapshot = ListenerSnapshot {
            listen: bound.name().to_string(),
            local: bound.local(),
            to: bound.service().name().to_string(),
            flags: Flags { is_listening: true, is_healthy: true, ..Flags::default() },
        };
        let shutdown = Shutdown::default();
        let mut state = self.lock();
        if state.stopped {
            return Err(Error::new(ErrorKind::Closed, "the host is stopping and listens no more"));
        }
        let locals = bound.locals().join(" ");
        let local = if locals.is_empty() { "-" } else { &locals };
        tracing::info!(listener = snapshot.listen, local, route = snapshot.to, "listening");
        let (listener, local) = (snapshot.listen.clone(), snapshot.local.clone());
        let accepting = tokio::spawn(bound.run(Arc::clone(&self.lives), shutdown.worker()));
        let accepting = Mutex::new(Some(accepting));
        let running = Arc::new(OneListener { snapshot, shutdown, accepting });
        state.running.push(Arc::clone(&running));
        drop(state);
        self.events.emit(EventKind::ListenerUp { listener, local });
        Ok(RunningListener { running, listeners: Arc::downgrade(self) })
    }

    /// What listens, in the order in which it came.
    pub(super) fn snapshot(&self) -> Vec<ListenerSnapshot> {
        self.lock().running.iter().map(|running| running.snapshot.clone()).collect()
    }

    /// Accepts no more, lets what runs go on until `end`, then ends it. Answers how many connections had to
    /// be ended. What blocks is left behind.
    pub(super) async fn stop(&self, end: Instant) -> usize {
        let running = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.running)
        };
        running.iter().for_each(|running| running.shutdown.begin());
        for running in &running {
            // A listener whose transport blocks is ended with the rest.
            let _ = timeout_at(end, running.stopped()).await;
            self.tell_down(running, "the host is stopping");
        }
        let left = || end.saturating_duration_since(Instant::now());
        let count = || self.lives.count().accepted;
        let finishing = running.iter().map(|running| running.shutdown.finish(left(), count));
        let late = futures_util::future::join_all(finishing).await;
        late.into_iter().flatten().max().unwrap_or(0)
    }

    fn tell_down(&self, running: &OneListener, why: &str) {
        let listener = running.snapshot.listen.clone();
        tracing::info!(listener, why, "listens no more");
        self.events.emit(EventKind::ListenerDown { listener, cause: Cause::of(why) });
    }
}

impl OneListener {
    /// Completes when it accepts no more, and its address is free. Cancel safe.
    async fn stopped(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            // It panics only where its driver does, and is over then.
            let _ = accepting.await;
        }
    }
}

impl RunningListener {
    /// As it was written.
    pub fn name(&self) -> &str {
        &self.running.snapshot.listen
    }

    /// Where it listens, with the port that the system chose: an address of the network, or a path.
    pub fn local(&self) -> Option<&str> {
        self.running.snapshot.local.as_deref()
    }

    /// Where it listens, if that is an address of the network.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local()?.parse().ok()
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
        let limit = self.listeners.upgrade().map_or(Duration::ZERO, |it| it.shutdown_timeout);
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
        let ListenOptions {
            options,
            policy,
            labels,
            max_connections,
            handshake_timeout,
            admission,
        } = options;
        let stack = self.graph.stack(&parsed, &options.0, Role::Server).await?;
        if let Some(top) = stack.top() {
            code.fits(top.manifest.facets).map_err(|error| error.with("listen", uri))?;
        }
        let listener = Listener {
            name: parsed.to_string().into(),
            stack,
            service: Service::Code { code, policy, labels },
            handshake_timeout: handshake_timeout.unwrap_or(self.handshake_timeout),
            max_connections: max_connections.unwrap_or(self.lives.count().max).max(1),
            admission,
        };
        self.listeners.accept(listener.bind().await?)
    }
}
