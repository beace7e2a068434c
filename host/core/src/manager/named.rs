//! The verbs on named connections: define, register, get, find, unregister, destroy, post.

use super::Manager;
use super::entries::{DefinedBy, Entry};
use super::filter::Filter;
use super::snapshot::NamedSnapshot;
use super::state::StateDir;
use crate::config::Reference;
use crate::config::model::ConnectionConfig;
use crate::connection::{Live, Managed, ManagedSnapshot, Policy, Target};
use crate::events::EventKind;
use crate::lock::IgnorePoison;
use crate::stack::Stack;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;

/// What happens to a name that is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// The new definition is refused.
    #[default]
    Refuse,
    /// The old definition goes, and its session is closed. What goes via it goes via the new one.
    Replace,
}

/// What becomes of the session of a connection that is unregistered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is closed politely, and waited for.
    Close {
        /// The protocol's own code, where it has one; 0 is normal.
        code: u64,
        /// Told to the peer where the protocol can.
        reason: String,
    },
    /// It lives for as long as a handle of it is held.
    Detach,
}

/// What a program gives a target of its own, beside its name.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// What it does by itself.
    pub policy: Policy,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What happens to a name that is taken.
    pub existing: Existing,
}

pub(super) fn entry(
    name: &str,
    by: DefinedBy,
    config: Option<Arc<ConnectionConfig>>,
    managed: Option<Arc<Managed>>,
) -> Entry {
    let managed = OnceCell::new_with(managed);
    Entry { name: name.into(), by, config, managed, carries: Arc::new(AtomicUsize::new(0)) }
}

impl Manager {
    /// Keeps what is defined at run time in `folder`, and restores what it holds: each is defined
    /// again, and built when it is first needed. What the configuration defines takes precedence.
    ///
    /// # Errors
    /// Another process uses it; damage, with its byte offset; what the files say.
    pub fn keep_state(&self, folder: &Path) -> Result<usize> {
        let (state, restored) = StateDir::open(folder, self.registry().common().handover())?;
        let count = restored.len();
        self.core.targets.restore(state.targets().clone());
        self.core.written.restore(state.written().clone());
        self.core.named.restore(state, restored);
        Ok(count)
    }

    /// Defines a connection without connecting. Its stack is built and its options are checked
    /// first. With a state directory it is kept from the moment this returns; its secrets must then
    /// be references, `{ env = "NAME" }` and the like.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] for a name that is taken by another definition, unless it is replaced; by an
    /// equal one, that is used again. [`ErrorKind::Config`] for a name, a key or options that are not acceptable, a via that leads
    /// back, or a secret written out that would be kept.
    pub async fn define_connection(
        &self,
        name: &str,
        config: ConnectionConfig,
        existing: Existing,
    ) -> Result<Arc<Managed>> {
        let defined = self.core.named.entries.get(name).and_then(|entry| entry.config.clone());
        if defined.is_some_and(|defined| *defined == config) {
            return self.connection(name).await;
        }
        self.core.named.refuse(name, existing)?;
        let managed = self.define_unnamed(name, &config, self.core.named.keeps()).await?;
        let config = Some(Arc::new(config));
        self.put(entry(name, DefinedBy::Call, config, Some(Arc::new(managed))), existing).await
    }

    /// Defines a connection to a program's own target, without connecting. It is not kept in the
    /// state directory.
    ///
    /// # Errors
    /// As [`Manager::define_connection`].
    pub async fn define_own(&self, name: &str, stack: Stack, own: Own) -> Result<Arc<Managed>> {
        super::define::check_name(name)?;
        let target = Arc::new(Target::new(stack, None));
        let Own { policy, labels, existing } = own;
        let lives = Arc::clone(&self.core.named.lives);
        let managed = Arc::new(Managed::counted(name, target, policy, labels, lives));
        self.put(entry(name, DefinedBy::Program, None, Some(managed)), existing).await
    }

    async fn put(&self, entry: Entry, existing: Existing) -> Result<Arc<Managed>> {
        let (what, by) = (format!("connections.{}", entry.name), entry.by);
        let is_new = self.core.named.entries.get(&entry.name).is_none();
        let (managed, ended) = self.core.named.put(entry, existing)?;
        if by != DefinedBy::Config {
            self.tell_defined(what, !is_new);
        }
        if let Some(live) = ended {
            live.close(0, "replaced by another definition").await;
        }
        Ok(managed)
    }

    /// Defines a connection and connects it within `limit`.
    ///
    /// # Errors
    /// As [`Manager::define_connection`], and then nothing is defined. What opening says; then the definition
    /// stays, for later attempts.
    pub async fn register(
        &self,
        name: &str,
        config: ConnectionConfig,
        existing: Existing,
        limit: Duration,
    ) -> Result<Arc<Live>> {
        self.define_connection(name, config, existing).await?.connect(limit).await
    }

    /// Takes over a session that is open already, under a name. When it ends it cannot be opened again, and its
    /// name is free; it is not kept in the state directory.
    ///
    /// # Errors
    /// As [`Manager::define_connection`].
    pub async fn adopt(&self, name: &str, session: Session, own: Own) -> Result<Arc<Live>> {
        let limit = own.policy.connect_limit();
        let session = Arc::new(Mutex::new(Some(session)));
        let source = move |_| {
            let session = session.lock().ignore_poison().take();
            let text = "an adopted session cannot be opened again";
            std::future::ready(session.ok_or_else(|| Error::new(ErrorKind::Closed, text)))
        };
        let managed = self.define_own(name, Stack::of_source("adopted:", source), own).await?;
        let live = managed.connect(limit).await?;
        let (gone, core, name) = (live.gone(), Arc::downgrade(&self.core), name.to_owned());
        let managed = Arc::downgrade(&managed);
        tokio::spawn(async move {
            gone.await;
            if let (Some(core), Some(managed)) = (core.upgrade(), managed.upgrade()) {
                Manager { core }.forget_adopted(&name, &managed);
            }
        });
        Ok(live)
    }

    /// Enters a connection that is there already, a program's own or one of another manager, under its own name. It is
    /// one connection in both, with one session: whoever connects or closes it does so for both, and a manager that
    /// shuts down closes it. [`Manager::unregister`] with [`Removal::Detach`] takes it out and leaves it as it is. One
    /// that no manager counts is counted by this one, from its next life on; another one stays counted where it is.
    /// It is not kept in the state directory.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another connection has the name; [`ErrorKind::Config`] for a name that is not
    /// acceptable, as that of a path of a device.
    pub fn add_connection(&self, managed: &Arc<Managed>) -> Result<()> {
        let name = managed.name();
        super::define::check_name(name)?;
        let entered =
            self.core.named.entries.get(name).and_then(|entry| entry.managed.get().cloned());
        if entered.is_some_and(|entered| Arc::ptr_eq(&entered, managed)) {
            return Ok(());
        }
        let new = entry(name, DefinedBy::Program, None, Some(Arc::clone(managed)));
        self.core.named.put(new, Existing::Refuse)?;
        managed.count_in(&self.core.named.lives);
        self.tell_defined(format!("connections.{name}"), false);
        Ok(())
    }

    /// Takes away what has ended for ever, unless something goes via it or another has its name.
    fn forget_adopted(&self, name: &str, managed: &Arc<Managed>) {
        let entry = self.core.named.entries.get(name);
        let is_it = entry.is_some_and(|entry| {
            entry.by == DefinedBy::Program
                && entry.managed.get().is_some_and(|it| Arc::ptr_eq(it, managed))
        });
        if is_it && managed.state().is_final() && self.core.named.take(name).is_ok() {
            self.tell_removed(format!("connections.{name}"));
        }
    }

    /// The connection of that name, connected or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name; for one that was restored, why it cannot be
    /// built.
    pub async fn connection(&self, name: &str) -> Result<Arc<Managed>> {
        loop {
            let entry = self.core.named.get(name)?;
            let managed = self.built(&entry).await?;
            // It may have been replaced while it was built.
            let now = self.core.named.entries.get(name);
            if now.is_none_or(|now| Arc::ptr_eq(&now, &entry)) {
                return Ok(managed);
            }
        }
    }

    /// The life of that connection, once it is connected: its present one or a new one.
    ///
    /// # Errors
    /// As [`Manager::connection`] and [`Managed::connect`].
    pub async fn get_or_connect(&self, name: &str, limit: Duration) -> Result<Arc<Live>> {
        self.connection(name).await?.connect(limit).await
    }

    /// Whether what `to` names is connected now: `connections.NAME`, short `NAME`, or
    /// `devices.NAME.PATH`. What there is not is not connected.
    pub fn is_connected(&self, to: &str) -> bool {
        let by_name = |name: &str| {
            let entry = self.core.named.entries.get(name);
            entry.is_some_and(|entry| entry.managed.get().is_some_and(|it| it.is_connected()))
        };
        match to.parse() {
            Ok(Reference::Device(path)) => {
                self.path(&path).is_ok_and(|path| path.managed().is_connected())
            }
            Ok(Reference::Connection(name)) => by_name(&name),
            _ => by_name(to),
        }
    }

    /// How many connections are defined.
    pub fn defined(&self) -> usize {
        self.core.named.entries.len()
    }

    /// Forgets a connection. Answers it, with its life if that was to live on; `None` if it was
    /// never built. One that the configuration defines comes back with the next start.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] while others go via it.
    pub async fn unregister(&self, name: &str, end: Removal) -> Result<Option<Arc<Managed>>> {
        let managed = self.core.named.take(name)?.managed.get().cloned();
        self.tell_removed(format!("connections.{name}"));
        if let (Some(managed), Removal::Close { code, reason }) = (&managed, end)
            && let Some(live) = managed.last()
        {
            live.close(code, &reason).await;
        }
        Ok(managed)
    }

    /// Ends a connection at once and forgets it.
    ///
    /// # Errors
    /// As [`Manager::unregister`].
    pub async fn destroy(&self, name: &str) -> Result<()> {
        let entry = self.core.named.take(name)?;
        self.tell_removed(format!("connections.{name}"));
        if let Some(live) = entry.managed.get().and_then(|managed| managed.last()) {
            live.abort("destroyed");
            live.wait_closed().await;
        }
        Ok(())
    }

    /// Those that `filter` is for, by name.
    pub fn find(&self, filter: &Filter) -> Vec<NamedSnapshot> {
        self.matching(filter).iter().map(|entry| snapshot(entry)).collect()
    }

    /// The named connection of that name as others read it; it is not built for that.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub fn find_named(&self, name: &str) -> Result<NamedSnapshot> {
        self.core.named.get(name).map(|entry| snapshot(&entry))
    }

    /// All named connections as others read them, by name.
    pub fn named(&self) -> Vec<NamedSnapshot> {
        self.find(&Filter::default())
    }

    pub(super) fn tell_defined(&self, what: String, replaced: bool) {
        self.core.revisions.note(&what);
        self.unwrite(&what);
        self.events().announce(EventKind::Defined { what, replaced });
    }

    pub(super) fn tell_removed(&self, what: String) {
        self.core.revisions.forget(&what);
        self.unwrite(&what);
        self.events().announce(EventKind::Removed { what });
    }

    pub(super) fn matching(&self, filter: &Filter) -> Vec<Arc<Entry>> {
        let mut all = match &filter.names {
            Some(names) => {
                names.iter().filter_map(|name| self.core.named.entries.get(name)).collect()
            }
            None => self.core.named.entries.all(),
        };
        all.retain(|entry| filter.takes(entry, self));
        all
    }
}

fn snapshot(entry: &Entry) -> NamedSnapshot {
    let connection = match (entry.managed.get(), &entry.config) {
        (Some(managed), _) => managed.snapshot(),
        (None, config) => ManagedSnapshot {
            name: entry.name.to_string(),
            uri: config.as_ref().map(|config| config.uri.to_string()).unwrap_or_default(),
            labels: config.as_ref().map(|config| config.labels.clone()).unwrap_or_default(),
            life: None,
        },
    };
    NamedSnapshot { connection, defined_by: entry.by }
}
