//! [`Definitions`]: definitions by name, from files and from calls, each with the object built from it.

use super::entries::DefinedBy;
use super::named::Existing;
use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A definition and the object built from it.
#[derive(Debug)]
pub(super) struct Made<C, T> {
    pub(super) config: C,
    pub(super) made: T,
    pub(super) by: DefinedBy,
}

/// Everything of one kind that is defined by a name.
#[derive(Debug)]
pub(super) struct Definitions<C, T> {
    /// What one of them is called in errors.
    what: &'static str,
    all: RwLock<Table<C, T>>,
}

type Table<C, T> = BTreeMap<String, Arc<Made<C, T>>>;

impl<C: PartialEq, T> Definitions<C, T> {
    pub(super) fn of(what: &'static str) -> Self {
        Definitions { what, all: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table<C, T>> {
        self.all.read().ignore_poison()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table<C, T>> {
        self.all.write().ignore_poison()
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(String, Arc<Made<C, T>>)> {
        self.read().iter().map(|(name, made)| (name.clone(), Arc::clone(made))).collect()
    }

    /// # Errors
    /// [`ErrorKind::NotFound`] with the nearest name.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Made<C, T>>> {
        let all = self.read();
        all.get(name).cloned().ok_or_else(|| {
            let near = did_you_mean(name, all.keys().map(String::as_str));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("there is no {} {name:?}{hint}", self.what))
        })
    }

    /// The object to use again, because its definition is equal.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another one is defined by that name and not to be replaced.
    pub(super) fn equal(
        &self,
        name: &str,
        config: &C,
        existing: Existing,
    ) -> Result<Option<Arc<Made<C, T>>>> {
        match self.read().get(name) {
            Some(made) if made.config == *config => Ok(Some(Arc::clone(made))),
            Some(_) if existing == Existing::Refuse => Err(self.taken(name)),
            _ => Ok(None),
        }
    }

    /// Enters an object; returns the one of that name before.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] as in [`Definitions::equal`]: another may have come meanwhile.
    pub(super) fn enter(
        &self,
        name: &str,
        made: Made<C, T>,
        existing: Existing,
    ) -> Result<Option<Arc<Made<C, T>>>> {
        let mut all = self.write();
        if existing == Existing::Refuse && all.contains_key(name) {
            return Err(self.taken(name));
        }
        Ok(all.insert(name.to_owned(), Arc::new(made)))
    }

    /// Puts what was made already in the place of what has the name; answers that.
    pub(super) fn place(&self, name: &str, made: Arc<Made<C, T>>) -> Option<Arc<Made<C, T>>> {
        self.write().insert(name.to_owned(), made)
    }

    pub(super) fn remove(&self, name: &str) -> Option<Arc<Made<C, T>>> {
        self.write().remove(name)
    }

    fn taken(&self, name: &str) -> Error {
        Error::new(
            ErrorKind::InUse,
            format!("the {} {name:?} is defined otherwise already", self.what),
        )
    }
}
