//! What a named connection is, shared by all its lives.

use super::handler::{SessionHandler, Slot};
use super::lives::Lives;
use super::policy::Policy;
use super::target::Target;
use arc_swap::ArcSwapOption;
use jackfield_plugin_api::{Result, Session};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// What restoring a session gives.
pub type Restoring = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Restores what a session had before it was lost: rooms, subscriptions, modes.
pub(super) struct Restore(Box<dyn Fn(Arc<Session>) -> Restoring + Send + Sync>);

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restore")
    }
}

#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: Arc<str>,
    pub(super) target: Arc<Target>,
    pub(super) policy: Policy,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) lives: Option<Arc<Lives>>,
    pub(super) handler: Arc<watch::Sender<Slot>>,
    pub(super) restore: Arc<ArcSwapOption<Restore>>,
}

impl Spec {
    pub(super) fn new(name: &str, target: Arc<Target>, policy: Policy) -> Self {
        Spec {
            name: name.into(),
            target,
            policy,
            labels: BTreeMap::new(),
            lives: None,
            handler: Arc::new(watch::channel(Slot::default()).0),
            restore: Arc::default(),
        }
    }

    /// What `other` is, with the handler and the hook of this one.
    pub(super) fn become_as(&self, other: &Spec) -> Self {
        Spec {
            name: Arc::clone(&self.name),
            target: Arc::clone(&other.target),
            policy: other.policy.clone(),
            labels: other.labels.clone(),
            lives: other.lives.clone(),
            handler: Arc::clone(&self.handler),
            restore: Arc::clone(&self.restore),
        }
    }

    pub(super) fn set_handler(
        &self,
        handler: Arc<dyn SessionHandler>,
    ) -> Option<Arc<dyn SessionHandler>> {
        self.handler.send_replace(Slot(Some(handler))).0
    }

    pub(super) fn set_restore<F, Fut>(&self, hook: F)
    where
        F: Fn(Arc<Session>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let hook = move |session| -> Restoring { Box::pin(hook(session)) };
        self.restore.store(Some(Arc::new(Restore(Box::new(hook)))));
    }

    /// Runs the hook on a session that was opened again.
    pub(super) async fn restore(&self, session: &Arc<Session>) -> Result<()> {
        match self.restore.load_full() {
            Some(hook) => (hook.0)(Arc::clone(session)).await,
            None => Ok(()),
        }
    }
}
