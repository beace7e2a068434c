//! [`Reloader`]: takes over changes of the configuration files while the host runs.
//!
//! ```text
//! SIGHUP ──────────┐
//! a file changes ──┼─ reload ─ read files ─ read secrets ─ diff ─ Manager: build, bind, enter, leave ─ version n+1
//! a caller ────────┘
//! ```
//!
//! Whatever asks for it, a reload is one thing: all files are read again, held against the version in force, and taken
//! over whole or not at all. Reloads are done one after the other, in the order in which they were asked for. The last
//! [`HISTORY`] versions are kept, to go back to ([`Reloader::rollback`]).

mod follow;
mod plugin_files;
mod report;
mod secret_files;
mod watch;

pub use follow::{Adoption, ConfigFollower};
pub use report::{ReloadCause, ReloadError, Report, VersionSnapshot};

use crate::config::diff::{
    Changes, ConfigSide, ObjectId, Secrets, WaitingObjects, WantedSecrets, diff,
};
use crate::config::{ConfigErrors, ConfigFiles, DrainOptions, Loaded, Overrides, ReloadOptions};
use crate::lock::IgnorePoison;
use crate::manager::Manager;
use secret_files::SecretFiles;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{Mutex, watch as latest};
use tokio::time::Instant;

/// Versions that are kept, the one in force included.
pub const HISTORY: usize = 10;

/// Takes over changes of a configuration. Cheap to clone: the clones are one.
#[derive(Clone, Debug)]
pub struct Reloader {
    inner: Arc<ReloaderState>,
}

struct ReloaderState {
    manager: Manager,
    files: Vec<PathBuf>,
    overrides: Overrides,
    /// Held while a reload is done.
    state: Mutex<Versions>,
    options: latest::Sender<ReloadOptions>,
    followers: std::sync::Mutex<Vec<Arc<dyn ConfigFollower>>>,
}

impl std::fmt::Debug for ReloaderState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloaderState").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The versions of a configuration, the one in force last.
#[derive(Debug)]
struct Versions {
    current: Version,
    past: VecDeque<Version>,
    /// Of the files that were taken over last, or found to say nothing else.
    digest: [u8; 32],
    /// The last failure that was logged, so that it is not told again and again.
    told: Option<String>,
}

impl Versions {
    fn expect(&self, version: Option<u64>) -> Result<(), ReloadError> {
        let found = self.current.number;
        match version.filter(|expected| *expected != found) {
            Some(expected) => Err(ReloadError::OtherVersion { expected, found }),
            None => Ok(()),
        }
    }
}

/// One version.
#[derive(Clone, Debug)]
struct Version {
    number: u64,
    at: SystemTime,
    cause: ReloadCause,
    changes: Changes,
    /// Shared: what is gone back to is not copied.
    loaded: Arc<Loaded>,
    secrets: Secrets,
    secret_files: SecretFiles,
    /// What waits for a plugin.
    waiting: Arc<WaitingObjects>,
}

impl Reloader {
    /// For a host that runs as `loaded` says, which came of `files` and `overrides`. Secrets are read once more, to see
    /// when they change.
    pub async fn new(
        manager: Manager,
        files: Vec<PathBuf>,
        overrides: Overrides,
        loaded: Loaded,
    ) -> Self {
        // Looked at before they are read: what changes meanwhile is read again.
        let wanted = WantedSecrets::of(&loaded);
        let secret_files = SecretFiles::of(&wanted).await;
        let secrets = wanted.read().await;
        let (options, digest) = (loaded.config.reload.clone(), loaded.digest());
        let current = Version {
            number: 1,
            at: SystemTime::now(),
            cause: ReloadCause::Start,
            changes: Changes::default(),
            loaded: Arc::new(loaded),
            secrets,
            secret_files,
            waiting: manager.waiting(),
        };
        let versions = Versions { current, past: VecDeque::new(), digest, told: None };
        let (state, options) = (Mutex::new(versions), latest::Sender::new(options));
        let followers = std::sync::Mutex::default();
        let inner = ReloaderState { manager, files, overrides, state, options, followers };
        Reloader { inner: Arc::new(inner) }
    }

    /// From now on `follower` is as the configuration in force says, too.
    pub fn follow(&self, follower: Arc<dyn ConfigFollower>) {
        self.inner.followers.lock().ignore_poison().push(follower);
    }

    /// Reads the files again and takes over what is different in them, and secrets that have changed. With `dry_run`
    /// everything is checked and built, but no address is taken and nothing changes. Answers when it is done; what is
    /// there no more drains after that. Cancel safe: it is done all the same.
    ///
    /// # Errors
    /// Every mistake, with its place; nothing has changed then.
    pub async fn reload(&self, cause: ReloadCause, dry_run: bool) -> Result<Report, ReloadError> {
        self.reload_if(None, cause, dry_run).await
    }

    /// As [`Reloader::reload`], if the version `expected` is in force.
    ///
    /// # Errors
    /// As there; [`ReloadError::OtherVersion`].
    pub async fn reload_if(
        &self,
        expected: Option<u64>,
        cause: ReloadCause,
        dry_run: bool,
    ) -> Result<Report, ReloadError> {
        let inner = Arc::clone(&self.inner);
        done(tokio::spawn(async move { inner.reload(expected, cause, dry_run).await }).await)
    }

    /// Takes over a version that was in force before, as a new version. The files stay as they are: the next reload
    /// takes over what they say. With `dry_run` as [`Reloader::reload`]. Cancel safe: it is done all the same.
    ///
    /// # Errors
    /// [`ReloadError::NoVersion`] for one that is not kept; what no longer works of it.
    pub async fn rollback(&self, number: u64, dry_run: bool) -> Result<Report, ReloadError> {
        self.rollback_if(None, number, dry_run).await
    }

    /// As [`Reloader::rollback`], if the version `expected` is in force.
    ///
    /// # Errors
    /// As there; [`ReloadError::OtherVersion`].
    pub async fn rollback_if(
        &self,
        expected: Option<u64>,
        number: u64,
        dry_run: bool,
    ) -> Result<Report, ReloadError> {
        let inner = Arc::clone(&self.inner);
        done(tokio::spawn(async move { inner.rollback(expected, number, dry_run).await }).await)
    }

    /// Takes over objects of the version in force anew, in the place of what has their names, after
    /// [`Manager::reset_run_time_layer`]. Cancel safe: it is done all the same.
    ///
    /// # Errors
    /// Every mistake found; nothing has changed then.
    pub async fn restore(&self, objects: Vec<ObjectId>) -> Result<(), ReloadError> {
        let inner = Arc::clone(&self.inner);
        let restoring = async move {
            let versions = inner.state.lock().await;
            let restored = inner.manager.restore(&versions.current.loaded, &objects).await;
            restored.map_err(ReloadError::Config)
        };
        let failed = |error: tokio::task::JoinError| ReloadError::Failed(error.to_string());
        tokio::spawn(restoring).await.map_err(failed)?
    }

    /// The version in force. Waits for a reload that is under way.
    pub async fn version(&self) -> u64 {
        self.inner.state.lock().await.current.number
    }

    /// The versions that are kept, the one in force last. Waits for a reload that is under way.
    pub async fn history(&self) -> Vec<VersionSnapshot> {
        let versions = self.inner.state.lock().await;
        let current = std::iter::once(&versions.current);
        versions.past.iter().chain(current).map(VersionSnapshot::of).collect()
    }

    /// How sessions end of what is there no more, as the version in force says.
    pub fn drain_options(&self) -> DrainOptions {
        self.inner.options.borrow().drain
    }

    /// Takes over changes of the files by itself, while `reload.watch` is set, and those of plugin files, while
    /// `reload.plugins.watch` is. Ends only when it is dropped.
    pub async fn watch(&self) {
        tokio::join!(watch::watch(self), plugin_files::watch(self));
    }

    /// What the files are now, read once.
    async fn look(&self) -> Option<ConfigFiles> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || ConfigFiles::read(&inner.files)).await.ok()
    }
}

fn done(
    result: Result<Result<Report, ReloadError>, tokio::task::JoinError>,
) -> Result<Report, ReloadError> {
    result.unwrap_or_else(|error| Err(ReloadError::Failed(error.to_string())))
}

impl ReloaderState {
    async fn reload(
        self: Arc<Self>,
        expected: Option<u64>,
        cause: ReloadCause,
        dry_run: bool,
    ) -> Result<Report, ReloadError> {
        let mut versions = self.state.lock().await;
        versions.expect(expected)?;
        let begun = Instant::now();
        let read = {
            let inner = Arc::clone(&self);
            let load = move || ConfigFiles::read(&inner.files).load(&inner.overrides);
            tokio::task::spawn_blocking(load).await
        };
        let read = read.map_err(|error| ReloadError::Failed(error.to_string()))?;
        let read = read.map(Arc::new);
        let (plugins, result) = self.change(&mut versions, read, (cause, dry_run)).await;
        let told = self.tell(&mut versions, result, (cause, dry_run), begun);
        told.map(|report| Report { plugins, ..report })
    }

    async fn rollback(
        &self,
        expected: Option<u64>,
        number: u64,
        dry_run: bool,
    ) -> Result<Report, ReloadError> {
        let mut versions = self.state.lock().await;
        versions.expect(expected)?;
        let begun = Instant::now();
        let known = versions.past.iter().find(|version| version.number == number);
        let Some(loaded) = known.map(|version| Arc::clone(&version.loaded)) else {
            let known = versions.past.iter().map(|version| version.number).collect();
            return Err(ReloadError::NoVersion { number, known });
        };
        let (cause, digest) = (ReloadCause::Rollback { to: number }, versions.digest);
        let (plugins, result) = self.change(&mut versions, Ok(loaded), (cause, dry_run)).await;
        // What the files say was taken over before, and not taken back in them.
        versions.digest = digest;
        let told = self.tell(&mut versions, result, (cause, dry_run), begun);
        told.map(|report| Report { plugins, ..report })
    }

    /// Looks for plugins as what was read says, and takes it over; answers a line for each plugin file that is
    /// different, and what else was.
    async fn change(
        &self,
        versions: &mut Versions,
        read: Result<Arc<Loaded>, ConfigErrors>,
        (cause, dry_run): (ReloadCause, bool),
    ) -> (Vec<String>, Result<Changes, ConfigErrors>) {
        let searched = match &read {
            Ok(loaded) if !dry_run => self.manager.search_plugins(loaded).await,
            _ => Ok(false),
        };
        let are_others = matches!(searched, Ok(true));
        let mut plugins = match (cause.looks_at_plugins() || are_others) && !dry_run {
            true => self.settled_plugins().await,
            false => Vec::new(),
        };
        let result = match (read, searched) {
            (Ok(loaded), Ok(_)) => self.take_over(versions, loaded, cause, dry_run).await,
            (Err(errors), _) | (_, Err(errors)) => Err(errors),
        };
        // Folders that came with a mistake go with it.
        if result.is_err()
            && are_others
            && self.manager.search_plugins(&versions.current.loaded).await.is_ok()
        {
            plugins.extend(self.settled_plugins().await);
        }
        (plugins, result)
    }

    /// Makes ready what follows the configuration beside the manager.
    fn prepare(
        &self,
        loaded: &Loaded,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Vec<Adoption>, ConfigErrors> {
        let followers = self.followers.lock().ignore_poison().clone();
        followers.iter().map(|follower| follower.prepare(loaded, changes, dry_run)).collect()
    }

    /// Takes over `loaded`; answers what was different.
    async fn take_over(
        &self,
        versions: &mut Versions,
        loaded: Arc<Loaded>,
        cause: ReloadCause,
        dry_run: bool,
    ) -> Result<Changes, ConfigErrors> {
        let wanted = WantedSecrets::of(&loaded);
        let secret_files = SecretFiles::of(&wanted).await;
        let secrets = wanted.read().await;
        let waiting = Arc::new(self.manager.waiting_in(&loaded));
        let changes = {
            let Version { loaded: was, secrets: old, waiting: waited, .. } = &versions.current;
            let old = ConfigSide { loaded: was, secrets: old, waiting: waited };
            let new = ConfigSide { loaded: &loaded, secrets: &secrets, waiting: &waiting };
            diff(old, new, &self.manager.option_effects())
        };
        let loaded = loaded.keeping(&versions.current.loaded, &changes);
        let adoptions = self.prepare(&loaded, &changes, dry_run)?;
        if !changes.change_nothing_now() {
            self.manager.take_over(&loaded, &changes, dry_run).await?;
        }
        if dry_run {
            return Ok(changes);
        }
        versions.digest = loaded.digest();
        self.manager.set_waiting(&waiting);
        self.manager.limit_generations(loaded.config.reload.plugins.generations.into()).await;
        adoptions.into_iter().for_each(|adopt| adopt());
        if changes.change_nothing_now() {
            // The same in other words: places of mistakes are those of the new ones.
            (versions.current.loaded, versions.current.waiting) = (loaded, waiting);
            versions.current.secret_files = secret_files;
            return Ok(changes);
        }
        self.options.send_replace(loaded.config.reload.clone());
        let (number, at) = (versions.current.number + 1, SystemTime::now());
        let next = Version {
            number,
            at,
            cause,
            changes: changes.clone(),
            loaded,
            secrets,
            secret_files,
            waiting,
        };
        let past = std::mem::replace(&mut versions.current, next);
        versions.past.push_back(past);
        while versions.past.len() >= HISTORY {
            versions.past.pop_front();
        }
        Ok(changes)
    }

    /// Writes what a reload came to.
    fn tell(
        &self,
        versions: &mut Versions,
        result: Result<Changes, ConfigErrors>,
        (cause, dry_run): (ReloadCause, bool),
        begun: Instant,
    ) -> Result<Report, ReloadError> {
        let took = begun.elapsed();
        match result {
            Ok(changes) => {
                versions.told = None;
                let version = versions.current.number;
                for change in changes.iter().filter(|_| !dry_run) {
                    tracing::info!(version, "{change}");
                }
                if !dry_run {
                    let changes = changes.iter().count();
                    tracing::info!(version, %cause, changes, ?took, "configuration read again");
                }
                let files = versions.current.loaded.files().to_vec();
                let plugins = Vec::new();
                Ok(Report { version, cause, dry_run, changes, plugins, files, took })
            }
            Err(errors) => {
                let text = errors.to_string();
                let is_told = cause == ReloadCause::Watch && versions.told.as_ref() == Some(&text);
                if !dry_run && !is_told {
                    for error in errors.errors() {
                        tracing::error!("{error}");
                    }
                    let version = versions.current.number;
                    tracing::error!(version, %cause, "configuration not taken over: nothing has changed");
                    versions.told = Some(text);
                }
                Err(ReloadError::Config(errors))
            }
        }
    }

    fn roots(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}
