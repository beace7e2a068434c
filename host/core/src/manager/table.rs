//! [`Named`]: the table of named connections and the order of its changes.
//!
//! Reading never waits for writing: look-ups take one shard of the table for a moment. Changes are
//! made one after the other: checked, written to the journal, entered, all without an await, so that
//! a caller who goes away leaves a change done or not begun.

use super::entries::{DefinedBy, Entries, Entry};
use super::layer::TargetEdit;
use super::named::{Existing, entry};
use super::state::{Restored, StateDir};
use super::written::WrittenObject;
use crate::config::model::ConnectionConfig;
use crate::connection::{Live, Lives, Managed};
use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::OnceCell;

/// The most names that the nearest one is looked for among.
const MAX_HINTS: usize = 1000;

/// The table of named connections.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) entries: Entries,
    pub(super) lives: Arc<Lives>,
    /// Held while a change is made.
    changes: Mutex<Option<StateDir>>,
}

impl Named {
    pub(super) fn new(lives: Arc<Lives>) -> Self {
        Named { entries: Entries::default(), lives, changes: Mutex::default() }
    }

    fn changes(&self) -> MutexGuard<'_, Option<StateDir>> {
        self.changes.lock().ignore_poison()
    }

    /// Enters what the configuration defines. What had the name becomes that; its life is answered for the caller to
    /// end if it is to `end`, and goes on otherwise.
    pub(super) fn configure(
        &self,
        made: &Arc<Managed>,
        config: &ConnectionConfig,
        end: bool,
    ) -> Option<Arc<Live>> {
        let mut changes = self.changes();
        let (config, name) = (Some(Arc::new(config.clone())), made.name().to_owned());
        let old = self.entries.get(&name);
        let mut new = entry(&name, DefinedBy::Config, config, Some(Arc::clone(made)));
        let mut ended = None;
        if let Some(old) = &old {
            if let Some(state) = changes.as_mut().filter(|_| old.by == DefinedBy::Call)
                && let Err(error) = state.remove(&name)
            {
                tracing::warn!(connection = name, %error, "the state directory still has a definition of it");
            }
            new.carries = Arc::clone(&old.carries);
            self.count(old.via(), false);
            if let Some(was) = old.managed.get() {
                if end {
                    ended = was.take_over(made);
                } else {
                    was.take_over_later(made);
                }
                new.managed = OnceCell::new_with(Some(Arc::clone(was)));
            }
        }
        self.count(new.via(), true);
        self.entries.insert(Arc::new(new));
        ended
    }

    /// Enters a connection in tables that are not used yet: nothing is counted.
    pub(super) fn stage(&self, managed: Arc<Managed>, config: &ConnectionConfig) {
        let (config, name) = (Some(Arc::new(config.clone())), managed.name().to_owned());
        self.entries.insert(Arc::new(entry(&name, DefinedBy::Config, config, Some(managed))));
    }

    /// Takes a connection away, whatever goes via it.
    pub(super) fn drop_configured(&self, name: &str) -> Option<Arc<Entry>> {
        let _changes = self.changes();
        let entry = self.entries.get(name).filter(|entry| entry.by == DefinedBy::Config)?;
        self.count(entry.via(), false);
        self.entries.remove(name);
        Some(entry)
    }

    /// Notes that a target of an upstream or of a device's path goes via `managed`, or no longer does. Only
    /// named connections are counted here.
    pub(super) fn carries(&self, managed: &Arc<Managed>, more: bool) {
        let _changes = self.changes();
        let entry = self.entries.get(managed.name());
        let built = entry.as_ref().and_then(|entry| entry.managed.get());
        if built.is_some_and(|built| Arc::ptr_eq(built, managed)) {
            self.count(Some(managed.name()), more);
        }
    }

    /// Enters what was read from a state directory, and keeps it there from now on.
    pub(super) fn restore(&self, state: StateDir, restored: Restored) {
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

    /// Writes a change of a target, if there is a state directory.
    pub(super) fn keep_target(
        &self,
        upstream: &str,
        target: &str,
        change: TargetEdit,
    ) -> Result<()> {
        let mut changes = self.changes();
        if let Some(state) = changes.as_mut() {
            state.change_target(upstream, target, change)?;
        }
        self.tidy(&mut changes);
        Ok(())
    }

    /// Writes that changes of the targets of an upstream are forgotten, or all but what was found.
    pub(super) fn forget_targets(&self, upstream: &str, keeps_found: bool) -> Result<()> {
        let mut changes = self.changes();
        if let Some(state) = changes.as_mut() {
            state.reset_targets(upstream, keeps_found)?;
        }
        self.tidy(&mut changes);
        Ok(())
    }

    /// Writes what was written of an object, or that it is forgotten.
    pub(super) fn keep_written(&self, what: &str, object: Option<WrittenObject>) -> Result<()> {
        let mut changes = self.changes();
        if let Some(state) = changes.as_mut() {
            state.write(what, object)?;
        }
        self.tidy(&mut changes);
        Ok(())
    }

    pub(super) fn keeps(&self) -> bool {
        self.changes().is_some()
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.changes().as_ref().map_or(Ok(()), StateDir::sync)
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
            // Among very many, looking for the nearest would take longer than it is worth.
            let few = self.entries.len() <= MAX_HINTS;
            let all = if few { self.entries.all() } else { Vec::new() };
            let near = did_you_mean(name, all.iter().map(|entry| &*entry.name));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no connection {name:?}{hint}"))
        })
    }

    pub(super) fn refuse(&self, name: &str, existing: Existing) -> Result<()> {
        let Some(entry) = self.entries.get(name).filter(|_| existing == Existing::Refuse) else {
            return Ok(());
        };
        let built = entry.managed.get().map(|built| built.target().stack().display().to_owned());
        let uri = built.or_else(|| entry.config.as_ref().map(|config| config.uri.to_string()));
        let text = format!("there is a connection {name:?} already");
        Err(Error::new(ErrorKind::InUse, text).with("uri", uri.unwrap_or_default()))
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
    pub(super) fn put(
        &self,
        mut new: Entry,
        existing: Existing,
    ) -> Result<(Arc<Managed>, Option<Arc<Live>>)> {
        let mut changes = self.changes();
        self.refuse(&new.name, existing)?;
        self.refuse_cycle(&new.name, new.via())?;
        let old = self.entries.get(&new.name);
        // Whether it would lead back is not looked into: it can only where something is dialled
        // through it.
        let carries = old.as_ref().map_or(0, |old| old.carries.load(Ordering::Relaxed));
        if new.is_via_device() && carries > 0 {
            let text = format!(
                "{carries} connections are dialled via {:?}, so it cannot be dialled via a device",
                new.name
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
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

    pub(super) fn take(&self, name: &str) -> Result<Arc<Entry>> {
        let mut changes = self.changes();
        let entry = self.get(name)?;
        let carries = entry.carries.load(Ordering::Relaxed);
        if carries > 0 {
            let text = format!("{carries} connections are dialled via {name:?}; remove them first");
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
    fn tidy(&self, changes: &mut MutexGuard<'_, Option<StateDir>>) {
        let Some(state) = changes.as_mut().filter(|state| state.wants_rewriting()) else { return };
        let all = self.entries.all();
        let kept = all.iter().filter(|entry| entry.by == DefinedBy::Call);
        let kept = kept.filter_map(|entry| Some((&*entry.name, &**entry.config.as_ref()?)));
        if let Err(error) = state.rewrite(kept) {
            tracing::warn!(%error, "the journal of definitions was not rewritten");
        }
    }
}
