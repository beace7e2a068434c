//! What runs, as others read it: the faces of the host only render this.

use super::definitions::Made;
use super::entries::DefinedBy;
use crate::addr::Addr;
use crate::config::model::HandlerConfig;
use crate::connection::{ConnectionInfo, Flags, LivesCount, ManagedSnapshot};
use crate::device::DeviceSnapshot;
use crate::driver::{GenerationSnapshot, PluginReport, PluginState, Prepared, Registry};
use crate::listener::ListenerTotals;
use crate::upstream::UpstreamSnapshot;
use jackfield_plugin_api::PluginHealth;
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::Deref;
use std::sync::Arc;

/// Everything at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct HostSnapshot {
    /// The plugin files, those that were refused included.
    pub plugins: Vec<PluginSnapshot>,
    /// What listens.
    pub listeners: Vec<ListenerSnapshot>,
    /// The named connections and the session that each shares.
    pub named: Vec<NamedSnapshot>,
    /// How many connections live now, and lived: those, devices' paths, and what was accepted.
    pub lives: LivesCount,
    /// Devices with their paths, who has the exclusive ones and who waits.
    pub devices: Vec<Defined<DeviceSnapshot>>,
    /// Sets of targets, by name.
    pub upstreams: Vec<Defined<UpstreamSnapshot>>,
    /// Handlers, by name.
    pub handlers: Vec<HandlerSnapshot>,
    /// What was accepted and lives.
    pub connections: Vec<ConnectionInfo>,
    /// How many connections have been accepted.
    pub connections_total: u64,
}

/// One plugin file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PluginSnapshot {
    /// The file.
    pub file: String,
    /// The plugin's name; `None` if its manifest could not be read.
    pub name: Option<String>,
    /// Its version; `None` if its manifest could not be read.
    pub version: Option<String>,
    /// `running`, `quarantined`, `half_open`, `stuck`, the code of why it was refused, or `removed` where sessions run
    /// on a file that is there no more.
    pub state: &'static str,
    /// Why it was refused, or gets no new sessions.
    pub reason: Option<String>,
    /// Panics of its code so far.
    pub panics: u32,
    /// What it said of itself when it was last asked; `None` before that.
    #[schemars(with = "serde_json::Value")]
    pub health: Option<PluginHealth>,
    /// Which generation of the plugin gets new sessions, counted from 1; `None` where none does.
    pub generation: Option<u32>,
    /// Sessions that run on that generation, those of each layer by themselves.
    pub sessions: usize,
    /// The generations before that sessions run on still.
    pub retired: Vec<GenerationSnapshot>,
}

impl PluginSnapshot {
    /// The files, in order, then those that are there no more and have sessions still.
    pub(super) fn all(registry: &Registry) -> Vec<Self> {
        let states: Vec<_> = registry.running().iter().map(|plugin| plugin.state()).collect();
        let generations = registry.generations();
        let reports = registry.reports().iter();
        let mut all: Vec<Self> = reports.map(|report| Self::new(report, &states)).collect();
        for generation in generations {
            let file = generation.id.file.display().to_string();
            // Other content of the same file may have been refused.
            let runs = |report: &PluginReport| {
                report.path == generation.id.file && report.refusal.is_none()
            };
            let at = registry.reports().iter().position(runs);
            let removed = || all.iter().position(|it| it.file == file && it.state == "removed");
            let there = at.or_else(removed).and_then(|at| all.get_mut(at));
            match (there, generation.retired) {
                (Some(there), None) => {
                    there.generation = Some(generation.id.generation);
                    there.sessions = generation.sessions;
                }
                (Some(there), Some(_)) => there.retired.push(generation),
                (None, Some(_)) => all.push(Self::removed(file, generation)),
                // Linked in: it has no file.
                (None, None) => {}
            }
        }
        all
    }

    fn removed(file: String, generation: GenerationSnapshot) -> Self {
        PluginSnapshot {
            file,
            name: Some(generation.id.plugin.clone()),
            version: Some(generation.id.version.clone()),
            state: "removed",
            reason: Some("its file was removed".to_owned()),
            panics: 0,
            health: None,
            generation: None,
            sessions: 0,
            retired: vec![generation],
        }
    }

    fn new(report: &PluginReport, states: &[PluginState]) -> Self {
        let name = report.manifest.as_ref().map(|manifest| manifest.name.as_str());
        let state =
            states.iter().find(|state| report.refusal.is_none() && name == Some(&*state.name));
        let refusal = report.refusal.as_ref().map(ToString::to_string);
        PluginSnapshot {
            file: report.path.display().to_string(),
            name: report.manifest.as_ref().map(|manifest| manifest.name.clone()),
            version: report.manifest.as_ref().map(|manifest| manifest.version.clone()),
            state: report.state(),
            reason: refusal.or_else(|| report.health.reason().map(|reason| reason.to_string())),
            panics: report.health.panics(),
            health: state.and_then(|state| state.health.clone()),
            generation: None,
            sessions: 0,
            retired: Vec::new(),
        }
    }
}

/// One listener.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListenerSnapshot {
    /// As it is written in the configuration.
    pub listen: String,
    /// Where it listens, with the port that the system chose.
    #[schemars(with = "Option<String>")]
    pub local: Option<Addr>,
    /// Where its route leads.
    pub to: String,
    /// What it is and does: `is_listening`.
    pub flags: Flags,
    /// Where it comes from.
    pub defined_by: DefinedBy,
    /// What it has counted so far.
    pub totals: ListenerTotals,
}

/// A device or an upstream, and where it comes from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Defined<T> {
    /// What it is.
    #[serde(flatten)]
    pub it: T,
    /// Where its definition comes from.
    pub defined_by: DefinedBy,
    /// Its paths or targets that were added by calls.
    pub added: Vec<String>,
}

impl<T> Deref for Defined<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.it
    }
}

/// One handler.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HandlerSnapshot {
    /// Its name.
    pub name: String,
    /// The name that its plugin gives it.
    pub handler: String,
    /// Where its definition comes from.
    pub defined_by: DefinedBy,
}

impl HandlerSnapshot {
    pub(super) fn of((name, entry): &(String, Arc<Made<HandlerConfig, Arc<Prepared>>>)) -> Self {
        HandlerSnapshot {
            name: name.clone(),
            handler: entry.config.handler.as_ref().unwrap_or(name).clone(),
            defined_by: entry.by,
        }
    }
}

/// One named connection.
#[derive(Clone, Debug, Serialize)]
pub struct NamedSnapshot {
    /// What it is and does.
    #[serde(flatten)]
    pub connection: ManagedSnapshot,
    /// Where its definition comes from.
    pub defined_by: DefinedBy,
}
