//! The weights that targets had before they were drained, to be given back when they are enabled.

use crate::lock::IgnorePoison;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

/// By upstream and target.
#[derive(Debug, Default)]
pub(super) struct DrainedWeights(Mutex<BTreeMap<(String, String), u32>>);

impl DrainedWeights {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), u32>> {
        self.0.lock().ignore_poison()
    }

    /// Notes what a target has before it is drained; 0 says nothing.
    pub(super) fn note(&self, upstream: &str, target: &str, weight: u32) {
        if weight > 0 {
            self.all().insert((upstream.to_owned(), target.to_owned()), weight);
        }
    }

    /// What it had; the note is gone then.
    pub(super) fn take(&self, upstream: &str, target: &str) -> Option<u32> {
        self.all().remove(&(upstream.to_owned(), target.to_owned()))
    }
}
