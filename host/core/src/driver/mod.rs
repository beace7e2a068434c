//! Drivers: plugin files become drivers and handlers by name.
//!
//! A file goes through one-way steps: found, hashed, manifest checked, tried, loaded, initialised,
//! running. Each refusal has one typed reason ([`Refusal`]) and the host lives on. Nothing of a plugin runs
//! before the fourth step, which is in a process of its own ([`TrialCommand`]) and only for a file that no
//! host with this cache has tried before ([`Records`]). A file that has not changed since an earlier start, nor
//! its copy, is not read again: what was read of it is in the cache. From then on files are loaded one after the other,
//! in the order of their folders and names, each on a thread of its own with a deadline.
//!
//! While plugins are in use, a file in the cache names them ([`Sentinel`]); it is left behind by an end that
//! is not clean, and the next host names them ([`Crash`]).
//!
//! While a host runs, files that come, change and go are taken through the same steps ([`PluginFolders`]). A file with
//! other content is another *generation*: what is opened from then on is of the new one, and what was opened before
//! stays on the old one. Each is loaded from a copy in the cache that is named by its sha256, as the system gives back
//! the old code for a file that was replaced in place; a copy is private to the user of the host, and held against the
//! bytes that were checked. Code is never unloaded, which `generations` bounds.
//!
//! Code that runs can still go wrong: [`FileHealth`] counts a file's panics, and puts it in quarantine for a
//! while; a watchdog for each [`Registry`] that was loaded sees calls that do not come back, tells whose they
//! are, and keeps the runtime that they block going.

mod annotations;
mod aside;
mod asked;
mod cache;
mod circuit;
mod culprit;
mod enter;
mod file;
mod generation;
mod handles;
mod health;
mod known;
mod load;
mod part;
mod prepared;
mod records;
mod refresh;
mod refusal;
mod registry;
mod sentinel;
mod stamp;
mod trial;
mod trust;
mod watchdog;

pub use asked::{PluginState, RunningPlugin};
pub use circuit::{QuarantineOptions, SharedQuarantine};
pub use file::plugin_files;
pub use generation::{GenerationId, GenerationSnapshot, Retirement};
pub use handles::{DriverHandle, HandlerHandle, InterceptorHandle, SchemeEntry};
pub use health::FileHealth;
pub use load::load;
pub use prepared::Prepared;
pub use records::{Records, TrialRecord, TrialResult};
pub use refresh::{PluginChange, PluginFolders, Refreshed};
pub use refusal::{Quarantine, Refusal, Writers};
pub use registry::Registry;
pub use sentinel::{Crash, Sentinel, UsedPlugin, end_cleanly};
pub use trial::{TrialCommand, try_file};
pub use watchdog::still_running;

use crate::services::Common;
use jackfield_plugin_api::PluginManifest;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where plugins come from and what they may do.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Folders searched, in order. Default: none.
    pub folders: Vec<PathBuf>,
    /// A folder searched for `libjackfield_*.so` after them. Default: that of this program, if cargo
    /// builds in it.
    pub beside: Option<PathBuf>,
    /// Folders searched after that; one that is not there is no mistake. Default: none.
    pub usual: Vec<PathBuf>,
    /// Single files, loaded after those of folders. Default: none.
    pub files: Vec<PathBuf>,
    /// The schemes of a URI, when a start is for one stack alone: only plugins that this is made of are started, and the
    /// rest once one of those opens another stack. Default: `None`, which starts all.
    pub only: Option<Vec<String>>,
    /// Private folder of loaded generations, of what trials came to, and of what is in use. Default:
    /// [`default_cache`].
    pub cache: PathBuf,
    /// When not empty, only files with these sha256 are loaded.
    pub allow: Vec<String>,
    /// Whether plugins are loaded whose panics end the process. Default: false.
    pub allow_abort_on_panic: bool,
    /// Whether plugins are left out that were in use when a host with this cache ended without a clean
    /// stop. Default: false.
    pub leave_out_after_crash: bool,
    /// How this program starts itself to try a file before it loads it. Default: `None`, which loads
    /// without a trial: a file that hangs in the system's loader then keeps those after it from being
    /// loaded, and one that crashes there ends this process.
    pub trial: Option<TrialCommand>,
    /// Time for a plugin's trial, for it to start, and for one of its drivers to take its options.
    pub init_timeout: Duration,
    /// When a plugin that misbehaves gets no new sessions.
    pub quarantine: SharedQuarantine,
    /// How many different contents of a plugin may be loaded in the life of this process. Default: 64.
    pub generations: usize,
    /// Threads of a plugin's private runtime.
    pub runtime_threads: u16,
    /// What the plugins share: limits, secrets, and how they reach the host.
    pub common: Arc<Common>,
}

impl LoadOptions {
    /// The default of `generations`.
    pub const GENERATIONS: usize = 64;
    /// The default of `init_timeout`.
    pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The folders that are searched, in order.
    pub fn searched(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter().chain(&self.beside).chain(&self.usual)
    }

    /// Whether a file there is looked for.
    pub(super) fn searches_in(&self, file: &Path) -> bool {
        self.files.iter().any(|named| named == file)
            || self.searched().any(|folder| file.parent() == Some(folder))
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            folders: Vec::new(),
            beside: beside_binary(),
            usual: Vec::new(),
            files: Vec::new(),
            only: None,
            cache: default_cache(),
            allow: Vec::new(),
            allow_abort_on_panic: false,
            leave_out_after_crash: false,
            trial: None,
            init_timeout: LoadOptions::INIT_TIMEOUT,
            quarantine: SharedQuarantine::default(),
            generations: LoadOptions::GENERATIONS,
            runtime_threads: 1,
            common: Arc::default(),
        }
    }
}

/// `$CACHE_DIRECTORY` as systemd sets it, else `$XDG_CACHE_HOME/jackfield`, else `~/.cache/jackfield`, else a folder by user in the system's
/// temporary one.
pub fn default_cache() -> PathBuf {
    let made = std::env::var("CACHE_DIRECTORY").ok();
    let made = made.as_deref().and_then(|made| made.split(':').next()).map(PathBuf::from);
    if let Some(made) = made.filter(|made| made.is_absolute()) {
        return made;
    }
    // After a change of the user they are those of another.
    let own = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| is_own(it));
    let home = own("HOME").map(|home| home.join(".cache"));
    let base = own("XDG_CACHE_HOME").or(home);
    base.filter(|base| base.is_absolute()).map_or_else(
        || {
            let uid = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("jackfield-{uid}"))
        },
        |base| base.join("jackfield"),
    )
}

/// Whether a folder is this user's, or is not there yet.
fn is_own(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let uid = rustix::process::geteuid().as_raw();
    std::fs::metadata(folder).map_or(true, |about| about.uid() == uid)
}

/// The folder of this program, without links. For tests and examples that cargo builds it is the folder
/// of the platform that they are built for.
pub fn program_folder() -> Option<PathBuf> {
    let program = std::fs::canonicalize(std::env::current_exe().ok()?).ok()?;
    let folder = program.parent()?;
    let inner = folder.ends_with("deps") || folder.ends_with("examples");
    let outer = folder.parent().filter(|outer| inner && is_of_cargo(outer));
    Some(outer.unwrap_or(folder).to_owned())
}

/// The folder of this program if cargo builds in it, so that a fresh build finds its drivers.
pub fn beside_binary() -> Option<PathBuf> {
    program_folder().filter(|folder| is_of_cargo(folder))
}

fn is_of_cargo(folder: &Path) -> bool {
    folder.join("deps").is_dir() && folder.join(".fingerprint").is_dir()
}

/// Where plugins are searched for after the folder of this program, when no folder is named:
/// `../lib/jackfield/plugins` seen from there, and `/usr/lib/jackfield/plugins`.
pub fn usual_folders() -> Vec<PathBuf> {
    let above = program_folder().and_then(|folder| Some(folder.parent()?.to_owned()));
    let installed = above.map(|above| above.join("lib/jackfield/plugins"));
    let system = PathBuf::from("/usr/lib/jackfield/plugins");
    installed.into_iter().filter(|folder| *folder != system).chain([system.clone()]).collect()
}

/// What became of one file.
#[derive(Clone, Debug)]
pub struct PluginReport {
    /// The file.
    pub path: PathBuf,
    /// Its sha256, if it could be read.
    pub sha256: Option<String>,
    /// Its manifest, if it has one: whole when it runs, the file's own when it was refused.
    pub manifest: Option<PluginManifest>,
    /// Why it does not run.
    pub refusal: Option<Refusal>,
    /// How its code has behaved since it runs.
    pub health: Arc<FileHealth>,
}

impl PluginReport {
    /// As [`FileHealth::state`], or the refusal's code.
    pub fn state(&self) -> &'static str {
        match &self.refusal {
            Some(refusal) => refusal.code(),
            None => self.health.state(),
        }
    }
}
