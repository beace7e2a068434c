//! [`Journal`]: the state directory of a broker, kept in an append-only file.
//!
//! Each change is a line that is written before a client has its answer, so that it survives the end of the
//! process, `kill -9` included; the kernel brings it to the disk in its own time. Rewriting the file, which happens
//! when most of it is of no use any more, waits for the disk, and the new one takes the old one's place by one
//! rename. One broker at a time uses a directory.

mod record;

pub(super) use record::{Queued, Record, WrittenFilter, WrittenMessage};

use jackfield_plugin_api::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const NAME: &str = "sessions.journal";

/// Where a damaged one is moved, in the place of an earlier one.
const DAMAGED: &str = "sessions.journal.damaged";

/// Bytes of no use that are always put up with.
const SLACK: u64 = 1 << 20;

/// How long after a failed write the next one is tried.
const RETRY: Duration = Duration::from_secs(5);

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Gives the records of a journal to `take`, as far as they are whole; returns how many bytes that are.
pub(super) fn records_of(bytes: &[u8], take: impl FnMut(Record)) -> usize {
    record::read(bytes, take).whole
}

/// An open journal.
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    /// Locked as long as it is open.
    _lock: File,
    length: u64,
    /// What it had when it was last rewritten.
    base: u64,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
    /// While it is rewritten: lines since that was begun.
    meanwhile: Option<Vec<u8>>,
    /// It cannot be written, and lacks lines: since when, by the host's clock.
    broken: Option<Duration>,
}

/// What was found when a journal was opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong with it, and where it is now.
    pub(super) damage: Option<Error>,
    /// A write was cut off.
    pub(super) torn: bool,
}

impl Journal {
    /// Opens the journal in `folder`, which is made if it is not there, and gives its records to `take`. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] by another broker; what the system says.
    pub(super) fn open(folder: &Path, take: impl FnMut(Record)) -> Result<(Self, Found)> {
        let at = |error: io::Error| Error::from(error).with("folder", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
        let lock = ours().create(true).truncate(false).write(true).open(folder.join("lock"));
        let lock = lock.map_err(at)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            let error = io::Error::from(error);
            if error.kind() == io::ErrorKind::WouldBlock {
                let text = "another broker uses the directory";
                return Error::new(ErrorKind::InUse, text).with("folder", folder.display());
            }
            at(error)
        })?;
        let path = folder.join(NAME);
        let mut file = ours().create(true).read(true).append(true).open(&path).map_err(at)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at)?;
        let read = record::read(&bytes, take);
        let mut found = Found { torn: read.torn, ..Found::default() };
        let mut length = read.whole as u64;
        if let Some(damage) = read.damage {
            let aside = folder.join(DAMAGED);
            fs::rename(&path, &aside).map_err(at)?;
            let text = format!("{}: byte {}: {}", path.display(), damage.offset, damage.what);
            let error = Error::new(ErrorKind::Config, text).with("moved_to", aside.display());
            found.damage = Some(error);
            file = ours().create(true).append(true).open(&path).map_err(at)?;
            file.write_all(&bytes[..read.whole]).map_err(at)?;
        }
        file.set_len(length).map_err(at)?;
        if length == 0 {
            file.write_all(record::HEADER.as_bytes()).map_err(at)?;
            length = record::HEADER.len() as u64;
        }
        let journal = Journal {
            folder: folder.to_owned(),
            file,
            _lock: lock,
            length,
            base: 0,
            waiting: Vec::new(),
            meanwhile: None,
            broken: None,
        };
        Ok((journal, found))
    }

    /// Notes a change; [`Journal::commit`] writes it.
    pub(super) fn note(&mut self, record: &Record) {
        let length = self.waiting.len();
        // What is noted can always be written as JSON; half a line must not stand in the file.
        if record::write(record, &mut self.waiting).is_err() {
            self.waiting.truncate(length);
        }
    }

    /// Writes what was noted: it survives the end of the process when this returns.
    ///
    /// # Errors
    /// What the system says, once: afterwards nothing is written before [`Journal::wants_rewriting`].
    pub(super) fn commit(&mut self, now: Duration) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.waiting);
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.extend_from_slice(&lines);
        }
        if self.broken.is_some() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&lines) {
            // A part of it must not stand before the next line.
            let _ = self.file.set_len(self.length);
            self.broken = Some(now);
            return Err(Error::from(error).with("file", self.folder.join(NAME).display()));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Whether most of it is of no use any more, or it lacks something.
    pub(super) fn wants_rewriting(&self, now: Duration) -> bool {
        let due = match self.broken {
            Some(since) => now.saturating_sub(since) >= RETRY,
            None => self.length > self.base.saturating_mul(2).saturating_add(SLACK),
        };
        due && self.meanwhile.is_none()
    }

    /// Begins a new file in the place of this one: what is noted from here on will stand in both.
    pub(super) fn begin_rewriting(&mut self) -> Rewriting {
        self.meanwhile = Some(Vec::new());
        Rewriting { folder: self.folder.clone() }
    }

    /// Puts the new file in the place of the old one; true if it mends one that could not be written.
    ///
    /// # Errors
    /// What the system says; the old file stands then.
    pub(super) fn end_rewriting(&mut self, new: Result<File>, now: Duration) -> Result<bool> {
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        let at = |error: io::Error| Error::from(error).with("folder", self.folder.display());
        let put = |mut file: File| {
            file.write_all(&meanwhile).map_err(at)?;
            let length = file.metadata().map_err(at)?.len();
            fs::rename(self.folder.join(TEMPORARY), self.folder.join(NAME)).map_err(at)?;
            // The directory's entry, too, is to survive.
            File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(at)?;
            Ok((file, length))
        };
        match new.and_then(put) {
            Ok((file, length)) => {
                (self.file, self.length, self.base) = (file, length, length);
                Ok(self.broken.take().is_some())
            }
            Err(error) => {
                let _ = fs::remove_file(self.folder.join(TEMPORARY));
                // Not at each second.
                self.base = self.length;
                self.broken = self.broken.map(|_| now);
                Err(error)
            }
        }
    }

    /// Waits for the disk.
    pub(super) fn sync(&self) {
        let _ = self.file.sync_all();
    }
}

const TEMPORARY: &str = "sessions.journal.new";

/// A new file of a journal.
pub(super) struct Rewriting {
    folder: PathBuf,
}

impl Rewriting {
    /// Writes `records` and waits for the disk. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, records: impl Iterator<Item = Record>) -> Result<File> {
        let path = self.folder.join(TEMPORARY);
        let at = |error: io::Error| Error::from(error).with("file", path.display());
        let _ = fs::remove_file(&path);
        let mut file = ours().create_new(true).append(true).open(&path).map_err(at)?;
        let mut text = record::HEADER.as_bytes().to_vec();
        for record in records {
            record::write(&record, &mut text).map_err(|error| at(error.into()))?;
            if text.len() >= 1 << 20 {
                file.write_all(&text).map_err(at)?;
                text.clear();
            }
        }
        file.write_all(&text).map_err(at)?;
        file.sync_all().map_err(at)?;
        Ok(file)
    }
}

/// Files that nobody else may read: messages stand in them.
fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}
