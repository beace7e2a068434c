//! The verbs on named connections: define, register, get, find, unregister, destroy, post.
//!
//! Reading never waits for writing: look-ups take one shard of the table for a moment. Changes are
//! made one after the other: checked, written to the journal, entered, all without an await, so that
//! a caller who goes away leaves a change done or not begun.

use super::entries::{DefinedBy, Entries, Entry};
use super::graph::Graph;
use super::snapshot::NamedSnapshot;
use super::state::{Restored, State};
use crate::config::model::ConnectionConfig;
use crate::connection::{
    Live, Lives, LivesCount, Managed, ManagedSnapshot, Payload, Policy, Receipt, State as At,
    Target,
};
use crate::nearest::did_you_mean;
use crate::stack::Stack;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
pub enum End {
    /// It is closed politely, and waited for.
    Close {
        /// The protocol's own code, where it has one; 0 is normal.
        code: u64,
        /// Told to the peer where the protocol can.
        reason: String,
    },
    /// It lives on for as long as somebody holds it.
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

/// Which connections a verb is for; everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A driver anywhere in the stack.
    pub driver: Option<String>,
    /// A label and, unless any will do, its value.
    pub label: Option<(String, Option<String>)>,
    /// Where its present or last life is.
    pub state: Option<At>,
    /// One of these names.
    pub names: Option<Vec<String>>,
}

/// The table of named connections.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) entries: Entries,
    pub(super) lives: Arc<Lives>,
    /// Held while a change is made.
    changes: Mutex<Option<State>>,
}

impl Named {
    pub(super) fn new(lives: Arc<Lives>) -> Self {
        Named { entries: Entries::default(), lives, changes: Mutex::default() }
    }

    fn changes(&self) -> MutexGuard<'_, Option<State>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what the configuration defines.
    pub(super) fn enter(&self, managed: Arc<Managed>, config: &ConnectionConfig) {
        let _changes = self.changes();
        let config = Some(Arc::new(config.clone()));
        let name = managed.name().to_owned();
        let entry = entry(&name, DefinedBy::Config, config, Some(managed));
        self.count(entry.via(), true);
        self.entries.insert(Arc::new(entry));
    }

    /// Enters what was read from a state directory, and keeps it there from now on.
    pub(super) fn restore(&self, state: State, restored: Restored) {
        let mut changes = self.changes();
        for (name, config) in restored {
            if self.entries.get(&name).is_some() {
                tracing::warn!(
                    connection = name,
                    "the configuration's definition takes precedence"
                );
                continue;
            }
            let entry = entry(&name, DefinedBy::Call, Some(Arc::new(config)), None);
            self.entries.insert(Arc::new(entry));
        }
        for entry in self.entries.all().iter().filter(|entry| entry.by == DefinedBy::Call) {
            self.count(entry.via(), true);
        }
        *changes = Some(state);
    }

    pub(super) fn keeps(&self) -> bool {
        self.changes().is_some()
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.changes().as_ref().map_or(Ok(()), State::sync)
    }

    fn count(&self, via: Option<&str>, more: bool) {
        let Some(carrier) = via.and_then(|via| self.entries.get(via)) else { return };
        if more {
            carrier.carries.fetch_add(1, Ordering::Relaxed);
        } else {
            carrier.carries.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Arc<Entry>> {
        self.entries.get(name).ok_or_else(|| {
            let all = self.entries.all();
            let near = did_you_mean(name, all.iter().map(|entry| &*entry.name));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no connection {name:?}{hint}"))
        })
    }

    fn refuse(&self, name: &str, existing: Existing) -> Result<()> {
        if existing == Existing::Refuse && self.entries.get(name).is_some() {
            let text = format!("there is a connection {name:?} already");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        Ok(())
    }

    /// A connection must not be dialled through itself.
    fn refuse_cycle(&self, name: &str, via: Option<&str>) -> Result<()> {
        let mut here = via.map(str::to_owned);
        for _ in 0..=self.entries.len() {
            let Some(via) = here else { return Ok(()) };
            if via == name {
                let text = format!("the via of {name:?} leads back to itself");
                return Err(Error::new(ErrorKind::Config, text));
            }
            here = self.get(&via)?.via().map(str::to_owned);
        }
        Ok(())
    }

    /// Makes one change: checks, writes, enters. Answers the connection and the life that its name
    /// had before.
    fn put(&self, mut new: Entry, existing: Existing) -> Result<(Arc<Managed>, Option<Arc<Live>>)> {
        let mut changes = self.changes();
        self.refuse(&new.name, existing)?;
        self.refuse_cycle(&new.name, new.via())?;
        let old = self.entries.get(&new.name);
        if let Some(state) = changes.as_mut() {
            let kept = |entry: &Entry| entry.by == DefinedBy::Call;
            match (&new.config, old.as_deref().is_some_and(kept)) {
                (Some(config), was) if kept(&new) => state.define(&new.name, config, !was)?,
                (_, true) => state.remove(&new.name)?,
                _ => {}
            }
        }
        let mut ended = None;
        if let Some(old) = &old {
            new.carries = Arc::clone(&old.carries);
            self.count(old.via(), false);
            // What goes via it holds the old object: that becomes the new connection.
            if let (Some(was), Some(is)) = (old.managed.get(), new.managed.get()) {
                ended = was.take_over(is);
                new.managed = OnceCell::new_with(Some(Arc::clone(was)));
            }
        }
        self.count(new.via(), true);
        let managed = new.managed.get().cloned();
        self.entries.insert(Arc::new(new));
        self.tidy(&mut changes);
        let gone = || Error::new(ErrorKind::Other, "a definition without a connection");
        Ok((managed.ok_or_else(gone)?, ended))
    }

    fn take(&self, name: &str) -> Result<Arc<Entry>> {
        let mut changes = self.changes();
        let entry = self.get(name)?;
        let carries = entry.carries.load(Ordering::Relaxed);
        if carries > 0 {
            let text = format!("{carries} connections go via {name:?}; they go first");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        if let Some(state) = changes.as_mut().filter(|_| entry.by == DefinedBy::Call) {
            state.remove(name)?;
        }
        self.count(entry.via(), false);
        self.entries.remove(name);
        self.tidy(&mut changes);
        Ok(entry)
    }

    /// Rewrites the journal when most of it is of no use. What failed is tried again later: the old
    /// journal is whole.
    fn tidy(&self, changes: &mut MutexGuard<'_, Option<State>>) {
        let Some(state) = changes.as_mut().filter(|state| state.wants_rewriting()) else { return };
        let all = self.entries.all();
        let kept = all.iter().filter(|entry| entry.by == DefinedBy::Call);
        let kept = kept.filter_map(|entry| Some((&*entry.name, &**entry.config.as_ref()?)));
        if let Err(error) = state.rewrite(kept) {
            tracing::warn!(%error, "the journal of definitions was not rewritten");
        }
    }
}

fn entry(
    name: &str,
    by: DefinedBy,
    config: Option<Arc<ConnectionConfig>>,
    managed: Option<Arc<Managed>>,
) -> Entry {
    let managed = OnceCell::new_with(managed);
    Entry { name: name.into(), by, config, managed, carries: Arc::new(AtomicUsize::new(0)) }
}

impl Graph {
    /// Keeps what is defined at run time in `folder`, and restores what it holds: each is defined
    /// again, and built when it is first needed. What the configuration defines takes precedence.
    ///
    /// # Errors
    /// Another process uses it; damage, with its byte offset; what the files say.
    pub fn keep_state(&self, folder: &Path) -> Result<usize> {
        let (state, restored) = State::open(folder)?;
        let count = restored.len();
        self.named.restore(state, restored);
        Ok(count)
    }

    /// Defines a connection without connecting. Its stack is built and its options are checked
    /// first. With a state directory it is kept from the moment this returns; its secrets must then
    /// be references, `{ env = "NAME" }` and the like.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] for a name that is taken, unless it is replaced;
    /// [`ErrorKind::Config`] for a name, a key or options that are not acceptable, a via that leads
    /// back, or a secret written out that would be kept.
    pub async fn define(
        &self,
        name: &str,
        config: ConnectionConfig,
        existing: Existing,
    ) -> Result<Arc<Managed>> {
        self.named.refuse(name, existing)?;
        let managed = self.build_connection(name, &config, self.named.keeps()).await?;
        let config = Some(Arc::new(config));
        self.put(entry(name, DefinedBy::Call, config, Some(Arc::new(managed))), existing).await
    }

    /// Defines a connection to a program's own target, without connecting. It is not kept in the
    /// state directory.
    ///
    /// # Errors
    /// As [`Graph::define`].
    pub async fn define_own(&self, name: &str, stack: Stack, own: Own) -> Result<Arc<Managed>> {
        super::define::check_name(name)?;
        let target = Arc::new(Target::new(stack, None));
        let Own { policy, labels, existing } = own;
        let lives = Arc::clone(&self.named.lives);
        let managed = Arc::new(Managed::counted(name, target, policy, labels, lives));
        self.put(entry(name, DefinedBy::Program, None, Some(managed)), existing).await
    }

    async fn put(&self, entry: Entry, existing: Existing) -> Result<Arc<Managed>> {
        let (managed, ended) = self.named.put(entry, existing)?;
        if let Some(live) = ended {
            live.close(0, "replaced by another definition").await;
        }
        Ok(managed)
    }

    /// Defines a connection and connects it within `limit`.
    ///
    /// # Errors
    /// As [`Graph::define`], and then nothing is defined. What opening says; then the definition
    /// stays, for later attempts.
    pub async fn register(
        &self,
        name: &str,
        config: ConnectionConfig,
        existing: Existing,
        limit: Duration,
    ) -> Result<Arc<Live>> {
        self.define(name, config, existing).await?.connect(limit).await
    }

    /// Takes over a session that is open already, under a name. When it ends it cannot be opened
    /// again, and it is not kept in the state directory.
    ///
    /// # Errors
    /// As [`Graph::define`].
    pub async fn adopt(&self, name: &str, session: Session, own: Own) -> Result<Arc<Live>> {
        let limit = own.policy.connect_timeout;
        let session = Arc::new(Mutex::new(Some(session)));
        let source = move |_| {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner).take();
            let text = "an adopted session cannot be opened again";
            std::future::ready(session.ok_or_else(|| Error::new(ErrorKind::Closed, text)))
        };
        self.define_own(name, Stack::of_source("adopted:", source), own).await?.connect(limit).await
    }

    /// The connection of that name, connected or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name; for one that was restored, why it cannot be
    /// built.
    pub async fn connection(&self, name: &str) -> Result<Arc<Managed>> {
        let entry = self.named.get(name)?;
        self.built(&entry).await
    }

    /// The life of that connection, once it is connected: its present one or a new one.
    ///
    /// # Errors
    /// As [`Graph::connection`] and [`Managed::connect`].
    pub async fn get_or_connect(&self, name: &str, limit: Duration) -> Result<Arc<Live>> {
        self.connection(name).await?.connect(limit).await
    }

    /// The life with that id, if it has not ended.
    pub fn live(&self, id: u64) -> Option<Arc<Live>> {
        self.named.lives.get(id)
    }

    /// How many named connections have a life now, and had.
    pub fn lives(&self) -> LivesCount {
        self.named.lives.count()
    }

    /// How many connections are defined.
    pub fn defined(&self) -> usize {
        self.named.entries.len()
    }

    /// Posts to the connection of that name, from anywhere. See [`Live::post`].
    ///
    /// # Errors
    /// As there; [`ErrorKind::NotFound`]; [`ErrorKind::Closed`] if it is not connected.
    pub fn post(&self, name: &str, payload: impl Into<Payload>) -> Result<Receipt> {
        let entry = self.named.get(name)?;
        let closed = || Error::new(ErrorKind::Closed, format!("{name} is not connected"));
        entry.managed.get().ok_or_else(closed)?.post(payload)
    }

    /// Posts to the life with that id, from anywhere.
    ///
    /// # Errors
    /// As [`Live::post`]; [`ErrorKind::NotFound`] if there is none or it has ended.
    pub fn post_to(&self, id: u64, payload: impl Into<Payload>) -> Result<Receipt> {
        let gone = || Error::new(ErrorKind::NotFound, format!("no connection with id {id} lives"));
        self.live(id).ok_or_else(gone)?.post(payload)
    }

    /// Forgets a connection. Answers it, with its life if that was to live on; `None` if it was
    /// never built. One that the configuration defines comes back with the next start.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] while others go via it.
    pub async fn unregister(&self, name: &str, end: End) -> Result<Option<Arc<Managed>>> {
        let managed = self.named.take(name)?.managed.get().cloned();
        if let (Some(managed), End::Close { code, reason }) = (&managed, end)
            && let Some(live) = managed.last()
        {
            live.close(code, &reason).await;
        }
        Ok(managed)
    }

    /// Ends a connection at once and forgets it.
    ///
    /// # Errors
    /// As [`Graph::unregister`].
    pub async fn destroy(&self, name: &str) -> Result<()> {
        let entry = self.named.take(name)?;
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

    /// All named connections as others read them, by name.
    pub fn named(&self) -> Vec<NamedSnapshot> {
        self.find(&Filter::default())
    }

    pub(super) fn matching(&self, filter: &Filter) -> Vec<Arc<Entry>> {
        let mut all = match &filter.names {
            Some(names) => names.iter().filter_map(|name| self.named.entries.get(name)).collect(),
            None => self.named.entries.all(),
        };
        all.retain(|entry| filter.takes(entry, self));
        all
    }
}

impl Filter {
    fn takes(&self, entry: &Entry, graph: &Graph) -> bool {
        let managed = entry.managed.get();
        let state = managed.map_or(At::Disconnected, |managed| managed.state());
        self.state.is_none_or(|wanted| wanted == state)
            && self.label.as_ref().is_none_or(|(name, wanted)| {
                let own = managed.map(|managed| managed.labels());
                let labels =
                    own.or_else(|| entry.config.as_ref().map(|config| config.labels.clone()));
                let value = labels.as_ref().and_then(|labels| labels.get(name));
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
            && self.driver.as_ref().is_none_or(|driver| graph.has_driver(entry, driver))
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
