//! [`Managed`]: a named connection: what it is, and the life it has now, if any. It carries other
//! connections (`via`), one session for all.

use super::carried::carried;
use super::handler::SessionHandler;
use super::info::LiveSnapshot;
use super::intercept::{Around, Interception, Interceptor};
use super::live::Live;
use super::lives::Lives;
use super::outbox::{Payload, Receipt};
use super::policy::Policy;
use super::spec::ConnectionSpec;
use super::state::State;
use super::target::Target;
use crate::events::Bus;
use crate::lock::IgnorePoison;
use arc_swap::ArcSwap;
use jackfield_plugin_api::{Address, Error, ErrorKind, Facets, Result, Session};
use jackfield_timers::timeout_at;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A named connection, defined whether or not it is connected.
#[derive(Debug)]
pub struct Managed {
    name: Arc<str>,
    spec: ArcSwap<ConnectionSpec>,
    live: Mutex<Option<Arc<Live>>>,
}

/// A named connection as others read it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ManagedSnapshot {
    /// Its name.
    pub name: String,
    /// Where it goes, without a password.
    pub uri: String,
    /// Free labels of its definition.
    pub labels: BTreeMap<String, String>,
    /// Its present or last life; `None` if it never had one.
    pub life: Option<LiveSnapshot>,
}

impl Managed {
    /// Defines a connection; it does not connect yet.
    pub fn new(name: &str, target: Arc<Target>, policy: Policy) -> Self {
        Managed::of(ConnectionSpec::new(name, target, policy))
    }

    /// As [`Managed::new`], with labels, and counted in `lives` and held to its limit.
    pub fn counted(
        name: &str,
        target: Arc<Target>,
        policy: Policy,
        labels: BTreeMap<String, String>,
        lives: Arc<Lives>,
    ) -> Self {
        let spec = ConnectionSpec::new(name, target, policy);
        spec.events.iter().for_each(|events| events.set_limits(lives.bus_limits()));
        Managed::of(ConnectionSpec { labels, lives: Some(lives), ..spec })
    }

    fn of(spec: ConnectionSpec) -> Self {
        let (name, spec) = (Arc::clone(&spec.name), spec.sourced());
        Managed { name, spec: ArcSwap::from_pointee(spec), live: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its target, for sessions of one's own.
    pub fn target(&self) -> Arc<Target> {
        Arc::clone(&self.spec.load().target)
    }

    /// Its target, and the most that connecting to it may take.
    pub fn target_and_limit(&self) -> (Arc<Target>, Duration) {
        let spec = self.spec.load();
        (Arc::clone(&spec.target), spec.policy.connect_limit())
    }

    /// Whether one session of its target is open at a time: an exclusive path, or a driver that has but one.
    pub fn has_one_user(&self) -> bool {
        let target = &self.spec.load().target;
        target.is_exclusive() || target.stack().max_sessions() == Some(1)
    }

    /// Free labels of its definition.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.spec.load().labels.clone()
    }

    /// What it does by itself.
    pub fn policy(&self) -> Policy {
        self.spec.load().policy.clone()
    }

    /// Becomes what `other` is: target, policy and labels. Its handler and its hook stay. Returns the
    /// life of what it was, which is for the caller to end.
    pub fn take_over(&self, other: &Managed) -> Option<Arc<Live>> {
        let mut slot = self.slot();
        let spec = self.spec.load().become_as(&other.spec.load());
        self.spec.store(Arc::new(spec));
        slot.take()
    }

    /// As [`Managed::take_over`], but the life that it has goes on as it was begun; the next one is of what it has
    /// become.
    pub fn take_over_later(&self, other: &Managed) {
        let _slot = self.slot();
        let spec = self.spec.load().become_as(&other.spec.load());
        self.spec.store(Arc::new(spec));
    }

    /// Is counted in `lives` from its next life on, unless it is counted elsewhere.
    pub(crate) fn count_in(&self, lives: &Arc<Lives>) {
        let _slot = self.slot();
        let spec = self.spec.load();
        if spec.lives.is_none() {
            let counted =
                ConnectionSpec { lives: Some(Arc::clone(lives)), ..spec.become_as(&spec) };
            self.spec.store(Arc::new(counted));
        }
    }

    /// Where its present or last life is; `disconnected` if it never had one.
    pub fn state(&self) -> State {
        self.slot().as_ref().map_or(State::Disconnected, |live| live.state())
    }

    /// Whether it is connected now.
    pub fn is_connected(&self) -> bool {
        self.state() == State::Connected
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Live>>> {
        self.live.lock().ignore_poison()
    }

    /// Its present life, or a new one if there is none or it has ended. Callers at the same time get
    /// the same.
    pub fn live(&self) -> Arc<Live> {
        let mut slot = self.slot();
        if let Some(live) = slot.as_ref().filter(|live| !live.state().is_final()) {
            return Arc::clone(live);
        }
        let live = Live::begin(self.spec.load_full());
        *slot = Some(Arc::clone(&live));
        live
    }

    /// Its present or last life; begins none.
    pub fn last(&self) -> Option<Arc<Live>> {
        self.slot().clone()
    }

    /// Its present life, or a new one, once it is connected; at most for `limit`. Connected already,
    /// it answers at once. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], or why it cannot be opened.
    pub async fn connect(&self, limit: Duration) -> Result<Arc<Live>> {
        let live = self.live();
        live.wait_ready(limit).await?;
        Ok(live)
    }

    /// Runs an operation on its session, which is opened if there is none. See [`Live::call`].
    ///
    /// # Errors
    /// As there.
    pub async fn call(&self, operation: &str, params: &Value) -> Result<Value> {
        self.live().call(operation, params).await
    }

    /// Queues a payload for its session; begins no life. See [`Live::post`].
    ///
    /// # Errors
    /// As there; [`ErrorKind::Closed`] if it has no life.
    pub fn post(&self, payload: impl Into<Payload>) -> Result<Receipt> {
        let Some(live) = self.last() else {
            let text = format!("{} is not connected", self.name());
            return Err(Error::new(ErrorKind::Closed, text));
        };
        live.post(payload)
    }

    /// Puts `handler` in the place of the one that was set. See [`Live::set_handler`]. If its session turns
    /// out to have only requests, which no handler is given, its life says so by an `error` event.
    ///
    /// # Errors
    /// As there.
    pub fn set_handler(
        &self,
        handler: Arc<dyn SessionHandler>,
    ) -> Result<Option<Arc<dyn SessionHandler>>> {
        self.last().map_or(Ok(()), |live| live.takes_handler())?;
        Ok(self.spec.load().set_handler(handler))
    }

    /// What happens to it, from now on and over all its lives: each ends with one `closed`, after which the
    /// next may begin. What subscribes before the first connect sees everything. It goes on when the
    /// connection is replaced by another definition of its name.
    pub fn events(&self) -> Bus {
        // A named one always has it.
        self.spec.load().events.clone().unwrap_or_default()
    }

    /// Sets what restores a session that was lost and opened again, in the place of what was set. It
    /// runs before anybody else gets the session, within the policy's connect timeout; if it fails,
    /// so does the attempt.
    pub fn on_reconnected<F, Fut>(&self, hook: F)
    where
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.spec.load().restore.set(hook);
    }

    /// Sets what is done with a session before it is closed politely, on request, when it was idle for
    /// too long or after a drain, in the place of what was set: to log out, to put back what was
    /// changed. It shares the policy's call timeout with the close itself; its error, as that of the close, counts in
    /// [`Live::info`], is told by [`EventKind::Error`](crate::events::EventKind::Error), and stops nothing. A session that is lost or aborted gets none.
    pub fn on_closing<F, Fut>(&self, hook: F)
    where
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.spec.load().leave.set(hook);
    }

    /// Puts an interceptor around its operations, for this life and later ones, until the answer is
    /// dropped. Those of a lower order are further outside; of the same, those that came first.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when there are [`MAX_INTERCEPTORS`](super::MAX_INTERCEPTORS).
    pub fn intercept(&self, order: i32, interceptor: Arc<dyn Interceptor>) -> Result<Interception> {
        self.spec.load().interceptors.add(order, interceptor)
    }

    /// What stands around its operations now: also for calls on a session of one's own to its target.
    pub fn around(&self) -> Around {
        self.spec.load().around()
    }

    /// Connects onward from its far end within `limit`, over the session it has or a new one. A
    /// session that turns out to be lost is replaced once. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if its sessions cannot dial; else what opening or dialling says.
    pub fn dial<'a>(
        &'a self,
        address: &'a Address,
        limit: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Session>> + Send + 'a>> {
        // A via of a via: without the box the future would contain itself.
        Box::pin(async move {
            let deadline = Instant::now() + limit;
            let first = self.dial_once(address, deadline).await;
            let result = match first {
                Err((error, true)) if error.kind() == ErrorKind::Closed => {
                    self.dial_once(address, deadline).await
                }
                other => other,
            };
            result.map_err(|(error, _)| error.with("via", self.name()))
        })
    }

    /// On failure also tells whether the session was used, and not just missing.
    async fn dial_once(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> Result<Session, (Error, bool)> {
        let live = self.live();
        let left = deadline.saturating_duration_since(Instant::now());
        let session = live.wait_ready(left).await.map_err(|error| (error, false))?;
        let generation = live.generation();
        if !session.facets().contains(Facets::DIAL) {
            return Err((Error::unsupported("carrying other connections"), false));
        }
        let dialled = timeout_at(deadline, session.dial(address)).await;
        let late = || Error::new(ErrorKind::TimedOut, "no answer to a dial");
        let result = dialled.unwrap_or_else(|_| Err(late()));
        live.record_activity();
        let error = match result {
            Ok(session) => return Ok(carried(session, live.totals())),
            Err(error) => error,
        };
        live.report(generation, &error);
        if error.kind() == ErrorKind::Closed {
            // Its supervisor takes note first, so that the next call does not meet it again.
            let _ = timeout_at(deadline, live.left(generation)).await;
        }
        Err((error, true))
    }

    /// As others read it.
    pub fn snapshot(&self) -> ManagedSnapshot {
        ManagedSnapshot {
            name: self.name().to_owned(),
            uri: self.target().stack().display().to_owned(),
            labels: self.labels(),
            life: self.last().map(|live| live.snapshot()),
        }
    }
}
