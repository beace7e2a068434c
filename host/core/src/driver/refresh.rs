//! Plugin files that come, change and go while a host runs.
//!
//! ```text
//! the folders ─ new, changed, gone ─ settled? ─ probe, trial ─┐
//!                                                             ├─ start ─ offer ─ take    (as at the start of a host)
//! refused before, and now perhaps not ────────────────────────┘
//! ```
//!
//! A file is judged when it has been as it is for [`SETTLE`], so that one that is being written is left alone. What is
//! refused changes nothing: the generation that was loaded from that file before goes on. What a file's content is
//! decides, not its name or time: a file that was touched is the same plugin.

use super::aside::load_rest;
use super::enter::EnteredPlugin;
use super::file::{FoundFile, scan};
use super::generation::GenerationId;
use super::load::load_files;
use super::refusal::Refusal;
use super::registry::Registry;
use super::stamp::{SETTLE, Sightings};
use super::{LoadOptions, PluginReport};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What has become of a plugin file while the host ran.
#[derive(Clone, Debug)]
pub enum PluginChange {
    /// It is new, or back.
    Admitted {
        /// What was loaded from it.
        id: Arc<GenerationId>,
        /// Its drivers, handlers and interceptors, by name.
        parts: Vec<String>,
    },
    /// It has other content, which is used from now on.
    Replaced(Arc<GenerationId>),
    /// It is there no more; sessions go on.
    Removed {
        /// What was loaded from it.
        id: Arc<GenerationId>,
        /// Its drivers, handlers and interceptors, by name.
        parts: Vec<String>,
        /// Sessions that run on it.
        sessions: usize,
    },
    /// It is not used.
    Refused {
        /// The file.
        file: PathBuf,
        /// The plugin's name, if it has one.
        plugin: Option<String>,
        /// Why.
        refusal: Refusal,
        /// What was loaded from that file before, and goes on.
        keeps: Option<Arc<GenerationId>>,
    },
}

impl fmt::Display for PluginChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |f: &mut fmt::Formatter<'_>, word: &str, id: &GenerationId| {
            let GenerationId { plugin, version, generation, file, .. } = id;
            write!(
                f,
                "{word} plugin {plugin} {version}, generation {generation}: {}",
                file.display()
            )
        };
        match self {
            PluginChange::Admitted { id, .. } => shown(f, "admitted", id),
            PluginChange::Replaced(id) => shown(f, "replaced", id),
            PluginChange::Removed { id, .. } => shown(f, "removed", id),
            PluginChange::Refused { file, refusal, .. } => {
                write!(f, "refused plugin file {}: {refusal}", file.display())
            }
        }
    }
}

/// What a look at the folders came to.
#[derive(Debug)]
pub struct Refreshed {
    /// The plugins from now on; `None` if they are those of before.
    pub registry: Option<Registry>,
    /// What has changed, in the order of files.
    pub changes: Vec<PluginChange>,
    /// Transports that are of another generation, by name.
    pub transports: Vec<String>,
    /// After how long a file that is being written should be looked at again.
    pub again: Option<Duration>,
}

/// How a host looks at its plugin folders again and again.
#[derive(Debug)]
pub struct PluginFolders {
    options: LoadOptions,
    /// The folders that the configuration names.
    named: Vec<PathBuf>,
    sightings: Sightings,
}

/// What is different in the folders.
#[derive(Default)]
struct Differing {
    /// New or changed files, settled.
    files: Vec<FoundFile>,
    gone: Vec<PathBuf>,
    unsettled: Vec<PathBuf>,
}

impl PluginFolders {
    /// Of a host that was loaded as `options` say, whose configuration names the folders `named`.
    pub fn new(options: LoadOptions, named: Vec<PathBuf>) -> Self {
        PluginFolders { options, named, sightings: Sightings::default() }
    }

    /// Sets how many different contents of a plugin may be loaded.
    pub fn limit_generations(&mut self, most: usize) {
        self.options.generations = most;
    }

    /// Whether the configuration named other folders before.
    pub fn are_others(&self, named: &[PathBuf]) -> bool {
        self.named != named
    }

    /// Looks for plugins as `options` say from now on, in folders of which the configuration names `named`: for files
    /// that are judged from then on. What they share, where copies are and what a plugin is told when it is made stay
    /// as they are. Answers whether other files may come or go by that.
    pub fn take_over(&mut self, options: LoadOptions, named: Vec<PathBuf>) -> bool {
        let are_others = self.are_others(&named);
        let before = &mut self.options;
        before.quarantine.store(options.quarantine.load_full());
        before.init_timeout = options.init_timeout;
        let judges = |it: &LoadOptions| (it.allow.clone(), it.allow_abort_on_panic);
        let is_other = are_others || judges(before) != judges(&options);
        (before.allow, before.allow_abort_on_panic) = (options.allow, options.allow_abort_on_panic);
        if are_others {
            // Without a named folder it is the usual ones.
            if named.is_empty() != self.named.is_empty() {
                (before.beside, before.usual) = (options.beside, options.usual);
            }
            before.folders = options.folders;
            self.named = named;
        }
        is_other
    }

    /// The folders that are looked at.
    pub fn places(&self) -> Vec<PathBuf> {
        self.options.searched().cloned().collect()
    }

    /// Starts what [`LoadOptions::only`] has left, in another registry; `None`: nothing was left.
    ///
    /// Not cancel safe: to be run to its end.
    pub async fn start_rest(&mut self, before: &Registry) -> Option<Registry> {
        self.options.only = None;
        load_rest(before, &self.options).await
    }

    /// Looks at the folders once and takes over what is different. `thorough` judges files again that were refused
    /// and have not changed: a folder above them, or what is known of them, may have.
    ///
    /// Not cancel safe: to be run to its end.
    pub async fn refresh(&mut self, before: &Registry, thorough: bool) -> Refreshed {
        let differing = self.differing(before, thorough).await;
        let again = (!differing.unsettled.is_empty()).then_some(SETTLE);
        let mut refreshed =
            Refreshed { registry: None, changes: Vec::new(), transports: Vec::new(), again };
        if differing.files.is_empty() && differing.gone.is_empty() {
            return refreshed;
        }
        let mut next = before.clone();
        let files = self.same_content_aside(&mut next, differing.files).await;
        let gone = differing.gone;
        let taken = load_files(&mut next, files, &gone, &self.options).await;
        refreshed.changes = changes(before, &next, &gone);
        refreshed.transports = taken;
        refreshed.registry = Some(next);
        refreshed
    }

    async fn differing(&mut self, before: &Registry, thorough: bool) -> Differing {
        let options = self.options.clone();
        let found = tokio::task::spawn_blocking(move || scan(&options)).await;
        let Ok(found) = found else { return Differing::default() };
        let mut differing = Differing::default();
        let waits = |report: &PluginReport| {
            report.refusal.as_ref().is_some_and(|refusal| thorough || refusal.depends_on_others())
        };
        let mut again: Vec<FoundFile> = Vec::new();
        for file in &found {
            if before.judged.get(&file.path) == file.stamp.as_ref() {
                if before.reports.iter().any(|it| it.path == file.path && waits(it)) {
                    again.push(file.clone());
                }
            } else if self.sightings.has_settled(&file.path, &file.stamp) {
                differing.files.push(file.clone());
            } else {
                differing.unsettled.push(file.path.clone());
            }
        }
        let known = before.judged.keys();
        let gone = known.filter(|path| !found.iter().any(|file| file.path == **path));
        for path in gone.filter(|path| is_gone(path) || !self.options.searches_in(path)) {
            if self.sightings.has_settled(path, &None) {
                differing.gone.push(path.clone());
            } else {
                differing.unsettled.push(path.clone());
            }
        }
        let unsettled = &differing.unsettled;
        self.sightings.retain(|path| unsettled.iter().any(|other| other == path));
        if thorough || !differing.files.is_empty() || !differing.gone.is_empty() {
            differing.files.extend(again);
        }
        // In their order: the first file has a name.
        let place = |file: &FoundFile| found.iter().position(|other| other.path == file.path);
        differing.files.sort_by_key(place);
        differing
    }

    /// The files whose content is not what runs; the others are noted as they are.
    async fn same_content_aside(
        &self,
        next: &mut Registry,
        files: Vec<FoundFile>,
    ) -> Vec<FoundFile> {
        let mut other = Vec::new();
        for file in files {
            let sum = super::file::sum_of(&file).await;
            let runs = next.plugins.iter().find(|plugin| plugin.file() == file.path);
            if sum.is_some() && runs.map(|plugin| plugin.generation.id.sha256.clone()) == sum {
                // What was refused in its place before is not there any more.
                next.reports.retain(|it| it.path != file.path || it.refusal.is_none());
                next.note_judged(&file);
                continue;
            }
            other.push(file);
        }
        other
    }
}

/// A folder that cannot be read, as one of another machine at times, has not lost its files.
fn is_gone(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// What is different between two registries, in words for people and programs.
fn changes(before: &Registry, next: &Registry, gone: &[PathBuf]) -> Vec<PluginChange> {
    let entered = |registry: &Registry, path: &Path| -> Option<EnteredPlugin> {
        registry.plugins.iter().find(|plugin| plugin.file() == path).cloned()
    };
    let of = |registry: &Registry, path: &Path| {
        entered(registry, path).map(|plugin| Arc::clone(&plugin.generation.id))
    };
    let mut changes = Vec::new();
    for path in gone {
        if let Some(plugin) = entered(before, path) {
            let id = Arc::clone(&plugin.generation.id);
            let (parts, sessions) = (plugin.part_names(), next.sessions_of(&id));
            changes.push(PluginChange::Removed { id, parts, sessions });
        }
    }
    for report in &next.reports {
        let (was, is) = (of(before, &report.path), of(next, &report.path));
        match &report.refusal {
            None => match (was, is) {
                (None, Some(id)) => {
                    let plugin = entered(next, &report.path);
                    let parts = plugin.map(|plugin| plugin.part_names()).unwrap_or_default();
                    changes.push(PluginChange::Admitted { id, parts });
                }
                (Some(was), Some(is)) if was != is => changes.push(PluginChange::Replaced(is)),
                _ => {}
            },
            Some(refusal) => {
                let told = before.reports.iter().any(|it| {
                    it.path == report.path
                        && it.sha256 == report.sha256
                        && it.refusal.as_ref() == Some(refusal)
                });
                if !told {
                    changes.push(PluginChange::Refused {
                        file: report.path.clone(),
                        plugin: report.manifest.as_ref().map(|manifest| manifest.name.clone()),
                        refusal: refusal.clone(),
                        keeps: is,
                    });
                }
            }
        }
    }
    changes
}

impl Registry {
    /// Sessions that run on a generation.
    fn sessions_of(&self, id: &GenerationId) -> usize {
        let all = self.generations();
        all.iter().find(|it| it.id == *id).map_or(0, |it| it.sessions)
    }

    /// Notes that a file was judged as it is.
    pub(super) fn note_judged(&mut self, file: &FoundFile) {
        match &file.stamp {
            Some(stamp) => self.judged.insert(file.path.clone(), stamp.clone()),
            None => self.judged.remove(&file.path),
        };
    }
}
