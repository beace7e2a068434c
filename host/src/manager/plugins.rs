//! [`Plugins`]: what a configuration loads, before anything is built from it.

use super::parts::Parts;
use crate::config::Loaded;
use crate::driver::{PluginReport, Registry, load};

/// Plugins that run. One graph is built on them, after which they can open stacks through it.
pub struct Plugins {
    pub(super) registry: Registry,
}

impl Plugins {
    /// Loads what the folders of `loaded` hold. Never fails as a whole: each file has its report.
    pub async fn load(loaded: &Loaded) -> Self {
        Plugins { registry: load(&Parts::load_options(loaded)).await }
    }

    /// Their drivers, handlers and schemes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The files that were not taken.
    pub fn refused(&self) -> impl Iterator<Item = &PluginReport> {
        self.registry.reports().iter().filter(|report| report.refusal.is_some())
    }

    /// Writes a warning for each file that was not taken.
    pub(super) fn warn(&self) {
        for report in self.refused() {
            if let Some(refusal) = &report.refusal {
                let file = report.path.display();
                tracing::warn!(%file, code = refusal.code(), "plugin refused: {refusal}");
            }
        }
    }
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.registry.fmt(f)
    }
}
