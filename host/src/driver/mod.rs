//! Drivers: plugin files become drivers and handlers by name.
//!
//! A file goes through one-way steps: found, hashed, manifest checked, loaded, initialised, running.
//! Each refusal has one typed reason ([`Refusal`]) and the host lives on. Nothing of a plugin runs
//! before the fourth step, and what runs then runs on a thread of its own with a deadline.
//!
//! Code that runs can still go wrong: [`Health`] counts a file's panics, and puts it in quarantine.

mod annotations;
mod asked;
mod file;
mod health;
mod interceptor;
mod load;
mod prepared;
mod refusal;
mod registry;

pub use asked::{PluginState, RunningPlugin};
pub use health::Health;
pub use interceptor::InterceptorHandle;
pub use load::load;
pub use prepared::Prepared;
pub use refusal::Refusal;
pub use registry::{DriverHandle, HandlerHandle, Registry, SchemeEntry};

use crate::services::Common;
use jackfield_plugin_api::PluginManifest;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where plugins come from and what they may do.
#[derive(Clone)]
pub struct LoadOptions {
    /// Folders searched, in order.
    pub folders: Vec<PathBuf>,
    /// A cargo target folder searched for `libjackfield_*.so` after them.
    pub beside: Option<PathBuf>,
    /// Private folder of loaded generations.
    pub cache: PathBuf,
    /// When not empty, only files with these sha256 are loaded.
    pub allow: Vec<String>,
    /// Time for a plugin to start, and for one of its drivers to take its options.
    pub init_timeout: Duration,
    /// Panics of a plugin's calls after which it is not used any more; 0: never.
    pub max_panics: u32,
    /// Log lines per second for each plugin.
    pub log_rate: u32,
    /// Threads of a plugin's private runtime.
    pub runtime_threads: u16,
    /// What the plugins share: limits, secrets, and how they reach the host.
    pub common: Arc<Common>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            folders: Vec::new(),
            beside: beside_binary(),
            cache: default_cache(),
            allow: Vec::new(),
            init_timeout: Duration::from_secs(10),
            max_panics: 10,
            log_rate: 100,
            runtime_threads: 1,
            common: Arc::default(),
        }
    }
}

/// `$XDG_CACHE_HOME/jackfield`, else `~/.cache/jackfield`, else a folder by user in the system's
/// temporary one.
pub fn default_cache() -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
    base.filter(|base| base.is_absolute()).map_or_else(
        || {
            let uid = rustix::process::geteuid().as_raw();
            std::env::temp_dir().join(format!("jackfield-{uid}"))
        },
        |base| base.join("jackfield"),
    )
}

/// The folder of this binary if it is one of cargo's, so that a fresh build finds its drivers.
pub fn beside_binary() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?;
    let folder = binary.parent()?;
    let folder = if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.parent()?
    } else {
        folder
    };
    (folder.join("deps").is_dir() && folder.join(".fingerprint").is_dir())
        .then(|| folder.to_owned())
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
    pub health: Arc<Health>,
}

impl PluginReport {
    /// `running`, `quarantined`, or the refusal's code.
    pub fn state(&self) -> &'static str {
        match &self.refusal {
            Some(refusal) => refusal.code(),
            None if self.health.quarantine().is_some() => "quarantined",
            None => "running",
        }
    }
}
