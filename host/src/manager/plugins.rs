//! [`Plugins`]: what a configuration loads, before anything is built from it.

use super::parts::Parts;
use crate::config::Loaded;
use crate::driver::{PluginReport, Registry, load};
use crate::services::Opener;
use std::sync::{Arc, OnceLock};

/// Plugins that run. One graph is built on them, after which they can open stacks through it.
pub struct Plugins {
    pub(super) registry: Registry,
    pub(super) opener: Arc<OnceLock<Opener>>,
}

impl Plugins {
    /// Loads what the folders of `loaded` hold. Never fails as a whole: each file has its report.
    pub async fn load(loaded: &Loaded) -> Self {
        let opener = Arc::new(OnceLock::new());
        let registry = load(&Parts::load_options(loaded, Arc::clone(&opener))).await;
        Plugins { registry, opener }
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
