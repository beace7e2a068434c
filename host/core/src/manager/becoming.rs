//! [`Becoming`]: what connections are about to become.
//!
//! A connection that is defined otherwise stays the same object, so that what goes via it and routes to it need
//! nothing. While a change is built it is still what it was; what is built on it must fit what it will be.

use crate::connection::{Managed, Target};
use crate::lock::IgnorePoison;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A connection and the target that it will have.
type NextTarget = (Arc<Managed>, Arc<Target>);

/// The targets that connections will have, by the addresses of the connections.
#[derive(Debug, Default)]
pub(super) struct Becoming(Mutex<HashMap<usize, NextTarget>>);

impl Becoming {
    /// `managed` will be what `made` is.
    pub(super) fn note(&self, managed: &Arc<Managed>, made: &Managed) {
        let entry = (Arc::clone(managed), made.target());
        // The address stands for the object, which is held here.
        let key = Arc::as_ptr(managed).addr();
        self.0.lock().ignore_poison().insert(key, entry);
    }

    /// The target of a connection when the change is made.
    pub(super) fn target_of(&self, managed: &Managed) -> Arc<Target> {
        let key = std::ptr::from_ref(managed).addr();
        let all = self.0.lock().ignore_poison();
        all.get(&key).map_or_else(|| managed.target(), |(_, target)| Arc::clone(target))
    }
}
