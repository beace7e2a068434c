//! [`Generation`]: a plugin file as it was when it was loaded. A file that is replaced is another one, with code of its
//! own.

use super::asked::RunningPlugin;
use super::health::FileHealth;
use super::sentinel::Use;
use crate::services::Common;
use jackfield_plugin_api::Kept;
use jackfield_plugin_api::load::Plugin;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// Which file a generation is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GenerationId {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Counts the generations of this plugin from 1.
    pub generation: u32,
    /// The sha256 of its content; empty for one that is linked in.
    pub sha256: String,
    /// The file that it was loaded from.
    pub file: PathBuf,
}

/// One loading of a plugin.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) id: Arc<GenerationId>,
    pub(super) plugin: Plugin,
    pub(super) health: Arc<FileHealth>,
    pub(super) in_use: Option<Arc<Use>>,
    /// What the services of all plugins share.
    pub(super) common: Arc<Common>,
    hold: Arc<GenerationHold>,
}

/// The sessions of a generation have a share each, so that its plugin is not shut down under them.
#[derive(Debug)]
struct GenerationHold {
    running: Arc<RunningPlugin>,
}

impl Generation {
    pub(super) fn new(
        id: GenerationId,
        plugin: Plugin,
        health: &Arc<FileHealth>,
        in_use: Option<Arc<Use>>,
        common: &Arc<Common>,
    ) -> Self {
        let id = Arc::new(id);
        let running = RunningPlugin::new(plugin.clone(), &id, health);
        let hold = Arc::new(GenerationHold { running: Arc::new(running) });
        let (health, common) = (Arc::clone(health), Arc::clone(common));
        Generation { id, plugin, health, in_use, common, hold }
    }

    /// The plugin as a whole.
    pub(super) fn running(&self) -> &Arc<RunningPlugin> {
        &self.hold.running
    }

    /// What a session keeps that runs on it.
    pub(super) fn held(&self) -> Kept {
        Arc::clone(&self.hold) as Kept
    }

    /// How many sessions run on it: those of each layer by themselves.
    pub(super) fn sessions(&self) -> usize {
        Arc::strong_count(&self.hold).saturating_sub(1)
    }

    pub(super) fn retired(self: &Arc<Self>, why: Retirement) -> RetiredGeneration {
        let (id, generation) = (Arc::clone(&self.id), Arc::downgrade(self));
        RetiredGeneration { id, why, generation, hold: Arc::downgrade(&self.hold) }
    }
}

/// Why a generation gets no new sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retirement {
    /// Its file has other content now.
    Replaced,
    /// Its file is there no more.
    Removed,
}

/// A generation that gets no new sessions.
#[derive(Clone, Debug)]
pub(super) struct RetiredGeneration {
    pub(super) id: Arc<GenerationId>,
    why: Retirement,
    /// What is configured of one that is gone keeps it, too.
    generation: Weak<Generation>,
    hold: Weak<GenerationHold>,
}

impl RetiredGeneration {
    /// The plugin, while sessions run on it.
    pub(super) fn running(&self) -> Option<Arc<RunningPlugin>> {
        Some(Arc::clone(&self.hold.upgrade()?.running))
    }

    /// As it is shown; `None` once it has no more sessions.
    pub(super) fn snapshot(&self) -> Option<GenerationSnapshot> {
        let own = usize::from(self.generation.strong_count() > 0);
        let sessions = self.hold.strong_count().saturating_sub(own);
        (sessions > 0).then(|| GenerationSnapshot {
            id: (*self.id).clone(),
            retired: Some(self.why),
            sessions,
        })
    }
}

/// A generation of a plugin, as others read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GenerationSnapshot {
    /// Which.
    #[serde(flatten)]
    pub id: GenerationId,
    /// Why it gets no new sessions; `None` for the one that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Retirement>,
    /// Sessions that run on it, those of each layer by themselves.
    pub sessions: usize,
}
