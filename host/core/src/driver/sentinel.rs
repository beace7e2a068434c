//! [`Sentinel`]: a file that names the plugins in use, there for as long as the host is, so that after an
//! end that was not clean the next host can name them.
//!
//! The file is locked while its host lives, and the system drops the lock with the process, however that
//! ended. A clean end removes the file. Which of the plugins ended the process, or whether any did, is
//! not known: it may have been killed.

use crate::lock::IgnorePoison;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Files that this process began.
static STARTED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Files of this process that are there now.
static HERE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the files of this process, which ends on purpose and without its destructors: for those who
/// look into the folder later, that is a clean end.
pub fn end_cleanly() {
    for path in HERE.lock().ignore_poison().drain(..) {
        // What is left is told of as an end that was not clean.
        let _ = fs::remove_file(path);
    }
}

/// A plugin that is or was in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedPlugin {
    /// Its name.
    pub name: String,
    /// The sha256 of its file.
    pub sha256: String,
    /// Its file.
    pub file: PathBuf,
}

/// The first line of a file: which process it is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Process {
    pid: u32,
    /// Seconds since 1970.
    started: u64,
    /// Changes when the machine is started.
    boot: String,
}

/// The plugins that were given options, and the file that names them.
#[derive(Debug, Default)]
struct Uses {
    used: Vec<UsedPlugin>,
    file: Option<File>,
}

/// All plugins of one registry.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(Arc<Mutex<Uses>>);

impl InUse {
    /// A plugin that is not in use yet.
    pub(super) fn plugin(&self, plugin: UsedPlugin) -> Arc<Use> {
        Arc::new(Use { plugin, noted: AtomicBool::new(false), all: self.clone() })
    }

    /// Begins a file in the cache folder `cache`, with all that is in use already.
    pub(super) fn keep(&self, cache: &Path) -> io::Result<Sentinel> {
        let folder = folder(cache);
        fs::create_dir_all(&folder)?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}.{number}", std::process::id()));
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        // Only those who look into it hold it, and not for long.
        flock(&file, FlockOperation::LockExclusive)?;
        // Left by a process of the same number, which is gone.
        file.set_len(0)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let process = Process { pid: std::process::id(), started: now.as_secs(), boot: boot() };
        write_line(&file, &process)?;
        let mut uses = self.lock();
        for plugin in &uses.used {
            write_line(&file, plugin)?;
        }
        uses.file = Some(file);
        drop(uses);
        HERE.lock().ignore_poison().push(path.clone());
        Ok(Sentinel { path, all: self.clone() })
    }

    fn add(&self, plugin: &UsedPlugin) {
        let mut uses = self.lock();
        uses.used.push(plugin.clone());
        if let Some(file) = &uses.file
            && let Err(error) = write_line(file, plugin)
        {
            let plugin = &plugin.name;
            tracing::warn!(plugin, "could not note the plugins in use: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().ignore_poison()
    }
}

/// One plugin, which its drivers and handlers share.
#[derive(Debug)]
pub(super) struct Use {
    plugin: UsedPlugin,
    noted: AtomicBool,
    all: InUse,
}

impl Use {
    /// From now on it is in use. Writes a line the first time.
    pub(super) fn note(&self) {
        if !self.noted.swap(true, Ordering::Relaxed) {
            self.all.add(&self.plugin);
        }
    }
}

/// The file of this host; dropping it is a clean end.
#[derive(Debug)]
pub struct Sentinel {
    path: PathBuf,
    all: InUse,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        HERE.lock().ignore_poison().retain(|path| *path != self.path);
        // If it stays, the next host tells of an end that was clean; there is nothing better to do.
        let _ = fs::remove_file(&self.path);
        self.all.lock().file = None;
    }
}

/// A host that ended without a clean stop, and what it used.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The number of its process.
    pub pid: u32,
    /// When that was started.
    pub started: SystemTime,
    /// When it began to use the last of the plugins.
    pub last_used: SystemTime,
    /// What it used, in order of first use.
    pub plugins: Vec<UsedPlugin>,
    path: PathBuf,
}

impl Crash {
    /// Removes its file, so that it is reported once.
    pub fn forget(&self) {
        // Another host may have done so.
        let _ = fs::remove_file(&self.path);
    }
}

/// Hosts that used the cache folder `cache` and ended without a clean stop, since this machine was
/// started: when that is ended, so are all its processes.
pub(super) fn crashes(cache: &Path) -> Vec<Crash> {
    let Ok(entries) = fs::read_dir(folder(cache)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| crash(&path)).collect()
}

fn crash(path: &Path) -> Option<Crash> {
    let file = File::open(path).ok()?;
    // While its host lives it has the lock; then the rest is no business of ours.
    flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    let mut text = Vec::new();
    (&file).take(MAX_FILE).read_to_end(&mut text).ok()?;
    // The last line may be cut off.
    let mut lines = text.split(|byte| *byte == b'\n');
    let process: Option<Process> = lines.next().and_then(|line| serde_json::from_slice(line).ok());
    let Some(process) = process.filter(|process| process.boot == boot()) else {
        // It says nothing, or the machine was started anew. A host that begins its file has not locked
        // it yet: then there is nothing in it.
        if !text.is_empty() {
            let _ = fs::remove_file(path);
        }
        return None;
    };
    let last_used = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    Some(Crash {
        pid: process.pid,
        started: UNIX_EPOCH.checked_add(Duration::from_secs(process.started))?,
        last_used,
        plugins: lines.filter_map(|line| serde_json::from_slice(line).ok()).collect(),
        path: path.to_owned(),
    })
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("in-use")
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn write_line(mut file: &File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str) -> UsedPlugin {
        let file = PathBuf::from(format!("/plugins/{name}.so"));
        UsedPlugin { name: name.to_owned(), sha256: format!("{name}00"), file }
    }

    #[test]
    fn what_is_in_use_is_named_after_an_end_that_was_not_clean_and_only_then() {
        let cache = tempfile::tempdir().unwrap();
        let all = InUse::default();
        all.plugin(plugin("early")).note();
        let sentinel = all.keep(cache.path()).unwrap();
        let late = all.plugin(plugin("late"));
        let _unused = all.plugin(plugin("unused"));
        late.note();
        late.note();
        assert!(crashes(cache.path()).is_empty(), "the host lives");

        // What a process that is gone leaves: the file, and no lock.
        let left = cache.path().join("in-use/left");
        fs::copy(&sentinel.path, &left).unwrap();
        let found = crashes(cache.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].plugins, [plugin("early"), plugin("late")]);
        assert_eq!(found[0].pid, std::process::id());
        found[0].forget();
        assert!(crashes(cache.path()).is_empty());

        let path = sentinel.path.clone();
        drop(sentinel);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_an_earlier_start_of_the_machine_and_a_damaged_one_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let folder = folder(cache.path());
        fs::create_dir(&folder).unwrap();
        let old = "{\"pid\":1,\"started\":1,\"boot\":\"another\"}\n";
        for text in [old, "{", "\n"] {
            fs::write(folder.join("x"), text).unwrap();
            assert!(crashes(cache.path()).is_empty());
            assert!(!folder.join("x").exists(), "{text:?}");
        }
    }
}
