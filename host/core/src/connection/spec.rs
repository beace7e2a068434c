//! What a named connection is, shared by all its lives.

use super::handler::{self, HandlerSlot, SessionHandler};
use super::intercept::{Around, InterceptorList};
use super::lives::Lives;
use super::policy::Policy;
use super::target::Target;
use crate::events::{Bus, Source};
use arc_swap::ArcSwapOption;
use jackfield_plugin_api::{Result, Session};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// What a program does with a session at a turn of its life.
type Doing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

type Hook = Box<dyn Fn(Arc<Session>) -> Doing + Send + Sync>;

/// A place for one hook.
#[derive(Default)]
pub(super) struct HookSlot(ArcSwapOption<Hook>);

impl HookSlot {
    pub(super) fn set<F, Fut>(&self, hook: F)
    where
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let hook: Hook = Box::new(move |session| Box::pin(hook(session)));
        self.0.store(Some(Arc::new(hook)));
    }

    /// Runs the hook, if there is one.
    pub(super) async fn run(&self, session: &Arc<Session>) -> Result<()> {
        match self.0.load_full() {
            Some(hook) => hook(Arc::clone(session)).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for HookSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.load().is_some() { "set" } else { "empty" })
    }
}

/// How a connection came in.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) listener: Arc<str>,
    pub(super) to: Arc<str>,
    /// Whether a route reads its data.
    pub(super) is_routed: bool,
}

/// What a connection is; of accepted ones, what all of a listener have in common.
#[derive(Debug)]
pub(super) struct ConnectionSpec {
    pub(super) name: Arc<str>,
    pub(super) target: Arc<Target>,
    pub(super) policy: Policy,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) lives: Option<Arc<Lives>>,
    pub(super) handler: Arc<watch::Sender<HandlerSlot>>,
    /// Restores what a session had before it was lost: rooms, subscriptions, modes.
    pub(super) restore: Arc<HookSlot>,
    /// Takes leave of a session that is about to be closed.
    pub(super) leave: Arc<HookSlot>,
    pub(super) interceptors: Arc<InterceptorList>,
    /// What happens to a named connection, over its lives.
    pub(super) events: Option<Bus>,
    /// What its events say of it.
    pub(super) source: Arc<Source>,
    /// `None`: it is dialled.
    pub(super) inbound: Option<Inbound>,
}

impl ConnectionSpec {
    pub(super) fn new(name: &str, target: Arc<Target>, policy: Policy) -> Self {
        ConnectionSpec {
            name: name.into(),
            target,
            policy,
            labels: BTreeMap::new(),
            lives: None,
            handler: Arc::new(watch::channel(HandlerSlot::default()).0),
            restore: Arc::default(),
            leave: Arc::default(),
            interceptors: Arc::default(),
            events: Some(Bus::lasting()),
            source: Arc::default(),
            inbound: None,
        }
    }

    /// With what its events say of it, once the rest is set.
    pub(super) fn sourced(mut self) -> Self {
        self.source = Arc::new(Source {
            name: self.name.to_string(),
            listener: self.inbound.as_ref().map(|inbound| inbound.listener.to_string()),
            driver: self.target.stack().name(),
            labels: self.labels.clone(),
        });
        self
    }

    /// What `other` is, with the handler, the hooks and the interceptors of this one.
    pub(super) fn become_as(&self, other: &ConnectionSpec) -> Self {
        ConnectionSpec {
            name: Arc::clone(&self.name),
            target: Arc::clone(&other.target),
            policy: other.policy.clone(),
            labels: other.labels.clone(),
            lives: other.lives.clone(),
            handler: Arc::clone(&self.handler),
            restore: Arc::clone(&self.restore),
            leave: Arc::clone(&self.leave),
            interceptors: Arc::clone(&self.interceptors),
            events: self.events.clone(),
            source: Arc::clone(&other.source),
            inbound: None,
        }
    }

    /// What stands around its operations.
    pub(super) fn around(&self) -> Around {
        self.target.around(&self.name, Some(Arc::clone(&self.source)), self.interceptors.all())
    }

    pub(super) fn set_handler(
        &self,
        handler: Arc<dyn SessionHandler>,
    ) -> Option<Arc<dyn SessionHandler>> {
        handler::set(&self.handler, handler)
    }
}
