//! The state directory: definitions made at run time, kept in an append-only journal.
//!
//! Each change is one line that is written before it is acknowledged, so that it survives the end of
//! the process, `kill -9` included. The kernel brings it to the disk in its own time; rewriting the
//! journal, which happens whenever most of it is of no use any more, and a shutdown wait for the
//! disk. The new journal takes the old one's place by one rename. One process at a time uses a
//! directory.

mod journal;

use super::layer::{TargetEdit, TargetsLayer};
use super::written::{WrittenObject, WrittenObjects};
use crate::config::model::ConnectionConfig;
use crate::files;
use crate::handover::{Giving, Handover, HandoverName};
use jackfield_plugin_api::{Error, ErrorKind, Result};
#[cfg(fuzzing)]
pub use journal::fuzz as fuzz_journal;
use journal::{MAX_LINE, Record};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines of no use that are always put up with.
const SLACK: usize = 1024;

const NAME: &str = "connections.journal";

/// An open state directory.
#[derive(Debug)]
pub(super) struct StateDir {
    folder: PathBuf,
    file: File,
    /// Held as long as the directory is used.
    lock: Arc<StateLock>,
    length: u64,
    lines: usize,
    live: usize,
    /// What was changed of targets, by upstream.
    targets: BTreeMap<String, TargetsLayer>,
    /// What was written of other objects.
    written: WrittenObjects,
}

/// What was defined, in the order of the first definitions.
pub(super) type Restored = Vec<(String, ConnectionConfig)>;

impl StateDir {
    /// Opens `folder`, which is made if it is not there, and reads what it holds.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] by another process; damage, with its byte offset; what the files say.
    pub(super) fn open(folder: &Path, handover: &Handover) -> Result<(Self, Restored)> {
        let at = |error| failed(folder, error);
        fs::create_dir_all(folder).map_err(at)?;
        private(folder).map_err(at)?;
        let lock = StateLock::of(folder, handover)?;
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(at(error)),
        };
        let read = journal::read(&bytes).map_err(|damage| {
            let text = format!("{}: byte {}: {}", path.display(), damage.offset, damage.what);
            Error::new(ErrorKind::Config, text)
        })?;
        if read.torn {
            let (file, offset) = (path.display(), read.whole);
            tracing::warn!(%file, offset, "the last record was cut off and is left out");
        }
        let lines = read.records.len();
        let Replayed { restored, targets, written } = replay(read.records);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(&path).map_err(at)?;
        let mut length = read.whole as u64;
        file.set_len(length).map_err(at)?;
        if length == 0 {
            file.write_all(journal::HEADER.as_bytes()).map_err(at)?;
            length = journal::HEADER.len() as u64;
        }
        let folder = folder.to_owned();
        let live = restored.len();
        Ok((StateDir { folder, file, lock, length, lines, live, targets, written }, restored))
    }

    /// Writes a definition; it is kept when this returns.
    pub(super) fn define(
        &mut self,
        name: &str,
        config: &ConnectionConfig,
        is_new: bool,
    ) -> Result<()> {
        let connection = Box::new(config.clone());
        self.append(&Record::Define { define: name.to_owned(), connection })?;
        self.live += usize::from(is_new);
        Ok(())
    }

    /// Writes that a name is no longer defined.
    pub(super) fn remove(&mut self, name: &str) -> Result<()> {
        self.append(&Record::Remove { remove: name.to_owned() })?;
        self.live = self.live.saturating_sub(1);
        Ok(())
    }

    /// What was changed of targets, by upstream.
    pub(super) fn targets(&self) -> &BTreeMap<String, TargetsLayer> {
        &self.targets
    }

    /// What was written of objects, by their names.
    pub(super) fn written(&self) -> &WrittenObjects {
        &self.written
    }

    /// Writes what was written of an object, or that it is forgotten; it is kept when this returns.
    pub(super) fn write(&mut self, what: &str, object: Option<WrittenObject>) -> Result<()> {
        if self.written.get(what) == object.as_ref() {
            return Ok(());
        }
        self.append(&Record::Write { write: what.to_owned(), object: object.clone() })?;
        match object {
            Some(object) => drop(self.written.insert(what.to_owned(), object)),
            None => drop(self.written.remove(what)),
        }
        Ok(())
    }

    /// Writes a change of a target; it is kept when this returns.
    pub(super) fn change_target(
        &mut self,
        upstream: &str,
        target: &str,
        change: TargetEdit,
    ) -> Result<()> {
        self.append(&Record::target(upstream, target, change.clone()))?;
        self.targets.entry(upstream.to_owned()).or_default().note(target, change);
        Ok(())
    }

    /// Writes that what was changed of the targets of an upstream is forgotten, or all but those that were found.
    pub(super) fn reset_targets(&mut self, upstream: &str, keeps_found: bool) -> Result<()> {
        if self.targets.contains_key(upstream) {
            self.append(&Record::Reset { reset: upstream.to_owned(), keeps_found })?;
            reset(&mut self.targets, upstream, keeps_found);
        }
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        if self.lock.is_of_another.load(Ordering::Relaxed) {
            let text = "a new process has taken over: what is defined here would be lost";
            return Err(Error::new(ErrorKind::Closed, text));
        }
        let line = line(record)?;
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // A part of it must not stand before the next record.
            let _ = self.file.set_len(self.length);
            return Err(Error::from(error).with("file", self.folder.join(NAME).display()));
        }
        self.length += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Whether most of the journal is of no use any more.
    pub(super) fn wants_rewriting(&self) -> bool {
        let targets: usize = self.targets.values().map(TargetsLayer::len).sum();
        self.lines > 2 * (self.live + targets + self.written.len()) + SLACK
    }

    /// Writes a new journal of `all` in the place of the old one.
    pub(super) fn rewrite<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a str, &'a ConnectionConfig)>,
    ) -> Result<()> {
        let mut text = journal::HEADER.to_owned();
        let mut lines = 0;
        for (name, config) in all {
            let connection = Box::new(config.clone());
            text.push_str(&line(&Record::Define { define: name.to_owned(), connection })?);
            lines += 1;
        }
        let live = lines;
        for (upstream, layer) in &self.targets {
            for (target, change) in layer.changes() {
                text.push_str(&line(&Record::target(upstream, target, change))?);
                lines += 1;
            }
        }
        for (what, object) in &self.written {
            let object = Some(object.clone());
            text.push_str(&line(&Record::Write { write: what.clone(), object })?);
            lines += 1;
        }
        let (path, next) = (self.folder.join(NAME), self.folder.join("connections.next"));
        let write = || -> io::Result<File> {
            let mut file = File::create(&next)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.folder)?.sync_all()?;
            OpenOptions::new().append(true).open(&path)
        };
        self.file = write().map_err(|error| Error::from(error).with("file", path.display()))?;
        (self.length, self.lines, self.live) = (text.len() as u64, lines, live);
        Ok(())
    }

    /// Waits until the disk has it all.
    pub(super) fn sync(&self) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

fn line(record: &Record) -> Result<String> {
    let line = journal::line(record)
        .map_err(|error| Error::new(ErrorKind::Config, format!("not to be written: {error}")))?;
    if line.len() > MAX_LINE {
        let text = format!("a definition of {} bytes; at most {MAX_LINE} are kept", line.len());
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(line)
}

/// Options may hold references to secrets: only the owner may read them.
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// The lock of a directory, which a process that takes over takes along.
#[derive(Debug)]
struct StateLock {
    folder: PathBuf,
    file: File,
    is_of_another: AtomicBool,
}

impl StateLock {
    fn of(folder: &Path, handover: &Handover) -> Result<Arc<Self>> {
        let name = HandoverName::State(folder.display().to_string());
        let file = match handover.take(&name)?.pop() {
            Some(taken) => File::from(taken),
            None => lock(folder)?,
        };
        let is_of_another = AtomicBool::new(false);
        let lock = Arc::new(StateLock { folder: folder.to_owned(), file, is_of_another });
        let offer = Arc::downgrade(&lock);
        handover.offer(offer);
        Ok(lock)
    }
}

impl Giving for StateLock {
    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>> {
        let name = HandoverName::State(self.folder.display().to_string());
        // A second handle of one lock: whoever has one of them holds it.
        Ok(vec![(name, self.file.try_clone()?.into())])
    }

    fn let_go(&self) {
        self.is_of_another.store(true, Ordering::Relaxed);
    }
}

/// Why something could not be done with a file of it.
fn failed(path: &Path, error: io::Error) -> Error {
    let why = files::why(path, &error);
    Error::new(Error::from(error).kind(), why).with("file", path.display())
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let at = |error| failed(&path, error);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path).map_err(at)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let text = format!("{} is used by another process", folder.display());
        Error::new(ErrorKind::InUse, text).with("key", "host.state_dir")
    })?;
    Ok(file)
}

/// Forgets what was changed of the targets of an upstream, or all but what was found.
fn reset(targets: &mut BTreeMap<String, TargetsLayer>, upstream: &str, keeps_found: bool) {
    if let Some(layer) = targets.remove(upstream).filter(|_| keeps_found) {
        targets.insert(upstream.to_owned(), layer.reset());
    }
}

/// What a journal comes to.
struct Replayed {
    restored: Restored,
    targets: BTreeMap<String, TargetsLayer>,
    written: WrittenObjects,
}

fn replay(records: Vec<Record>) -> Replayed {
    let mut written = WrittenObjects::new();
    let mut targets: BTreeMap<String, TargetsLayer> = BTreeMap::new();
    let mut all: BTreeMap<String, (usize, ConnectionConfig)> = BTreeMap::new();
    for (number, record) in records.into_iter().enumerate() {
        match record {
            Record::Define { define, connection } => {
                all.insert(define, (number, *connection));
            }
            Record::Remove { remove } => drop(all.remove(&remove)),
            Record::Target { upstream, target, add, found, weight } => {
                let change = match (add, found, weight) {
                    (Some(config), _, _) => TargetEdit::Add(config),
                    (None, Some(config), _) => TargetEdit::Find(config),
                    (None, None, Some(weight)) => TargetEdit::Weigh(weight),
                    (None, None, None) => TargetEdit::Remove,
                };
                targets.entry(upstream).or_default().note(&target, change);
            }
            Record::Reset { reset: upstream, keeps_found } => {
                reset(&mut targets, &upstream, keeps_found);
            }
            Record::Write { write, object: Some(object) } => drop(written.insert(write, object)),
            Record::Write { write, object: None } => drop(written.remove(&write)),
        }
    }
    let mut list: Vec<_> = all.into_iter().collect();
    list.sort_by_key(|(_, (number, _))| *number);
    let restored = list.into_iter().map(|(name, (_, config))| (name, config)).collect();
    Replayed { restored, targets, written }
}

#[cfg(test)]
mod tests;
