//! [`Data`]: what a program keeps with a connection: values by their type, and texts by name.

use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::any::{Any, TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

/// The most texts kept with one connection.
pub const MAX_TEXTS: usize = 64;
/// The most bytes of a text's name and value together.
pub const MAX_TEXT: usize = 4096;

type Value = Arc<dyn Any + Send + Sync>;

/// A program's own data, as long as the connection's life.
#[derive(Default)]
pub struct Data {
    typed: RwLock<HashMap<TypeId, (&'static str, Value)>>,
    texts: RwLock<BTreeMap<String, String>>,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = self.typed.read().ignore_poison();
        f.debug_set().entries(typed.values().map(|(name, _)| name)).finish()
    }
}

impl Data {
    /// Keeps a value, one of each type; returns the one that was there.
    pub fn set<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let mut typed = self.typed.write().ignore_poison();
        let before = typed.insert(TypeId::of::<T>(), (type_name::<T>(), Arc::new(value)));
        before.and_then(|(_, value)| value.downcast().ok())
    }

    /// The value of that type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let typed = self.typed.read().ignore_poison();
        typed.get(&TypeId::of::<T>()).and_then(|(_, value)| Arc::clone(value).downcast().ok())
    }

    /// Takes the value of that type out.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let mut typed = self.typed.write().ignore_poison();
        typed.remove(&TypeId::of::<T>()).and_then(|(_, value)| value.downcast().ok())
    }

    /// Keeps a text that is shown wherever the connection is listed: put no secret here.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] over [`MAX_TEXTS`] texts or [`MAX_TEXT`] bytes.
    pub fn set_text(&self, name: &str, value: &str) -> Result<()> {
        let mut texts = self.texts.write().ignore_poison();
        if name.len() + value.len() > MAX_TEXT {
            let text = format!("a text has at most {MAX_TEXT} bytes with its name");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        if texts.len() >= MAX_TEXTS && !texts.contains_key(name) {
            let text = format!("a connection keeps at most {MAX_TEXTS} texts");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        texts.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<String> {
        self.texts.read().ignore_poison().get(name).cloned()
    }

    /// Takes a text out.
    pub fn remove_text(&self, name: &str) -> Option<String> {
        self.texts.write().ignore_poison().remove(name)
    }

    /// All texts.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.texts.read().ignore_poison().clone()
    }
}
